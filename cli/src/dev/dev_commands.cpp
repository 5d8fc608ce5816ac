#include "context.hpp"
#include "lifecycle.hpp"
#include "network.hpp"

#include <core/os/file_system.hpp>

#include <filesystem>

namespace cess::cli {
namespace {

constexpr auto up_patience = std::chrono::seconds(60);
constexpr net::duration look_patience = std::chrono::seconds(5);

struct arguments {
    std::string directory, geometry, capacity;
    std::uint64_t storage = 0, consensus = 1, cache = 0;
    bool separate = false;
};

result<std::string> directory_of(const arguments& a) {
    if (!a.directory.empty()) return a.directory;
    return dev::network::default_directory();
}

result<dev::wishes> wishes_of(const arguments& a, const CLI::App& command) {
    if (a.cache != 0) return error(errc::invalid, "--cache: cache miners are not built yet");
    dev::wishes out;
    out.separate = a.separate;
    if (command.count("--storage") != 0) out.storage = a.storage;
    if (command.count("--consensus") != 0) out.consensus = a.consensus;
    if (!a.geometry.empty()) out.geometry = a.geometry;
    if (!a.capacity.empty()) {
        TRY(out.capacity, parse_size(a.capacity));
    }
    return out;
}

std::string describe(const dev::network& n) {
    const auto& chosen = n.chosen();
    const auto consensus = chosen.consensus == 1 ? "1 consensus node" : "a committee of " + std::to_string(chosen.consensus);
    return consensus + " and " + std::to_string(chosen.storage) + " storage miners (" + chosen.geometry + ", " + format_size(chosen.capacity) + " each)" +
           (chosen.separate ? ", one process a node" : ", in one process");
}

result<void> say_what_next(const dev::network& n) {
    TRY(const auto installed, dev::install_client_config(n));
    const auto conf = n.client_config();
    if (n.is_new()) {
        print("account key: " + n.path("account.key"));
        print("  Without it nothing on the network can be read. Back it up: cess account export FILE" +
              (installed ? std::string() : " --conf " + conf));
    }
    if (!installed) print("commands need: export CESS_CONF=" + conf);
    print("next: cess volume create files --type fs && mkdir -p /tmp/files && cessfs files /tmp/files");
    return {};
}

result<int> up(context&, const arguments& a, const CLI::App& command) {
    TRY(const auto wishes, wishes_of(a, command));
    TRY(const auto directory, directory_of(a));
    const bool was_there = os::posix_file_system().exists(directory);
    CHECK_OK(os::posix_file_system().make_directories(directory));
    TRY(const auto lock, os::directory_lock::take(directory));
    auto made = dev::network::make(directory, wishes);
    if (!made && !was_there) {
        std::error_code ignored;
        std::filesystem::remove_all(directory, ignored);
    }
    TRY(const auto network, std::move(made));
    TRY(const auto started, dev::bring_up(network, up_patience));
    print(std::string(started.anything ? "network up in " : "network runs already in ") + network.directory() + ": " + describe(network));
    CHECK_OK(say_what_next(network));
    return 0;
}

result<int> down(const arguments& a) {
    TRY(const auto directory, directory_of(a));
    TRY(const auto network, dev::network::open(directory));
    TRY(const auto lock, os::directory_lock::take(directory));
    const bool ran = !dev::states(network).empty();
    TRY(const auto forced, dev::bring_down(network));
    for (const auto& name : forced) std::fprintf(stderr, "cess: %s did not end in time and was killed\n", name.c_str());
    print(std::string(ran ? "network stopped" : "network was not running") + "; everything is kept in " + network.directory());
    return 0;
}

result<int> status(context& c, const arguments& a) {
    TRY(const auto directory, directory_of(a));
    TRY(const auto network, dev::network::open(directory));
    const auto states = dev::states(network);
    TRY(auto with, client::load_config(network.client_config()));
    TRY(const auto runtime, client::runtime::start(std::move(with)));
    const auto health = states.empty() ? network_health() : look(*runtime, look_patience);
    const bool sound = !states.empty() && health.sound();
    if (c.json) {
        nlohmann::json out;
        out["directory"] = network.directory();
        out["healthy"] = sound;
        out["processes"] = nlohmann::json::array();
        for (const auto& s : states) {
            nlohmann::json row;
            row["name"] = s.name;
            row["pid"] = s.pid;
            out["processes"].push_back(row);
        }
        out["nodes"] = nlohmann::json::array();
        for (const auto& n : network.nodes()) {
            nlohmann::json row;
            row["name"] = n.name;
            row["role"] = n.role;
            row["address"] = n.listen;
            row["metrics"] = n.metrics;
            if (!n.explorer.empty()) row["explorer"] = n.explorer;
            row["directory"] = n.directory;
            out["nodes"].push_back(row);
        }
        print_json(out);
        return sound ? 0 : 1;
    }
    print(network.directory() + ": " + describe(network));
    for (const auto& s : states) print("process " + s.name + ": pid " + std::to_string(s.pid));
    for (const auto& n : network.nodes())
        if (!n.explorer.empty()) print("JSON API of " + n.name + ": http://" + n.explorer + "/v1");
    print_committee(health);
    if (states.empty()) print("stopped; cess dev up resumes it");
    else if (!health.chain) print("consensus: down (" + one_line(health.chain_problem) + ")");
    for (const auto& m : health.miners)
        if (!m.answers) print("miner " + m.record.id.brief() + " at " + m.record.address + ": " + one_line(m.problem));
    if (sound) print("healthy");
    return sound ? 0 : 1;
}

}  // namespace

void add_dev_commands(CLI::App& app, context& c) {
    auto* dev = app.add_subcommand("dev", "Run a whole network on this machine");
    dev->require_subcommand(1);
    const auto a = std::make_shared<arguments>();

    auto* up_command = dev->add_subcommand("up", "Start or resume the network; returns when it is healthy");
    up_command->add_option("--dir", a->directory, "Where everything is kept; default: ~/.local/share/cess, for root /var/lib/cess")->option_text("DIR");
    up_command->add_option("--storage", a->storage, "Storage miners; default 4")->option_text("N");
    up_command->add_option("--consensus", a->consensus, "Consensus nodes: 1, or a committee of 4 to 16; default 1")->option_text("N");
    up_command->add_option("--cache", a->cache, "")->group("");
    up_command->add_option("--ec", a->geometry, "Default data and parity fragments; default 2+1")->option_text("K+M");
    up_command->add_option("--capacity", a->capacity, "Bytes a miner offers; default: of four fifths of the free space")->option_text("SIZE");
    up_command->add_flag("--separate", a->separate, "One process a node");
    up_command->callback([&c, a, up_command] { c.action = [&c, a, up_command] { return up(c, *a, *up_command); }; });

    auto* down_command = dev->add_subcommand("down", "Stop the network; everything is kept");
    down_command->add_option("--dir", a->directory, "Where everything is kept")->option_text("DIR");
    down_command->callback([&c, a] { c.action = [a] { return down(*a); }; });

    auto* status_command = dev->add_subcommand("status", "Show the network's processes and health");
    status_command->add_option("--dir", a->directory, "Where everything is kept")->option_text("DIR");
    status_command->add_flag("--json", c.json, "Print JSON");
    status_command->callback([&c, a] { c.action = [&c, a] { return status(c, *a); }; });
}

}  // namespace cess::cli
