// Epochs of a committee: how they end and begin while members die, and how a member comes back that was away, or has lost its disk.
#include "restore.hpp"

#include <support/committee_run.hpp>

#include <core/net/deadline.hpp>

using namespace cess;
using namespace cess::test;
using namespace std::chrono_literals;

namespace {

// What a liar answers when it is asked for a state, or for last certificates.
void a_bit(net::method_id method, net::reply& answer) {
    static std::size_t times = 0;
    if (method != 0x0282 || answer.body.size() < 10) return;
    auto body = to_bytes(as_text(answer.body));
    body[body.size() - 1 - times++ % 8] ^= std::byte{1};
    answer.body = std::move(body);
}

// The first leaf of each node as an inner node of the same hash, which nobody has.
void leaf_as_inner(net::method_id method, net::reply& answer) {
    if (method != 0x0282) return;
    auto nodes = wire::decode<std::vector<bytes>>(answer.body);
    if (!nodes) return;
    for (auto& node : *nodes)
        for (std::size_t at = 0; at < node.size();) {
            const auto kind = std::to_integer<unsigned>(node[at]);
            if (kind == 1) {
                bytes leaf{std::byte{0}};
                leaf.insert(leaf.end(), node.begin() + static_cast<std::ptrdiff_t>(at) + 1, node.begin() + static_cast<std::ptrdiff_t>(at) + 65);
                const auto hash = crypto::sha256(leaf);
                bytes spoiled(node.begin(), node.begin() + static_cast<std::ptrdiff_t>(at));
                spoiled.push_back(std::byte{2});
                append(spoiled, hash.view());
                spoiled.insert(spoiled.end(), node.begin() + static_cast<std::ptrdiff_t>(at) + 65, node.end());
                node = std::move(spoiled);
                break;
            }
            at += kind == 0 ? 1 : kind == 2 ? 33 : 65;
        }
    answer.body = wire::encode(*nodes);
}

// No records at all, as if the last had come.
void no_records(net::method_id method, net::reply& answer) {
    if (method == 0x0282 && !wire::decode<std::vector<bytes>>(answer.body)) answer.body = wire::encode(std::vector<std::pair<bytes, bytes>>());
}

void first_epoch_only(net::method_id method, net::reply& answer) {
    if (method != chain::method::handovers) return;
    auto all = wire::decode<std::vector<ledger::state_certificate>>(answer.head);
    if (!all) return;
    std::erase_if(*all, [](const auto& last) { return last.body.epoch > 0; });
    answer.head = wire::encode(*all);
}

net::awaitable<result<bool>> restoring(const chain::restore_sources& from, chain::machine& to, ledger::committee first) {
    auto op = chain::restore_state(from, to, std::move(first));
    auto done = co_await std::move(op);
    if (!done) co_return std::move(done).error();
    co_return true;
}

}  // namespace

TEST_CASE("epochs end and begin under load, and clients follow, those who know the genesis alone too") {
    committee_run on(11);
    on.epoch_rounds = 60;
    on.closed_epochs = 100;
    on.start_all();
    for (std::size_t i = 0; i < 60; ++i) {
        on.submit(i, 1min);
        on.world.run_for(100ms);
    }
    on.world.run_for(10s);
    CHECK(on.done(0, 60));
    CHECK(on.agree());
    CHECK(on.epoch(0) >= 3);
    on.client = chain::make_client(on.world, *on.caller, on.config);
    for (std::size_t i = 0; i < 60; ++i) CHECK(on.present(i));
    CHECK(on.client->trust().now().epoch == on.epoch(0));
    const auto height = on.all[0]->node->height().value;
    CHECK(height >= 60 + on.epoch(0));  // each epoch's end has one of its own
    for (std::uint64_t h = 1; h <= height; ++h) {
        const auto first = on.block(0, h), other = on.block(1, h);
        REQUIRE(first.has_value());
        REQUIRE(other.has_value());
        CHECK(*other == *first);
    }
}

