// A committee of four whole validators on the simulator's thread, with their disks, stores and clients: what goes on with one of them
// dead, what stops with two, and what is left when they all die.
#include <support/committee_run.hpp>

using namespace cess;
using namespace cess::test;
using namespace std::chrono_literals;

TEST_CASE("four members order, certify and show the same blocks; one may die, and catches up") {
    committee_run on(1);
    on.start_all();
    for (std::size_t i = 0; i < 20; ++i) {
        on.submit(i, 1min);
        on.world.run_for(10ms);
    }
    on.world.run_for(2s);
    CHECK(on.done(0, 20));
    on.end(3, false);
    for (std::size_t i = 20; i < 40; ++i) {
        on.submit(i, 1min);
        on.world.run_for(100ms);
    }
    on.world.run_for(30s);
    CHECK(on.done(20, 40));
    REQUIRE(on.start(3).has_value());
    on.world.run_for(30s);
    CHECK(on.agree());
    CHECK(on.all[3]->node->height().value > 10);
    const auto height = on.all[0]->node->height().value;
    for (std::uint64_t h = 1; h <= height; ++h) {
        const auto first = on.block(0, h);
        REQUIRE(first.has_value());
        for (std::size_t i = 1; i < members; ++i) {
            const auto other = on.block(i, h);
            REQUIRE(other.has_value());
            CHECK(*other == *first);
        }
    }
    CHECK_FALSE(on.block(0, height + 1).has_value());
}

TEST_CASE("a signature comes before the block that has it, and in the block if it does not come") {
    std::array<net::duration, 2> took{};
    for (const bool muted : {false, true}) {
        committee_run on(18);
        on.pace.round_min = 20'000;  // a disk takes no time here
        on.start_all();
        for (const auto& m : on.all) m->caller->mute = muted ? 0x0285 : 0;
        const auto began = on.world.now();
        for (std::size_t i = 0; i < 20; ++i) CHECK(on.world.run(on.client->submit(on.account, ledger::action(on.creation(i)), on.world.now() + 1min)).has_value());
        took[muted ? 1 : 0] = on.world.now() - began;
    }
    CHECK(took[0] * 10 < took[1] * 9);
}

TEST_CASE("with two of four dead nothing is acknowledged; with three everything is") {
    committee_run on(2);
    on.start_all();
    on.submit(0, 1min);
    on.world.run_for(2s);
    REQUIRE(on.done(0, 1));
    on.end(1, false);
    on.end(2, true);
    const auto height = on.all[0]->node->height();
    for (std::size_t i = 1; i < 6; ++i) on.submit(i, 1h);
    on.submit(6, 20s);
    on.world.run_for(2min);
    for (std::size_t i = 1; i < 6; ++i) CHECK_FALSE(on.outcomes.contains(i));
    CHECK(on.outcomes[6].code != errc::ok);
    CHECK(on.all[0]->node->height() == height);
    REQUIRE(on.start(2).has_value());
    on.world.run_for(1min);
    CHECK(on.done(1, 6));
    CHECK(on.agree());
}

TEST_CASE("who was away comes past rounds that are larger than an answer") {
    committee_run on(11);
    on.start_all();
    on.world.run_for(1s);
    on.end(3, false);
    const auto before = on.all[0]->node->height().value;
    for (std::uint8_t i = 0; i < 6; ++i) {  // two a burst, to two members, so that both have a block of nearly 2 MiB in one round
        on.world.spawn(on.large(i));
        if (i % 2 == 1) on.world.run_for(1s);
    }
    on.world.run_for(2min);  // heartbeats, until the other is too far behind to hear of single blocks
    CHECK(on.all[0]->node->height().value >= before + 6);
    REQUIRE(on.start(3).has_value());
    on.world.run_for(1min);
    CHECK(on.agree());
}

TEST_CASE("a start reads what came after the newest checkpoint, not all that ever was") {
    committee_run on(12);
    on.start_all();
    on.submit(0, 1min);
    on.world.run_for(20min);
    REQUIRE(on.done(0, 1));
    for (const bool power : {true, false}) {
        for (std::size_t i = 0; i < members; ++i) on.end(i, power);
        for (std::size_t i = 0; i < members; ++i) {
            REQUIRE(on.start(i).has_value());
            CHECK(on.replayed(i) > 2 * 128 * static_cast<std::int64_t>(members - 1));  // as deep as may still count
            CHECK(on.replayed(i) < 500 * static_cast<std::int64_t>(members));          // of more than 1,000 rounds
        }
        const std::size_t next = power ? 1 : 2;
        on.submit(next, 1min);
        on.world.run_for(10s);
        CHECK(on.done(next, next + 1));
        CHECK(on.agree());
        CHECK(on.present(0));
    }
}

