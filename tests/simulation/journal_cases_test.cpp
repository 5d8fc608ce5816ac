// The cases of DESIGN §4, one by one: what must happen in each is said in the test's name.
#include <support/journal_world.hpp>

#include <core/base/log.hpp>

#include <catch2/catch.hpp>

#include <algorithm>

using namespace cess;
using namespace cess::simulation;

namespace {

constexpr std::uint64_t seeds = 40;

struct stage : journal_world {
    explicit stage(std::uint64_t seed, unsigned miners = 4, unsigned tolerated = 1) : journal_world(seed, options_for(miners, tolerated)) {
        log::settings quiet;
        quiet.threshold = log::level::off;
        REQUIRE(log::configure(quiet).has_value());
    }
    static options options_for(unsigned miners, unsigned tolerated) {
        options out;
        out.miners = miners;
        out.tolerated = tolerated;
        return out;
    }
    owner_process& take(bool force = true) {
        auto& owner = new_owner();
        owner.take(force);
        in().drive([&] { return !owner.taking(); }, in().now() + 60s);
        return owner;
    }
    owner_process& must_take() {
        auto& owner = take();
        INFO((owner.failure() ? owner.failure()->message() : std::string()));
        REQUIRE(owner.serving());
        return owner;
    }
    bool append(owner_process& owner, std::size_t count, net::duration patience = 30s) {
        const auto wanted = owner.acknowledged() + count;
        for (std::size_t i = 0; i < count; ++i) owner.append(20);
        in().drive([&] { return owner.acknowledged() >= wanted || owner.failed(); }, in().now() + patience);
        return owner.acknowledged() >= wanted;
    }
    model_miner& member(const owner_process& of, std::size_t i) { return *find(of.taken()->lease.members.at(i).miner); }
    void only(const owner_process& of, std::vector<std::size_t> reachable) {
        for (std::size_t i = 0; i < of.taken()->lease.members.size(); ++i)
            if (std::find(reachable.begin(), reachable.end(), i) == reachable.end()) net().cut(of.id(), of.taken()->lease.members[i].miner);
    }
    void sound() const {
        const auto wrong = violation();
        INFO((wrong ? *wrong : std::string()));
        REQUIRE_FALSE(wrong.has_value());
    }
};

}  // namespace

TEST_CASE("a tail on fewer than A miners is kept or dropped, and then the same for ever") {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        stage on(seed);
        auto& first = on.must_take();
        REQUIRE(on.append(first, 5));
        on.only(first, {0});
        CHECK_FALSE(on.append(first, 3, 1s));
        first.kill();
        if (seed % 2 == 0) on.member(first, 0).crash();
        auto& second = on.must_take();
        CHECK(second.taken()->history.size() >= 5);
        second.kill();
        on.heal();
        auto& third = on.must_take();
        CHECK(third.taken()->history == second.taken()->history);
        on.sound();
    }
}

TEST_CASE("two recoveries in a row, the second hearing other miners, see one history") {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        stage on(seed);
        auto& first = on.must_take();
        REQUIRE(on.append(first, 4));
        on.only(first, {seed % 4});
        (void)on.append(first, 4, 500ms);
        first.kill();
        on.net().mend_all();
        on.member(first, (seed + 1) % 4).crash();
        auto& second = on.must_take();
        second.kill();
        on.heal();
        on.member(first, seed % 4).crash();
        auto& third = on.must_take();
        CHECK(third.taken()->history == second.taken()->history);
        on.sound();
    }
}

TEST_CASE("a recovery that dies at any moment leaves the next one what was acknowledged") {
    for (std::uint64_t seed = 1; seed <= 3 * seeds; ++seed) {
        stage on(seed);
        auto& first = on.must_take();
        REQUIRE(on.append(first, 12));
        first.kill();
        for (int i = 0; i < 3; ++i) {
            auto& heir = on.new_owner();
            heir.take();
            on.in().run_for(on.in().between(1ms, 150ms));
            heir.kill();
        }
        on.in().run_for(5s);
        CHECK(on.must_take().taken()->history.size() == 12);
        on.sound();
    }
}