TEST_CASE("a member that was away while an epoch ended comes into the next one") {
    for (const bool power : {false, true}) {
        committee_run on(12);
        on.epoch_rounds = 60;
        on.start_all();
        on.submit(0, 1min);
        on.world.run_for(1s);
        on.end(3, power);
        std::size_t next = 1;
        for (; on.epoch(0) == 0 && next < 100; ++next) {
            on.submit(next, 1min);
            on.world.run_for(300ms);
        }
        on.world.run_for(2s);
        CHECK(on.epoch(0) == 1);
        CHECK(on.done(0, next));
        REQUIRE(on.start(3).has_value());
        on.world.run_for(20s);
        CHECK(on.epoch(3) == on.epoch(0));
        on.end(2, false);  // now it is needed
        on.submit(next, 1min);
        on.world.run_for(10s);
        CHECK(on.done(next, next + 1));
        CHECK(on.agree());
    }
}

TEST_CASE("a member that was away for epochs whose logs have gone takes the state, and counts at once") {
    committee_run on(13);
    on.epoch_rounds = 40;
    on.start_all();
    on.submit(0, 1min);
    on.world.run_for(1s);
    on.end(3, true);
    auto next = on.run_to_epoch(0, 3, 1);
    on.world.run_for(5s);
    REQUIRE(on.done(0, next));
    REQUIRE(on.start(3).has_value());
    on.world.run_for(10s);
    CHECK(on.epoch(3) == on.epoch(0));
    CHECK(on.knows(3, next));
    on.end(2, false);  // now it is needed
    on.submit(next, 1min);
    on.world.run_for(10s);
    CHECK(on.done(next, next + 1));
    CHECK(on.agree());
    const auto folders = on.all[3]->disk.list("/chain/dag");
    REQUIRE(folders.has_value());
    CHECK(folders->size() <= 2);
}

TEST_CASE("a member that has lost its disk takes the state, though one who is asked spoils it, and says nothing before the next epoch") {
    committee_run on(14);
    on.epoch_rounds = 2000;
    on.start_all();
    std::size_t next = 0;
    for (; next < 30; ++next) {
        on.submit(next, 1min);
        on.world.run_for(20ms);
    }
    on.epoch_rounds = 60;
    for (std::size_t i = 0; i < members; ++i) {  // with shorter epochs
        on.end(i, false);
        REQUIRE(on.start(i).has_value());
        on.world.run_for(1s);
    }
    next = on.run_to_epoch(0, 2, next);
    on.world.run_for(5s);
    REQUIRE(on.done(0, next));
    on.epoch_rounds = 100'000;  // from here on for its sake alone
    for (std::size_t i = 0; i < 3; ++i) {
        on.end(i, false);
        REQUIRE(on.start(i).has_value());
        on.world.run_for(1s);
    }
    on.end(3, true);
    on.wipe(3);
    on.all[3]->caller->spoils_of = on.all[1]->id();
    on.all[3]->caller->spoil = a_bit;
    const auto lost_in = on.epoch(0);
    REQUIRE(on.start(3).has_value());
    on.world.run_for(5s);
    CHECK(on.knows(3, next));
    CHECK(on.epoch(3) == lost_in);
    CHECK(on.own_blocks(3) == 0);
    on.submit(next, 1min);
    on.world.run_for(2s);
    CHECK(on.done(next, next + 1));
    CHECK(on.knows(3, ++next));
    CHECK(on.own_blocks(3) == 0);
    next = on.run_to_epoch(3, lost_in + 1, next);
    on.world.run_for(10s);
    CHECK(on.epoch(3) == lost_in + 1);
    CHECK(on.own_blocks(3) > 0);
    on.end(0, false);  // now it is needed
    on.submit(next, 1min);
    on.world.run_for(10s);
    CHECK(on.done(next, next + 1));
    CHECK(on.agree());
}

TEST_CASE("a member that loses its disk in the first epoch follows in silence; one that dies while it fetches the state begins anew") {
    committee_run on(15);
    on.epoch_rounds = 100'000;
    on.start_all();
    for (std::size_t i = 0; i < 10; ++i) {
        on.submit(i, 1min);
        on.world.run_for(20ms);
    }
    on.world.run_for(1s);
    on.end(3, true);
    on.wipe(3);
    REQUIRE(on.start(3).has_value());
    on.world.run_for(1s);
    CHECK(on.knows(3, 10));
    CHECK(on.epoch(3) == 0);
    CHECK(on.own_blocks(3) == 0);
    auto next = on.run_to_epoch(0, 2, 10);
    on.end(3, true);
    on.wipe(3);
    for (int i = 0; i < 20; ++i) {
        REQUIRE(on.start(3).has_value());
        on.all[3]->disk.die_at(on.random.below(12));
        on.world.run_for(std::chrono::milliseconds(on.random.below(40)));
        on.end(3, on.random.below(2) == 0);
    }
    REQUIRE(on.start(3).has_value());
    on.world.run_for(10s);
    next = on.run_to_epoch(3, on.epoch(0) + 1, next);
    on.world.run_for(10s);
    CHECK(on.knows(3, next));
    CHECK(on.own_blocks(3) > 0);
    CHECK(on.agree());
}