TEST_CASE("a lone transaction does not wait for a heartbeat") {
    committee_run on(3);
    on.start_all();
    on.world.run_for(10s);
    const auto began = on.world.now();
    on.submit(0, 1min);
    on.world.drive([&] { return on.outcomes.contains(0); }, began + 1min);
    CHECK(on.done(0, 1));
    CHECK(on.world.now() - began < 200ms);
}

TEST_CASE("a member whose state is not what the others signed stops and says so") {
    committee_run on(4);
    on.start_all();
    for (std::size_t i = 0; i < 3; ++i) on.submit(i, 1min);
    on.world.run_for(2s);
    REQUIRE(on.done(0, 3));
    REQUIRE(on.all[2]->state.flush().has_value());
    on.end(2, false);
    kv::batch damage;
    auto key = ledger::key::volume(committee_run::creation(0).id);
    key.insert(key.begin(), std::byte{'S'});
    REQUIRE(on.all[2]->state.get(key)->has_value());
    damage.emplace(key, std::nullopt);
    auto name = ledger::key::volume_name(on.account.id(), "v0");
    name.insert(name.begin(), std::byte{'S'});
    damage.emplace(name, std::nullopt);
    REQUIRE(on.all[2]->state.commit(damage).has_value());
    REQUIRE(on.start(2).has_value());
    on.world.run_for(5s);
    CHECK(on.all[2]->node->failure().code == errc::ok);
    on.submit(0, 10s);  // refused by all others, since the volume is there
    on.world.run_for(20s);
    CHECK(on.all[2]->node->failure().what.find("differs from the one that") != std::string::npos);
    CHECK(on.all[0]->node->failure().code == errc::ok);
    on.submit(7, 1min);
    on.world.run_for(30s);
    CHECK(on.done(7, 8));
}

TEST_CASE("a member whose task throws stops, says why, and joins all the same") {
    committee_run on(12);
    on.start_all();
    on.world.run_for(1s);
    auto& broken = *on.all[1];
    CHECK(broken.node->failure().code == errc::ok);
    broken.caller->throws = true;
    on.submit(0, 1min);
    on.world.run_for(10s);
    CHECK(broken.node->failure().what.find("out of everything") != std::string::npos);
    CHECK(broken.count.render().find("cess_chain_stopped 1") != std::string::npos);
    CHECK(on.done(0, 1));
    const auto stopped = on.world.run(committee_run::quiet(broken.node->stop()));
    CHECK(stopped.has_value());
    broken.caller->throws = false;
    on.end(1, false);
    REQUIRE(on.start(1).has_value());
    on.world.run_for(30s);
    CHECK(on.agree());
    CHECK(broken.node->failure().code == errc::ok);
}

TEST_CASE("a member that throws while it takes another's block stops and says why") {
    committee_run on(13);
    on.start_all();
    on.world.run_for(5min);  // past the horizon, below which the store is asked
    auto& broken = *on.all[0];
    broken.state.throws = true;
    consensus::block what;
    auto& body = what.body;
    body.network = ledger::id_of(on.config.origin);
    body.epoch = on.config.origin.first.epoch;
    body.author = 1;
    body.round = static_cast<consensus::round_number>(broken.count.make_gauge("cess_consensus_round", "").value());
    for (consensus::author_index i = 0; i < members; ++i)
        if (i != 1) body.parents.push_back({body.round - 1, i, hash256()});
    body.weak.push_back({1, 1, hash256()});
    CHECK(on.ask(*on.all[1]->caller, 0x0280, on.blocks_head(), wire::encode(std::vector<bytes>{wire::encode(what)})) != errc::ok);
    broken.state.throws = false;
    on.world.run_for(10s);
    CHECK(broken.node->failure().what.find("the store is gone") != std::string::npos);
}

TEST_CASE("what a stalled disk leaves unwritten is bounded, and the others go on") {
    committee_run on(14);
    net::worker_pool stalled(1, 0);  // refuses all work as an overfull one would
    auto& slow = *on.all[3];
    slow.workers = &stalled;
    slow.limits.untaken_bytes_max = 256 * KiB;
    on.start_all();
    on.world.run_for(1s);
    on.world.spawn(on.large(0));  // of two members, so that both blocks come before either is in the sequence
    on.world.spawn(on.large(1));
    on.submit(0, 1min);
    on.world.run_for(30s);
    CHECK(on.done(0, 1));
    const auto unlogged = slow.count.make_gauge("cess_consensus_unlogged_bytes", "").value();
    CHECK(unlogged > 0);
    CHECK(unlogged < 3 * static_cast<std::int64_t>(MiB));
    CHECK(on.ask(*on.all[1]->caller, 3, 0x0280, on.blocks_head(), wire::encode(std::vector<bytes>())) == errc::exhausted);
    stalled.stop();
}