TEST_CASE("m members that lie, are wiped, forget their fence or pretend lose nothing") {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        stage on(seed);
        auto& bad = on.miner(0);
        if (seed % 4 == 0) bad.broken.pretending = true;
        auto& first = on.must_take();
        REQUIRE(on.append(first, 6));
        if (seed % 4 == 1) {
            bad.crash();
            bad.wipe();
            bad.start();
        }
        if (seed % 4 == 2) bad.broken.forgetful = true;
        if (seed % 4 == 3)
            on.net().set_lie(bad.id(), [](const node_id&, const net::request& asked, net::reply& answer) {
                if (asked.method != storage::method::journal_fence) return;
                auto state = wire::decode<storage::journal_state>(answer.head);
                if (!state) return;
                state->end = state->base = entry_index{0};
                answer.head = wire::encode(*state);
            });
        auto& second = on.must_take();
        CHECK(second.taken()->history.size() == 6);
        (void)on.append(first, 2, 2s);
        CHECK(first.acknowledged() == 6);
        on.sound();
    }
}

TEST_CASE("more than m members that cannot answer stop a recovery, and it goes on when they are back") {
    stage on(1);
    auto& first = on.must_take();
    REQUIRE(on.append(first, 6));
    first.kill();
    on.member(first, 0).crash();
    on.member(first, 1).crash();
    auto& second = on.take();
    REQUIRE(second.failed());
    CHECK(second.failure()->code == errc::unavailable);
    on.heal();
    CHECK(on.must_take().taken()->history.size() == 6);
    on.sound();
}

TEST_CASE("a wiped member is no answer, so m wiped and one unreachable stop a recovery") {
    stage on(1);
    auto& first = on.must_take();
    REQUIRE(on.append(first, 6));
    first.kill();
    on.member(first, 0).crash();
    on.member(first, 0).wipe();
    on.member(first, 0).start();
    on.member(first, 1).crash();
    auto& second = on.take();
    REQUIRE(second.failed());
    CHECK(second.failure()->code == errc::unavailable);
    on.member(first, 1).start();
    CHECK(on.must_take().taken()->history.size() == 6);
}

TEST_CASE("one slow or dead member costs nothing, and a spare that joins late holds everything") {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        stage on(seed);
        auto& owner = on.must_take();
        REQUIRE(on.append(owner, 20));
        on.member(owner, 0).crash();
        REQUIRE(on.append(owner, 20, 2s));
        on.in().run_for(3s);
        REQUIRE(on.append(owner, 20, 2s));
        on.in().run_for(3s);
        // The spare has what the dead one had: now another may go as well.
        on.member(owner, 0).start();
        on.in().run_for(3s);
        on.member(owner, 1).crash();
        REQUIRE(on.append(owner, 5, 5s));
        owner.kill();
        CHECK(on.must_take().taken()->history.size() == 65);
        on.sound();
    }
}

TEST_CASE("a member that no answer waits for gets what gathered as one, and soon has everything") {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        stage on(seed);
        auto& owner = on.must_take();
        std::map<node_id, std::size_t> appends;
        on.net().sky().delay_max = on.net().sky().delay_min;
        for (std::size_t i = 0; i < on.miners(); ++i) {
            on.miner(i).broken.sync_max = on.miner(i).broken.sync_min * 2;
            const auto id = on.miner(i).id();
            on.net().set_lie(id, [&appends, id](const node_id&, const net::request& asked, net::reply&) { appends[id] += asked.method == storage::method::journal_append ? 1 : 0; });
        }
        for (int i = 0; i < 100; ++i) REQUIRE(on.append(owner, 1));
        on.in().run_for(1s);
        std::vector<std::size_t> counts;
        for (const auto& [id, count] : appends) counts.push_back(count);
        std::sort(counts.begin(), counts.end());
        REQUIRE(counts.size() == 3);
        CHECK(counts[0] < 30);
        CHECK(counts[1] > 70);
        const auto have = [&](std::size_t i) {
            auto* volume = on.member(owner, i).find(on.volume());
            return volume && volume->journals[owner.taken()->lease.term].durable_end() == owner.journal()->acknowledged();
        };
        CHECK(have(0) + have(1) + have(2) + have(3) >= 3);
        on.member(owner, seed % 3).crash();
        owner.kill();
        CHECK(on.must_take().taken()->history.size() == 100);
        on.sound();
    }
}