TEST_CASE("a member without its disk that reaches nobody can be stopped, while it fetches the state too") {
    committee_run on(16);
    on.epoch_rounds = 60;
    on.start_all();
    const auto next = on.run_to_epoch(0, 2, 0);
    on.end(3, true);
    on.wipe(3);
    for (std::size_t i = 0; i < 3; ++i) on.end(i, false);
    REQUIRE(on.start(3).has_value());
    on.world.run_for(1s);
    on.end(3, false);  // it knows nothing yet
    on.epoch_rounds = 100'000;
    for (std::size_t i = 0; i < 3; ++i) REQUIRE(on.start(i).has_value());
    REQUIRE(on.start(3).has_value());
    on.all[3]->caller->mute = 0x0282;
    on.world.run_for(5s);
    CHECK_FALSE(on.knows(3, 1));
    CHECK(on.ask(*on.caller, 3, chain::method::nodes, wire::encode(chain::nodes_request()), {}) == errc::unavailable);
    on.end(3, false);  // it is in the middle of it
    REQUIRE(on.start(3).has_value());
    on.all[3]->caller->mute = 0;
    on.world.run_for(30s);
    CHECK(on.knows(3, next));
    CHECK(on.agree());
}

TEST_CASE("who names a node that does not exist, or leaves records out, keeps nobody from the state") {
    for (const auto lie : {leaf_as_inner, no_records}) {
        for (std::uint64_t seed = 20; seed < 26; ++seed) {
            committee_run on(seed);
            on.epoch_rounds = 60;
            on.start_all();
            const auto next = on.run_to_epoch(0, 2, 0);
            on.world.run_for(2s);
            on.end(3, true);
            on.wipe(3);
            on.all[3]->caller->spoils_of = on.all[1]->id();
            on.all[3]->caller->spoil = lie;
            REQUIRE(on.start(3).has_value());
            on.world.run_for(15s);
            INFO("seed " << seed);
            CHECK(on.knows(3, next));
            CHECK(on.agree());
        }
    }
}

TEST_CASE("nobody leads a member back into an epoch in which it has been") {
    committee_run on(26);
    on.epoch_rounds = 40;
    on.start_all();
    auto next = on.run_to_epoch(3, 2, 0);
    on.end(3, false);
    next = on.run_to_epoch(0, on.epoch(0) + 3, next);
    on.world.run_for(2s);
    REQUIRE(on.start(3).has_value());
    on.all[3]->caller->spoil = first_epoch_only;
    for (std::size_t liar = 0; liar < 3; ++liar) {  // one after the other, and it hears nobody else say where they are
        on.all[3]->caller->spoils_of = on.all[liar]->id();
        on.world.run_for(1s);
    }
    on.all[3]->caller->spoil = nullptr;
    on.world.run_for(10s);
    CHECK(on.knows(3, next));
    CHECK(on.agree());

    kv::memory_store store;
    auto state = chain::machine::open(store, on.config.origin);
    REQUIRE(state.has_value());
    REQUIRE((*state)->begin_restore(5).has_value());
    REQUIRE((*state)->begin_restore(0).has_value());
    CHECK((*state)->given_up() == 5);
    CHECK((*chain::machine::open(store, on.config.origin))->given_up() == 5);  // after a crash
    std::vector<net::peer> others(on.config.validators.begin(), on.config.validators.begin() + 3);
    on.all[3]->caller->pieces_asked = 0;
    const chain::restore_sources from{on.world, *on.all[3]->caller, others, on.workers};
    REQUIRE((*state)->begin_restore(on.epoch(0)).has_value());
    const auto restored = on.world.run(net::with_deadline<bool>(on.world, restoring(from, **state, on.config.origin.first), on.world.now() + 5s));
    CHECK_FALSE(restored.has_value());
    CHECK(on.all[3]->caller->pieces_asked == 0);  // theirs is none that it may take
}