TEST_CASE("what is cheap to send and dear to apply is bounded by what it costs") {
    committee_run on(15);
    on.all[0]->limits.queue_bytes_max = 5 * MiB;  // two of them and a half
    on.start_all();
    on.world.run_for(1s);
    on.end(1, false);
    on.end(2, false);  // nothing is ordered
    for (std::uint8_t i = 0; i < 8; ++i) on.world.spawn(on.heavy(i));
    on.world.run_for(1s);
    CHECK(on.busy >= 4);
    CHECK(on.busy < 8);
}

TEST_CASE("who catches up holds back no more of the state than its bound") {
    committee_run on(16);
    on.all[3]->limits.held_back_max = 4 * KiB;
    on.start_all();
    on.world.run_for(1s);
    on.end(3, false);
    for (std::size_t i = 0; i < 60; ++i) {
        on.submit(i, 1min);
        on.world.run_for(50ms);
    }
    on.world.run_for(2s);
    REQUIRE(on.done(0, 60));
    on.all[3]->state.largest = 0;
    REQUIRE(on.start(3).has_value());
    on.world.run_for(30s);
    CHECK(on.agree());
    CHECK(on.all[3]->state.largest > 0);
    CHECK(on.all[3]->state.largest < 12 * KiB);
}

TEST_CASE("a member pushes its own blocks only") {
    committee_run on(17);
    on.start_all();
    on.world.run_for(1s);
    const auto block_by = [&](consensus::author_index author) {
        consensus::block what;
        what.body.network = ledger::id_of(on.config.origin);
        what.body.author = author;
        what.body.round = 1;
        return wire::encode(std::vector<bytes>{wire::encode(what)});
    };
    auto& peer = *on.all[1]->caller;
    CHECK(on.ask(peer, 0x0280, on.blocks_head(), block_by(2)) == errc::permission);
    CHECK(on.ask(peer, 0x0280, on.blocks_head(), block_by(1)) == errc::protocol);
    const auto rendered = on.all[0]->count.render();
    CHECK(rendered.find("cess_consensus_refused_blocks_total{member=\"1\"} 2") != std::string::npos);
    CHECK(rendered.find("cess_consensus_refused_blocks_total{member=\"2\"} 0") != std::string::npos);
}

TEST_CASE("of one member few requests are under way at once") {
    committee_run on(19);
    net::worker_pool slow(1);
    std::promise<void> released;
    on.all[0]->readers = &slow;
    on.start_all();
    on.world.run_for(1s);
    std::unique_ptr<net::worker_pool::task> work = std::make_unique<waiting_task>(released.get_future());
    REQUIRE(slow.submit(work).has_value());
    for (int i = 0; i < 12; ++i) on.world.spawn(on.fetch_all(*on.all[1]->caller));
    on.world.run_for(1s);
    CHECK(on.busy == 8);
    released.set_value();
    slow.stop();  // those four are answered
    on.world.run_for(1s);
    CHECK(on.busy == 8);
}

TEST_CASE("who asks for more blocks than a member can read keeps nothing else waiting") {
    committee_run on(18);
    net::worker_pool overfull(1, 0);  // refuses all work
    on.all[0]->readers = &overfull;
    on.start_all();
    on.world.run_for(1s);
    auto fetch = on.blocks_head();
    append(fetch, wire::encode(std::pair(std::vector<consensus::block_ref>(), std::optional<consensus::round_number>(1))));
    CHECK(on.ask(*on.all[1]->caller, 0x0281, fetch, {}) == errc::exhausted);
    CHECK(on.ask(*on.all[1]->caller, 2, 0x0281, fetch, {}) == errc::ok);
    on.submit(0, 1min);
    on.world.run_for(5s);
    CHECK(on.done(0, 1));
    CHECK(on.agree());
}

