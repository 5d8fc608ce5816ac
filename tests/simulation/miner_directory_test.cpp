// Where miners are, as a process remembers it.
#include <support/simulated_ledger.hpp>

#include <objectstore/layer/miners.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <thread>

using namespace cess;
using namespace cess::simulation;

TEST_CASE("a miner that keeps failing is looked up again where it may have moved to") {
    world in(1);
    ledger_node consensus(in);
    chain::account owner{crypto::signing_key::generate(in.random()), {}};
    const auto client = in.random().id<client_id>();
    const auto key = crypto::signing_key::generate(in.random());
    std::uint64_t number = 0;
    const auto move_to = [&](const std::string& address) {
        ledger::register_node joins;
        joins.node.id = crypto::id_of<node_id>(key.pub());
        joins.node.owner = owner.id();
        joins.node.address = address;
        joins.node.failure_domain = "here";
        joins.consent = ledger::consent_of(key, consensus.trust().network(), joins.node);
        REQUIRE(consensus.apply(owner, client, ++number, joins).code == errc::ok);
    };
    move_to("old:1");
    ledger_client ledger(consensus, in.random().id<client_id>());
    layer::miner_directory directory(in, ledger);
    const auto id = crypto::id_of<node_id>(key.pub());
    const auto address = [&] {
        auto op = directory.find(id, in.now() + 5s);
        const auto found = in.run(std::move(op));
        return found ? found->address : found.error().message();
    };
    CHECK(address() == "old:1");
    move_to("new:2");
    in.run_for(1min);
    CHECK(address() == "old:1");  // nothing is wrong with it
    for (int i = 0; i < 3; ++i) directory.failed(id);
    CHECK(address() == "new:2");
    // And while consensus is down the last known place serves on.
    consensus.down = true;
    in.run_for(1min);
    const auto began = in.now();
    CHECK(address() == "new:2");
    CHECK(in.now() - began <= 1s);
}

TEST_CASE("the quickest come first, and all are named once while what is known of them changes") {
    world in(1);
    ledger_node consensus(in);
    ledger_client ledger(consensus, in.random().id<client_id>());
    layer::miner_directory directory(in, ledger);
    std::vector<node_id> miners;
    for (int i = 0; i < 40; ++i) miners.push_back(in.random().id<node_id>());
    directory.succeeded(miners[0], 3ms);
    directory.succeeded(miners[1], 2ms);
    directory.failed(miners[3]);
    CHECK(directory.quickest_first({miners[0], miners[1], miners[2], miners[3], miners[4]}) == std::vector<unsigned>{2, 4, 1, 0, 3});
    std::atomic<bool> over{false};
    std::thread changing([&] {
        seeded_random random(2);
        while (!over) {
            const auto& miner = miners[random.below(miners.size())];
            if (random.below(4) == 0) directory.failed(miner);
            else directory.succeeded(miner, 1ms * (random.below(100) + 1));
        }
    });
    int wrong = 0;
    for (int i = 0; i < 20000; ++i) {
        auto order = directory.quickest_first(miners);
        std::sort(order.begin(), order.end());
        order.erase(std::unique(order.begin(), order.end()), order.end());
        wrong += order.size() != miners.size() || order.back() != miners.size() - 1;
    }
    over = true;
    changing.join();
    CHECK(wrong == 0);
}
