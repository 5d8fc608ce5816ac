#include "lifecycle.hpp"

#include "sibling.hpp"
#include "ports.hpp"
#include "process.hpp"

#include <objectstore/client/client.hpp>

#include <algorithm>
#include <thread>

namespace cess::cli::dev {
namespace {

constexpr auto poll_interval = std::chrono::milliseconds(100);
constexpr auto look_patience = std::chrono::seconds(2);
constexpr auto stop_patience = std::chrono::seconds(30);

// A port that somebody else took meanwhile is said so here, by name, rather than found in a log.
result<void> check_ports(const network& of, const network::process& p) {
    for (const auto* n : p.hosts) {
        for (const auto& [key, address] : {std::pair("listen", n->listen), std::pair("explorer", n->explorer)}) {
            if (address.empty()) continue;
            TRY(const auto port, port_of(address));
            if (port_is_free(port)) continue;
            return error(errc::busy, "address " + address + " of " + n->name + " is in use; end what uses it, or change `" + key + "` in " +
                                         of.path("nodes/" + n->name + "/node.toml"));
        }
    }
    return {};
}

result<void> check_other_mode(const network& of) {
    const auto ours = of.processes();
    for (const auto& file : of.pid_files()) {
        const bool known = std::any_of(ours.begin(), ours.end(), [&](const auto& p) { return of.pid_file(p.name) == file; });
        if (!known && running(file) != 0)
            return error(errc::busy, std::string("the network runs ") + (of.chosen().separate ? "in one process" : "with --separate") +
                                         "; end it first with cess dev down --dir " + of.directory());
    }
    return {};
}

result<void> check_alive(const network& of, const std::vector<network::process>& all) {
    for (const auto& p : all)
        if (running(of.pid_file(p.name)) == 0)
            return error(errc::unavailable, "process " + p.name + " ended: " + last_line(of.log_file(p.name)));
    return {};
}

// Empty if all is well.
std::string missing(const network& of, const network_health& health) {
    for (const auto& v : health.validators)
        if (!v.height) return "the consensus node at " + v.address + " does not answer (" + v.problem + ")";
    if (!health.chain) return "the consensus node does not answer (" + health.chain_problem + ")";
    for (const auto& n : of.nodes()) {
        if (n.role != "storage") continue;
        const auto found = std::find_if(health.miners.begin(), health.miners.end(), [&](const auto& m) { return m.record.address == n.listen; });
        if (found == health.miners.end()) return n.name + " is not registered";
        if (!found->answers) return n.name + " does not answer (" + found->problem + ")";
    }
    return {};
}

result<void> wait_until_healthy(const network& of, const std::vector<network::process>& all, std::chrono::seconds patience) {
    TRY(auto with, client::load_config(of.client_config()));
    TRY(const auto runtime, client::runtime::start(std::move(with)));
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (;;) {
        CHECK_OK(check_alive(of, all));
        const auto problem = missing(of, look(*runtime, look_patience));
        if (problem.empty()) return {};
        if (std::chrono::steady_clock::now() >= deadline) return error(errc::timeout, problem + "; logs are in " + of.path("log"));
        std::this_thread::sleep_for(poll_interval);
    }
}

}  // namespace

result<started> bring_up(const network& what, std::chrono::seconds patience) {
    CHECK_OK(check_other_mode(what));
    const auto all = what.processes();
    std::vector<std::string> ours;
    const auto run = [&]() -> result<void> {
        for (const auto& p : all) {
            if (running(what.pid_file(p.name)) != 0) continue;
            CHECK_OK(check_ports(what, p));
            CHECK_OK(start({sibling("cess-node"), "--conf", p.conf}, what.log_file(p.name), what.pid_file(p.name)));
            ours.push_back(p.name);
        }
        return wait_until_healthy(what, all, patience);
    };
    if (auto done = run(); !done) {
        for (const auto& name : ours) (void)stop(what.pid_file(name), stop_patience);
        return std::move(done).error();
    }
    return started{!ours.empty()};
}

result<std::vector<std::string>> bring_down(const network& what) {
    std::vector<std::string> forced;
    auto files = what.pid_files();
    std::reverse(files.begin(), files.end());
    for (const auto& file : files) {
        TRY(const auto by_force, stop(file, stop_patience));
        if (by_force) forced.push_back(file);
    }
    return forced;
}

std::vector<process_state> states(const network& what) {
    std::vector<process_state> out;
    std::vector<std::string> names{"network"};
    for (const auto& n : what.nodes()) names.push_back(n.name);
    for (const auto& name : names)
        if (const auto pid = running(what.pid_file(name)); pid != 0) out.push_back({name, pid});
    return out;
}

}  // namespace cess::cli::dev
