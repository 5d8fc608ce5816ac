#include "network_health.hpp"

#include "context.hpp"

#include <core/net/blocking.hpp>
#include <core/net/rpc.hpp>

#include <algorithm>
#include <future>

namespace cess::cli {
namespace {

constexpr std::size_t asked_at_once = 32;

miner_health ask(client::runtime& on, const ledger::node_record& who, net::time_point deadline) {
    miner_health out;
    out.record = who;
    net::peer to;
    to.id = who.id;
    to.address = who.address;
    storage::hello_request hello;
    hello.network = on.layer().ledger().trust().network();
    const auto answered = net::wait(on.world(), net::call_typed<storage::hello_reply>(on.network(), to, storage::method::hello, hello, {}, deadline,
                                                                                      net::lane::control));
    out.answers = answered.has_value();
    if (!answered) {
        out.problem = answered.error().message();
        return out;
    }
    out.used = answered->message.used;
    storage::health_request about;
    about.network = hello.network;
    auto store = net::wait(on.world(), net::call_typed<storage::health_reply>(on.network(), to, storage::method::health, about, {}, deadline,
                                                                              net::lane::control));
    if (store) out.store = std::move(store->message);
    return out;
}

// Each by itself: the client takes whichever answers.
std::vector<validator_health> ask_validators(client::runtime& on, net::time_point deadline) {
    const auto& network = on.layer().ledger().network();
    std::vector<std::future<validator_health>> answers;
    for (const auto& who : network.validators)
        answers.push_back(std::async(std::launch::async, [&on, &network, who, deadline] {
            auto alone = network;
            alone.validators = {who};
            validator_health out{who.id, who.address, std::nullopt, {}};
            const auto only = chain::make_client(on.world(), on.network(), std::move(alone));
            const auto told = net::wait(on.world(), only->health(deadline));
            if (told) out.height = told->height;
            else out.problem = told.error().message();
            return out;
        }));
    std::vector<validator_health> out;
    for (auto& a : answers) out.push_back(a.get());
    return out;
}

}  // namespace

std::optional<std::uint64_t> behind(const network_health& of, const validator_health& who) {
    if (!who.height) return std::nullopt;
    auto top = *who.height;
    for (const auto& v : of.validators) top = std::max(top, v.height.value_or(top));
    return top.value - who.height->value;
}

void print_committee(const network_health& of) {
    static constexpr std::uint64_t tolerated = 16;  // they are not asked at one moment
    if (of.validators.size() < 2) return;
    std::size_t answer = 0;
    for (const auto& v : of.validators) {
        const auto lag = behind(of, v);
        answer += lag ? 1 : 0;
        if (!lag) print("consensus node " + v.id.brief() + " at " + v.address + ": " + one_line(v.problem));
        else if (*lag > tolerated) print("consensus node " + v.id.brief() + " at " + v.address + ": " + std::to_string(*lag) + " blocks behind");
    }
    print("committee: " + std::to_string(answer) + " of " + std::to_string(of.validators.size()) + " answer" + (of.chain ? ", epoch " + std::to_string(of.chain->epoch) : std::string()));
}

bool network_health::sound() const {
    const bool committee = std::all_of(validators.begin(), validators.end(), [](const auto& v) { return v.height.has_value(); });
    return chain.has_value() && committee && std::all_of(miners.begin(), miners.end(), [](const auto& m) { return m.answers; });
}

bool network_health::intact() const {
    return sound() && std::all_of(miners.begin(), miners.end(), [](const auto& m) { return !m.store || m.store->faults == 0; });
}

network_health look(client::runtime& on, net::duration patience) {
    network_health out;
    const auto deadline = on.world().now() + patience;
    auto& ledger = on.layer().ledger();
    if (ledger.network().validators.size() > 1) out.validators = ask_validators(on, deadline);
    const auto chain = net::wait(on.world(), ledger.health(deadline));
    if (chain) out.chain = *chain;
    else out.chain_problem = chain.error().message();
    if (!chain) return out;
    const auto nodes = net::wait(on.world(), ledger.nodes(deadline));
    if (!nodes) {
        out.chain.reset();
        out.chain_problem = nodes.error().message();
        return out;
    }
    std::vector<ledger::node_record> miners;
    for (const auto& n : *nodes)
        if (n.role == ledger::node_role::storage) miners.push_back(n);
    for (std::size_t from = 0; from < miners.size(); from += asked_at_once) {
        std::vector<std::future<miner_health>> answers;
        for (std::size_t i = from; i < std::min(miners.size(), from + asked_at_once); ++i)
            answers.push_back(std::async(std::launch::async, [&on, &who = miners[i], deadline] { return ask(on, who, deadline); }));
        for (auto& a : answers) out.miners.push_back(a.get());
    }
    return out;
}

}  // namespace cess::cli