TEST_CASE("a member that hears little of an epoch's end comes to it all the same, and counts in the next") {
    const char* many = std::getenv("CESS_SEEDS");
    const std::uint64_t seeds = many ? std::strtoull(many, nullptr, 10) : 16;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        committee_run on(seed + 200);
        on.epoch_rounds = 20 + seed % 7;
        for (std::size_t i = 0; i < members; ++i) {  // it is ahead of the others, so that the end comes between its blocks and theirs
            on.pace.round_min = i == 3 ? 1'000 : 20'000;
            REQUIRE(on.start(i).has_value());
        }
        const auto slow = [&](std::size_t i, net::duration by) {
            net::local_network::fate how;
            how.delay = by;
            on.network.set_fate(on.all[i]->id(), how);
        };
        std::size_t next = 0;
        for (; on.epoch(0) == 0 && next < 2000; ++next) {
            if (next % 10 == 0) on.submit(next / 10, 1min);
            // Now and then one of them does not reach it, or all take their time.
            for (std::size_t i = 0; i < 3; ++i) {
                on.all[i]->caller->deaf.clear();
                if (on.random.below(3) == 0) on.all[i]->caller->deaf.insert(on.all[3]->id());
            }
            slow(3, std::chrono::microseconds(500 + on.random.below(6000)));
            on.world.run_for(std::chrono::microseconds(2000 + on.random.below(20'000)));
        }
        for (std::size_t i = 0; i < 3; ++i) on.all[i]->caller->deaf.clear();
        on.world.run_for(1s);
        on.end(seed % 3, true);  // so that it is needed
        on.submit(5000, 1min);
        on.world.run_for(20s);
        INFO("seed " << seed);
        CHECK(on.done(5000, 5001));
        CHECK(on.epoch(3) >= 1);
    }
}

TEST_CASE("who is behind is no witness that a log has gone") {
    committee_run on(17);
    on.epoch_rounds = 100'000;
    on.start_all();
    on.submit(0, 1min);
    on.world.run_for(1s);
    auto head = wire::encode(std::pair(std::uint8_t{2}, std::pair(ledger::id_of(on.config.origin), std::uint64_t{7})));  // of an epoch to come
    append(head, wire::encode(std::pair(std::vector<consensus::block_ref>(), std::optional<consensus::round_number>(1))));
    CHECK(on.ask(*on.all[1]->caller, 0x0281, head, {}) == errc::unavailable);
}

TEST_CASE("an index that is kept from later on has all epochs whose logs are here; behind a state that was fetched it begins there") {
    committee_run on(19);
    on.epoch_rounds = 40;
    on.closed_epochs = 100;
    on.start_all();
    auto next = on.run_to_epoch(0, 3, 0);
    on.end(0, false);
    on.all[0]->indexed = true;
    REQUIRE(on.start(0).has_value());
    on.world.run_for(10s);
    const auto& whole = on.all[0]->node->certified();
    REQUIRE(whole.indexed().has_value());
    CHECK(whole.indexed()->from.value == 1);
    std::size_t transactions = 0, without = 0;
    for (std::uint64_t h = 1; h <= on.all[0]->node->height().value; ++h) {
        const auto block = whole.block({h});
        REQUIRE(block.has_value());
        transactions += block->transactions;
        without += block->transactions == 0 ? 1 : 0;
    }
    CHECK(transactions == next);
    CHECK(without == on.epoch(0));  // the ends
    on.closed_epochs = 1;
    for (const std::size_t i : {0, 1, 2}) {
        on.end(i, false);
        REQUIRE(on.start(i).has_value());
        on.world.run_for(1s);
    }
    on.end(3, true);
    on.wipe(3);
    on.all[3]->indexed = true;
    REQUIRE(on.start(3).has_value());
    on.world.run_for(10s);
    on.submit(next, 1min);
    on.world.run_for(5s);
    CHECK(on.done(next, next + 1));
    const auto& late = on.all[3]->node->certified();
    REQUIRE(late.indexed().has_value());
    CHECK(late.indexed()->from.value > 1);
    CHECK(late.indexed()->upto == on.all[3]->node->height());
    CHECK(late.block(late.indexed()->upto).has_value());
}

TEST_CASE("members die with and without their power while epochs end, and nothing acknowledged is lost") {
    for (std::uint64_t seed = 1; seed <= 16; ++seed) {
        committee_run on(seed + 40);
        on.epoch_rounds = 20 + seed * 3;
        INFO("seed " << seed);
        CHECK(ordeal(on, 8) == "");
        CHECK(on.epoch(0) >= 1);
    }
}