TEST_CASE("an answer that waits for a slow member waits for it once") {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        stage on(seed);
        auto& owner = on.must_take();
        REQUIRE(on.append(owner, 10));
        auto& slow = on.member(owner, seed % 3);
        slow.broken.sync_min = slow.broken.sync_max = 80ms;
        REQUIRE(on.append(owner, 1));
        const auto began = on.in().now();
        for (int i = 0; i < 40; ++i) REQUIRE(on.append(owner, 1));
        CHECK(on.in().now() - began < 400ms);
        on.sound();
    }
}

TEST_CASE("what a spare copies from a liar is signed for whoever recovers from it") {
    stage on(3);
    auto& owner = on.must_take();
    REQUIRE(on.append(owner, 40));
    on.net().set_lie(on.member(owner, 1).id(), [](const node_id&, const net::request& asked, net::reply& answer) {
        if (asked.method != storage::method::journal_read) return;
        auto page = wire::decode<storage::journal_read_reply>(answer.head);
        if (!page) return;
        for (auto& group : page->groups) group.sig.raw[7] ^= std::byte{1};
        answer.head = wire::encode(*page);
    });
    on.member(owner, 0).crash();
    REQUIRE(on.append(owner, 5));
    on.in().run_for(3s);
    const auto& lease = owner.taken()->lease;
    const storage::journal_ref name{on.volume(), lease.term};
    const auto& copied = on.member(owner, 3).find(on.volume())->journals[lease.term];
    CHECK(copied.end() == owner.journal()->acknowledged());
    for (const auto& g : copied.groups)
        CHECK(crypto::verify(lease.session, storage::group_digest(name, {g.end().value - 1}, g.chain).view(), g.head.sig));
}

TEST_CASE("an owner that comes back is refused, and knows that it was deposed") {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        stage on(seed);
        auto& first = on.must_take();
        REQUIRE(on.append(first, 3));
        for (std::size_t i = 0; i < 4; ++i) on.net().cut(first.id(), on.miner(i).id());
        auto& second = on.must_take();
        REQUIRE(on.append(second, 3));
        on.net().mend_all();
        CHECK_FALSE(on.append(first, 3));
        REQUIRE(first.failed());
        CHECK(first.failure()->code == errc::fenced);
        REQUIRE(on.append(second, 3));
        on.sound();
    }
}

TEST_CASE("a checkpoint that never becomes final trims nothing, one that does moves what a recovery reads") {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        stage on(seed);
        auto& first = on.must_take();
        REQUIRE(on.append(first, 30));
        on.consensus().down = true;
        first.commit();
        on.in().run_for(5s);
        REQUIRE(on.append(first, 5));
        on.consensus().down = false;
        if (seed % 2 == 0) {
            first.kill();
            CHECK(on.must_take().taken()->history.size() == 35);
            on.sound();
            continue;
        }
        first.commit();
        on.in().run_for(5s);
        REQUIRE(on.append(first, 7));
        first.kill();
        CHECK(on.must_take().taken()->history.size() == 7);
        on.sound();
    }
}