TEST_CASE("strangers, garbage and other networks' messages move no member") {
    committee_run on(5);
    on.start_all();
    on.world.run_for(1s);
    const auto ask = [&](net::caller& as, net::method_id method, bytes head, bytes body) { return on.ask(as, method, std::move(head), std::move(body)); };
    auto& peer = *on.all[1]->caller;
    const auto network = ledger::id_of(on.config.origin);
    const auto head = on.blocks_head();
    CHECK(ask(*on.caller, 0x0280, head, wire::encode(std::vector<bytes>())) == errc::permission);
    CHECK(ask(peer, 0x0280, head, wire::encode(std::vector<bytes>())) == errc::ok);
    CHECK(ask(peer, 0x0280, {}, {}) == errc::protocol);
    CHECK(ask(peer, 0x0280, head, bytes(100, std::byte{0xff})) == errc::protocol);
    for (const int method : {0x0281, 0x0282, 0x0284, 0x0285}) CHECK(ask(peer, static_cast<net::method_id>(method), bytes(100, std::byte{0xff}), {}) == errc::protocol);
    auto many = head;
    append(many, wire::encode(std::vector(65, std::pair(block_height{1}, signature()))));
    many[0] = std::byte{1};
    CHECK(ask(peer, 0x0285, many, {}) == errc::too_large);
    auto elsewhere = network;
    elsewhere.raw[0] ^= std::byte{1};
    CHECK(ask(peer, 0x0280, on.head_of(elsewhere), wire::encode(std::vector<bytes>())) == errc::permission);
    on.submit(0, 1min);
    on.world.run_for(2s);
    CHECK(on.done(0, 1));
}

TEST_CASE("no acknowledged transaction is lost, whenever members and their power fail") {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        INFO("seed " << seed);
        committee_run on(seed);
        CHECK(ordeal(on, 4) == "");
    }
}

TEST_CASE("what rivals are told is linearizable, whenever members and their power fail") {
    std::size_t known = 0, unknown = 0, mistaken = 0;
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        INFO("seed " << seed);
        committee_run on(seed + 40);
        on.start_all();
        test::rivals all(on.world, on.account, on.random.next(), 200ms);
        std::vector<std::unique_ptr<net::caller>> callers;
        std::vector<std::unique_ptr<chain::client>> clients;
        unsigned busy = 5;
        for (unsigned i = 0; i < 5; ++i) {
            callers.push_back(on.network.caller_as(crypto::id_of<node_id>(test::key_from(20 + i).pub())));
            clients.push_back(chain::make_client(on.world, *callers.back(), on.config));
            on.world.spawn(rivalry(all, *clients.back(), 40, busy));
        }
        while (busy > 0) {
            on.world.run_for(std::chrono::milliseconds(100 + on.random.below(1500)));
            const auto first = on.random.below(members), count = on.random.below(members + 1);
            const bool power = on.random.below(2) == 0;
            for (std::size_t i = 0; i < count; ++i) on.end((first + i) % members, power);
            on.world.run_for(std::chrono::milliseconds(on.random.below(800)));
            for (std::size_t i = 0; i < members; ++i)
                if (!on.all[i]->node) REQUIRE(on.start(i).has_value());
        }
        for (auto history : all.histories()) {
            CHECK(test::linearizable(history));
            for (auto& op : history) {
                ++(op.answer ? known : unknown);
                if (!op.answer || mistaken >= 20) continue;
                op.answer = !*op.answer;  // would it notice?
                mistaken += test::linearizable(history) ? 0 : 1;
                op.answer = !*op.answer;
            }
        }
    }
    CHECK(known > 300);
    CHECK(unknown > 20);
    CHECK(mistaken == 20);
}

TEST_CASE("a committee is not made of two or three, nor of strangers, nor with another's share of the coin") {
    committee_run on(6);
    auto& m = *on.all[0];
    const auto make = [&](const ledger::genesis& origin, const crypto::secret_key& coin, std::vector<net::peer> known) {
        chain::validator_dependencies needs{on.world, m.disk, "/chain/dag", m.state, m.key, origin, on.workers, m.count, chain::validator_limits()};
        needs.committee.emplace(chain::committee_dependencies{*m.caller, std::move(known), coin, consensus::pacing(), on.workers});
        const auto made = chain::make_validator(std::move(needs));
        return made ? errc::ok : made.error().code;
    };
    const auto& good = on.config.origin;
    CHECK(make(good, on.all[1]->coin, on.config.validators) == errc::permission);
    CHECK(make(good, m.coin, {on.config.validators[0]}) == errc::invalid);
    auto three = good;
    three.first.members.pop_back();
    three.coin.pop_back();
    CHECK(make(three, m.coin, on.config.validators) == errc::unsupported);
    auto without = good;
    without.coin.clear();
    CHECK(make(without, m.coin, on.config.validators) == errc::invalid);
    auto strangers = good;
    std::swap(strangers.first.members[0], strangers.first.members[1]);
    CHECK(make(strangers, m.coin, on.config.validators) == errc::permission);
    strangers.first.members[1] = test::key_from(55).pub();
    CHECK(make(strangers, m.coin, on.config.validators) == errc::permission);
}