TEST_CASE("a member that missed a trim joins again and counts again") {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        stage on(seed);
        auto& owner = on.must_take();
        REQUIRE(on.append(owner, 5));
        on.member(owner, 0).crash();
        REQUIRE(on.append(owner, 40));
        owner.commit();
        on.in().run_for(3s);
        REQUIRE(on.append(owner, 10));
        on.member(owner, 0).start();
        on.in().run_for(5s);
        REQUIRE(on.append(owner, 2));
        on.in().run_for(5s);
        on.member(owner, 1).crash();
        on.member(owner, 2).crash();
        const bool left = on.append(owner, 1, 6s);
        CHECK(left);
        owner.kill();
        on.heal();
        CHECK(on.must_take().taken()->history.size() == 13);
        on.sound();
    }
}

TEST_CASE("consensus down for a week stops no append") {
    stage on(5);
    auto& owner = on.must_take();
    on.consensus().down = true;
    for (int day = 0; day < 7; ++day) {
        REQUIRE(on.append(owner, 20));
        on.in().run_for(std::chrono::hours(24));
    }
    on.consensus().down = false;
    owner.kill();
    CHECK(on.must_take().taken()->history.size() == 140);
}

TEST_CASE("members that are silent for longer than the deadline are waited for, and the term goes on with them") {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        stage on(seed);
        auto& owner = on.must_take();
        REQUIRE(on.append(owner, 3));
        if (seed % 2 == 0) {
            for (std::size_t i = 0; i < on.miners(); ++i) on.miner(i).crash();
        } else {
            for (std::size_t i = 0; i < on.miners(); ++i) on.net().cut(owner.id(), on.miner(i).id());
        }
        CHECK_FALSE(on.append(owner, 5, on.in().between(9s, 120s)));
        CHECK_FALSE(owner.failed());
        CHECK(owner.acknowledged() == 3);
        CHECK(owner.journal()->silent());
        on.heal();
        for (int i = 0; i < 4; ++i) owner.append(20);
        on.in().drive([&] { return owner.acknowledged() == 12 || owner.failed(); }, on.in().now() + 30s);
        REQUIRE(owner.acknowledged() == 12);
        CHECK_FALSE(owner.journal()->silent());
        owner.kill();
        CHECK(on.must_take().taken()->history.size() == 12);
        on.sound();
    }
}

TEST_CASE("an owner that was deposed in a silence learns it, and that stays") {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        stage on(seed);
        auto& first = on.must_take();
        REQUIRE(on.append(first, 3));
        for (std::size_t i = 0; i < on.miners(); ++i) on.net().cut(first.id(), on.miner(i).id());
        CHECK_FALSE(on.append(first, 2, 10s));
        auto& second = on.must_take();
        CHECK(second.taken()->history.size() == 3);
        // By the ledger, in the silence or after it; by its members, after it.
        if (seed % 2 == 0) on.consensus().down = true;
        if (seed % 2 == 0) on.net().mend_all();
        on.in().drive([&] { return first.failed(); }, on.in().now() + 30s);
        REQUIRE(first.failed());
        CHECK(first.failure()->code == errc::fenced);
        on.consensus().down = false;
        on.heal();
        CHECK_FALSE(on.append(first, 1, 10s));
        CHECK(first.acknowledged() == 3);
        REQUIRE(on.append(second, 2));
        on.sound();
    }
}

TEST_CASE("members that are silent while the journal is begun end the recovery at the deadline") {
    stage on(2);
    auto& owner = on.new_owner();
    for (std::size_t i = 0; i < on.miners(); ++i)
        on.net().set_lie(on.miner(i).id(), [](const node_id&, const net::request& asked, net::reply& answer) {
            if (asked.method == storage::method::journal_append) answer = net::reply::of(error(errc::unavailable, "silent"));
        });
    owner.take();
    on.in().drive([&] { return !owner.taking(); }, on.in().now() + 60s);
    CHECK_FALSE(owner.serving());
    CHECK(owner.failed());
}
