#include <chain/consensus/cks_coin.hpp>
#include <chain/consensus/replica.hpp>
#include <support/consensus_standins.hpp>
#include <support/ledger_bench.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>
#include <set>

using namespace cess;
using namespace cess::consensus;
using simulation::cheap_coin;
using simulation::cheap_keys;

namespace {

struct everything final : archive {
    [[nodiscard]] bool holds(const block_ref&) const override { return false; }
};

epoch_context epoch_of(std::size_t members) {
    epoch_context out;
    out.network.raw[0] = std::byte{1};
    out.epoch = 3;
    out.genesis.raw[0] = std::byte{2};
    out.by = rules::of(members);
    return out;
}

// A DAG drawn by hand: members of four, blocks by "author in round with these parents".
struct drawing {
    explicit drawing(std::size_t members = 4, std::size_t leaders = 1) : of(epoch_of(members)) {
        of.by.leaders = leaders;
        graph = std::make_unique<dag>(of.by, of.genesis, nothing);
    }
    const vertex& draw(round_number round, author_index author, std::vector<const vertex*> parents, std::string_view mark = {}) {
        block b;
        b.body.round = round;
        b.body.author = author;
        for (const auto* const parent : parents) b.body.parents.push_back(parent->ref());
        std::sort(b.body.parents.begin(), b.body.parents.end(), [](const auto& x, const auto& y) { return x.author < y.author; });
        if (!mark.empty()) b.body.payload.push_back(to_bytes(mark));
        return graph->insert(named(std::move(b)));
    }
    [[nodiscard]] std::vector<const vertex*> round(round_number which, std::set<author_index> without = {}) const {
        std::vector<const vertex*> out;
        for (author_index author = 0; author < of.by.members; ++author)
            if (!without.contains(author) && !graph->at(which, author).empty()) out.push_back(graph->at(which, author).front().get());
        return out;
    }
    // Everybody's blocks up to `last`, each with all parents.
    void full(round_number first, round_number last) {
        for (auto r = first; r <= last; ++r)
            for (author_index author = 0; author < of.by.members; ++author) draw(r, author, round(r - 1));
    }
    [[nodiscard]] decision_window decide_all(const coin_leaders& coins = {}) const {
        decision_window window;
        for (round_number r = 1; r <= graph->highest(); ++r) append_slots(of.by, r, window);
        decide(*graph, of.by, coins, window);
        return window;
    }
    [[nodiscard]] decision at(slot where, const coin_leaders& coins = {}) const {
        for (const auto& d : decide_all(coins))
            if (d.where == where) return d;
        FAIL("no such slot");
        return {};
    }
    epoch_context of;
    everything nothing;
    std::unique_ptr<dag> graph;
};

// A valid block of round 1 by member 0 of four.
block first_block(const epoch_context& of) {
    block b;
    b.body.network = of.network;
    b.body.epoch = of.epoch;
    b.body.round = 1;
    for (author_index i = 0; i < 3; ++i) b.body.parents.push_back({0, i, of.genesis});
    return b;
}

}  // namespace

// ---- blocks -------------------------------------------------------------------------------------------------

TEST_CASE("a block's encoding is pinned") {
    auto b = first_block(epoch_of(4));
    b.body.weak.push_back({7, 2, hash256{}});
    b.body.payload.push_back(to_bytes("pay"));
    b.body.coin_share = to_bytes("share");
    b.body.certificate_signatures.emplace_back(block_height{5}, signature{});
    b.body.durable_watermark = 6;
    CHECK(digest_of(b.body).hex() == "f8e93082c26b8558d8ec8130c13e3bce504e8b73b80d8afa9030925422215180");
    const auto again = wire::decode<block>(wire::encode(b));
    REQUIRE(again.has_value());
    CHECK(digest_of(again->body) == digest_of(b.body));
}

TEST_CASE("a block that no honest member makes is refused") {
    const auto of = epoch_of(4);
    const cheap_keys keys(0);
    const cheap_coin shares(1, 0, 2);
    const auto verdict = [&](const std::function<void(block&)>& change) {
        auto b = first_block(of);
        change(b);
        if (b.sig == signature{}) b.sig = keys.sign(digest_of(b.body));
        return check(*named(std::move(b)), of, keys, shares);
    };
    CHECK(verdict([](block&) {}).has_value());
    const std::vector<std::function<void(block&)>> wrong{
        [](block& b) { b.body.network.raw[5] = std::byte{1}; },
        [](block& b) { b.body.epoch = 4; },
        [](block& b) { b.body.author = 4; },
        [](block& b) { b.body.round = 0; },
        [](block& b) { b.body.round = limits::round + 1; },
        [](block& b) { b.body.round = 2; },
        [](block& b) { b.body.durable_watermark = 1; },
        [](block& b) { b.body.parents.pop_back(); },
        [](block& b) { b.body.parents[2] = b.body.parents[1]; },
        [](block& b) { std::swap(b.body.parents[0], b.body.parents[1]); },
        [](block& b) { b.body.parents[2].author = 4; },
        [](block& b) { b.body.parents[0].author = 3, std::rotate(b.body.parents.begin(), b.body.parents.begin() + 1, b.body.parents.end()); },
        [](block& b) { b.body.weak.push_back({0, 0, {}}); },
        [](block& b) { b.body.payload.resize(limits::payload_items + 1); },
        [](block& b) { b.body.payload.push_back(bytes(limits::payload_bytes + 1)); },
        [](block& b) { b.body.certificate_signatures.resize(2); },
        [](block& b) { b.body.coin_share.push_back(std::byte{1}); },
        [](block& b) { b.sig.raw[0] = std::byte{1}; },
    };
    for (std::size_t i = 0; i < wrong.size(); ++i) {
        INFO("wrong in way " << i);
        CHECK(verdict(wrong[i]).has_error());
    }
}

TEST_CASE("a weak link to more than depth rounds ago is refused, but for that of who jumped") {
    const auto of = epoch_of(4);
    const cheap_keys keys(0);
    const cheap_coin shares(1, 0, 2);
    const auto with = [&](author_index first_parent, std::vector<block_ref> weak) {
        auto b = first_block(of);
        b.body.round = 200;
        for (author_index i = 0; i < 3; ++i) b.body.parents[i] = {199, static_cast<author_index>(first_parent + i), of.genesis};
        b.body.weak = std::move(weak);
        b.sig = keys.sign(digest_of(b.body));
        return check(*named(std::move(b)), of, keys, shares).has_value();
    };
    const auto oldest = 200 - of.by.depth;
    CHECK(with(0, {{oldest, 2, {}}}));
    CHECK_FALSE(with(0, {{oldest - 1, 2, {}}}));
    CHECK_FALSE(with(0, {{oldest - 1, 0, {}}}));  // it did not jump
    CHECK(with(1, {{3, 0, {}}}));
    CHECK(with(1, {{3, 0, {}}, {oldest, 2, {}}}));
    CHECK_FALSE(with(1, {{3, 0, {}}, {4, 0, {}}}));
    CHECK_FALSE(with(1, {{3, 0, {}}, {4, 2, {}}}));
}

TEST_CASE("a block of a round in which a coin is revealed has its author's share") {
    const auto of = epoch_of(4);
    const cheap_keys keys(0);
    const cheap_coin shares(1, 0, 2), others(1, 1, 2);
    const auto with = [&](const bytes& share) {
        auto b = first_block(of);
        b.body.round = of.by.coin_interval + of.by.share_after;
        for (auto& parent : b.body.parents) parent.round = b.body.round - 1;
        b.body.coin_share = share;
        b.sig = keys.sign(digest_of(b.body));
        return check(*named(std::move(b)), of, keys, shares);
    };
    CHECK(with(shares.share(1)).has_value());
    CHECK(with({}).has_error());
    CHECK(with(shares.share(2)).has_error());
    CHECK(with(others.share(1)).has_error());
}

// ---- the commit rule ----------------------------------------------------------------------------------------

TEST_CASE("a leader is committed by a quorum of certificates, and not by fewer") {
    drawing on;
    on.full(1, 2);
    const auto leader = on.of.by.leader_of({1, 1});
    on.draw(3, 0, on.round(2));
    on.draw(3, 1, on.round(2));
    CHECK(on.at({1, 1}).what == verdict::undecided);
    on.draw(3, 2, on.round(2));
    const auto got = on.at({1, 1});
    CHECK(got.what == verdict::committed);
    CHECK(got.leader == on.graph->at(1, leader).front().get());
}

TEST_CASE("a leader is skipped by a quorum of non-votes, and not by fewer") {
    drawing on;
    on.full(1, 1);
    const auto leader = on.of.by.leader_of({1, 1});
    std::vector<author_index> others;
    for (author_index i = 0; i < 4; ++i)
        if (i != leader) others.push_back(i);
    on.draw(2, others[0], on.round(1, {leader}));
    on.draw(2, others[1], on.round(1, {leader}));
    CHECK(on.at({1, 1}).what == verdict::undecided);
    on.draw(2, others[2], on.round(1, {leader}));
    CHECK(on.at({1, 1}).what == verdict::skipped);
}

TEST_CASE("an anchor commits what it has one certificate for, and skips what it has none for") {
    for (const bool certified : {true, false}) {
        drawing on;
        on.full(1, 1);
        const auto leader = on.of.by.leader_of({1, 1});
        std::vector<author_index> others;
        for (author_index i = 0; i < 4; ++i)
            if (i != leader) others.push_back(i);
        // Three votes, or two: neither way a quorum of non-votes.
        on.draw(2, leader, on.round(1));
        on.draw(2, others[0], on.round(1));
        on.draw(2, others[1], certified ? on.round(1) : on.round(1, {leader}));
        on.draw(2, others[2], on.round(1, {leader}));
        // One certificate at most.
        on.draw(3, leader, on.round(2, {others[0]}));
        on.draw(3, others[0], on.round(2, {others[2]}));
        on.draw(3, others[1], on.round(2, {leader}));
        CHECK(on.at({1, 1}).what == verdict::undecided);
        on.full(4, 5);
        CHECK(on.at({1, 1}).what == verdict::undecided);
        on.full(6, 6);
        CHECK(on.at({4, 1}).what == verdict::committed);
        CHECK(on.at({1, 1}).what == (certified ? verdict::committed : verdict::skipped));
    }
}

TEST_CASE("of an equivocating leader's blocks at most one is committed, whatever the votes") {
    drawing on;
    on.full(1, 1);
    const auto leader = on.of.by.leader_of({1, 1});
    const auto& other = on.draw(1, leader, on.round(0), "other");
    auto with_other = on.round(1);
    std::replace_if(with_other.begin(), with_other.end(), [&](const vertex* v) { return v->author() == leader; }, &other);
    on.draw(2, 0, on.round(1));
    on.draw(2, 1, on.round(1));
    on.draw(2, 2, with_other);
    on.draw(2, 3, with_other);
    on.full(3, 6);
    CHECK(on.at({1, 1}).what == verdict::skipped);  // two votes each: the anchor finds no certificate
    drawing second;
    second.full(1, 1);
    const auto& copy = second.draw(1, leader, second.round(0), "other");
    auto with_copy = second.round(1);
    std::replace_if(with_copy.begin(), with_copy.end(), [&](const vertex* v) { return v->author() == leader; }, &copy);
    second.draw(2, 0, second.round(1));
    for (author_index i = 1; i < 4; ++i) second.draw(2, i, with_copy);
    second.full(3, 3);
    CHECK(second.at({1, 1}).leader == &copy);
}

TEST_CASE("a coin slot is undecided until its leader is known, and comes first in its round") {
    drawing on(4, 4);
    on.of.by.coin_interval = 8;
    on.full(1, 14);
    CHECK(on.at({8, 0}).what == verdict::undecided);
    const auto got = on.at({8, 0}, {{1, author_index{2}}});
    CHECK(got.what == verdict::committed);
    CHECK(got.leader == on.graph->at(8, 2).front().get());
    const auto window = on.decide_all();
    CHECK(std::is_sorted(window.begin(), window.end(), [](const decision& a, const decision& b) { return a.where < b.where; }));
}

TEST_CASE("the two rounds before a coin slot have no slots") {
    const auto by = rules::of(4);
    for (round_number r = 1; r <= 3 * by.coin_interval; ++r) {
        decision_window window;
        append_slots(by, r, window);
        const auto left = by.coin_interval - r % by.coin_interval;
        const std::size_t deterministic = left <= 2 ? 0 : 4, coin = left == by.coin_interval ? 1 : 0;
        CHECK(window.size() == deterministic + coin);
    }
}

TEST_CASE("deciding as blocks come in ends as deciding all at once") {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        seeded_random random(seed);
        drawing on(4, 4);
        on.of.by.coin_interval = 8;
        const coin_leaders coins{{1, author_index{1}}, {2, author_index{3}}, {3, author_index{0}}};
        decision_window window;
        round_number top = 0;
        for (round_number r = 1; r <= 30; ++r) {
            for (author_index author = 0; author < 4; ++author) {
                const bool one_is_silent = on.round(r - 1).size() < 4;
                if (author == 3 && random.below(3) == 0 && !one_is_silent) continue;
                auto parents = on.round(r - 1);
                if (parents.size() == 4 && random.below(2) == 0) parents = on.round(r - 1, {static_cast<author_index>(random.below(4))});
                on.draw(r, author, parents);
                while (top < on.graph->highest()) append_slots(on.of.by, ++top, window);
                decide(*on.graph, on.of.by, coins, window);
            }
        }
        const auto at_once = on.decide_all(coins);
        REQUIRE(window.size() == at_once.size());
        for (std::size_t i = 0; i < window.size(); ++i) {
            CHECK(window[i].what == at_once[i].what);
            CHECK(window[i].leader == at_once[i].leader);
        }
    }
}

TEST_CASE("what a leader adds is its history that is not there yet, in one order, down to the horizon") {
    drawing on;
    on.of.by.depth = 3;
    on.full(1, 6);
    const auto first = sequence(*on.graph, on.of.by, *on.graph->at(5, 1).front());
    REQUIRE(first.size() == 13);  // rounds 2, 3, 4 and itself
    CHECK(first.front()->round() == 2);
    CHECK(first.back() == on.graph->at(5, 1).front().get());
    CHECK(std::is_sorted(first.begin(), first.end(), [](const vertex* a, const vertex* b) { return a->ref() < b->ref(); }));
    CHECK(sequence(*on.graph, on.of.by, *on.graph->at(6, 0).front()).size() == 4);
}

// ---- the step machine ---------------------------------------------------------------------------------------

namespace {

// Members with the real keys and the real coin, who hear each other at once and in order.
struct committee_of_four {
    explicit committee_of_four(const std::function<void(rules&)>& change = {}) : of(epoch_of(4)) {
        of.by.coin_interval = 8;
        if (change) change(of.by);
        seeded_random random(3);
        const auto dealt = deal_coin(random, 4, 2);
        std::vector<public_key> members;
        for (author_index i = 0; i < 4; ++i) members.push_back(test::seeded_key(i).pub());
        for (author_index i = 0; i < 4; ++i) {
            keys.push_back(std::make_unique<ed25519_keys>(test::seeded_key(i), members));
            coins.push_back(std::make_unique<cks_coin>(of.network, of.epoch, i, dealt.secrets[i], dealt.verification, 2));
            machines.push_back(std::make_unique<replica>(of, i, pace, nothing, *keys[i], *coins[i]));
        }
    }
    void act(author_index who, actions what) {
        for (const auto& c : what.commits)
            for (const auto& b : c.blocks) sequences[who].push_back(b->ref);
        if (what.persist) act(who, machines[who]->on_durable(now));
        for (const auto& b : what.send) sent.emplace_back(who, b);
    }
    void run(round_number until) {
        for (author_index i = 0; i < 4; ++i) act(i, machines[i]->start(now));
        while (machines[0]->own_round() < until) {
            now += pace.round_min;
            for (auto batch = std::exchange(sent, {}); const auto& [from, b] : batch)
                for (author_index to = 0; to < 4; ++to)
                    if (to != from) act(to, machines[to]->on_block(now, from, b).value());
            for (author_index i = 0; i < 4; ++i) {
                (void)machines[i]->submit(to_bytes("work"));
                act(i, machines[i]->on_timer(now));
            }
        }
    }
    epoch_context of;
    everything nothing;
    pacing pace;
    instant now = 1;
    std::vector<std::unique_ptr<ed25519_keys>> keys;
    std::vector<std::unique_ptr<cks_coin>> coins;
    std::vector<std::unique_ptr<replica>> machines;
    std::vector<std::pair<author_index, block_ptr>> sent;
    std::map<author_index, std::vector<block_ref>> sequences;
};

}  // namespace

TEST_CASE("four members with real signatures and the real coin agree past coin slots") {
    committee_of_four on;
    on.run(30);
    for (author_index i = 0; i < 4; ++i) {
        CHECK(on.machines[i]->order().committed_round() >= 26);
        CHECK(on.sequences[i].size() > 100);
        const auto shorter = std::min(on.sequences[i].size(), on.sequences[0].size());
        CHECK(std::equal(on.sequences[i].begin(), on.sequences[i].begin() + static_cast<std::ptrdiff_t>(shorter), on.sequences[0].begin()));
    }
}

TEST_CASE("what is in the sequence keeps no payload in memory") {
    committee_of_four on;
    on.run(30);
    const auto& graph = on.machines[0]->graph();
    for (const auto& ref : on.sequences[0]) {
        REQUIRE(graph.find(ref));
        CHECK(graph.find(ref)->block->body().payload.empty());
    }
    CHECK_FALSE(graph.at(on.machines[0]->own_round(), 0).front()->block->body().payload.empty());
}

TEST_CASE("while nothing is sequenced blocks carry no more payload") {
    committee_of_four on([](rules& by) {
        by.commit_quorum = by.skip_quorum = 5;  // more than there are
        by.depth = 10;
    });
    on.run(40);
    CHECK(on.sequences.empty());
    CHECK_FALSE(on.machines[0]->graph().at(15, 0).front()->block->body().payload.empty());
    CHECK(on.machines[0]->graph().at(30, 0).front()->block->body().payload.empty());
}

TEST_CASE("a committee of one goes on alone") {
    const auto of = epoch_of(1);
    const cheap_keys keys(0);
    const cheap_coin shares(1, 0, 1);
    const everything nothing;
    const pacing pace;
    replica only(of, 0, pace, nothing, keys, shares);
    instant now = 1;
    std::size_t blocks = 0;
    for (auto todo = only.start(now); blocks < 100; todo = todo.persist ? only.on_durable(now) : only.on_timer(now)) {
        for (const auto& c : todo.commits) blocks += c.blocks.size();
        REQUIRE(now < 10'000'000);
        now += pace.round_min;
        (void)only.submit(to_bytes("work"));
    }
}

TEST_CASE("blocks that cannot be placed are bounded, and do not keep others out") {
    const auto of = epoch_of(4);
    const cheap_keys own(0), liar(3);
    const cheap_coin shares(1, 0, 2);
    const everything nothing;
    replica on(of, 0, {}, nothing, own, shares);
    (void)on.start(1);
    seeded_random random(1);
    std::size_t requests = 0;
    for (int i = 0; i < 2000; ++i) {
        auto b = first_block(of);
        b.body.author = 3;
        b.body.round = 2 + random.below(60);
        for (auto& parent : b.body.parents) parent = {b.body.round - 1, static_cast<author_index>(parent.author + 1), random.id<hash256>()};
        b.sig = liar.sign(digest_of(b.body));
        const auto got = on.on_block(1, 3, named(std::move(b)));
        REQUIRE(got.has_value());
        for (const auto& ask : got->requests) requests += ask.blocks.size();
    }
    CHECK(on.waiting() <= pending::blocks_an_author);
    CHECK(requests <= pending::blocks_an_author * 4);
    CHECK(on.graph().size() == 4);
    auto good = first_block(of);
    good.body.author = 1;
    good.sig = cheap_keys(1).sign(digest_of(good.body));
    CHECK(on.on_block(1, 1, named(std::move(good))).value().log.size() == 1);
}

TEST_CASE("of an equivocator's blocks two are kept, and more only if another's block needs them") {
    const auto of = epoch_of(4);
    const cheap_keys own(0);
    const cheap_coin shares(1, 0, 2);
    const everything nothing;
    replica on(of, 0, {}, nothing, own, shares);
    (void)on.start(1);
    std::vector<block_ptr> copies;
    for (int i = 0; i < 4; ++i) {
        auto b = first_block(of);
        b.body.author = 2;
        b.body.payload.push_back(wire::encode(i));
        b.sig = cheap_keys(2).sign(digest_of(b.body));
        copies.push_back(named(std::move(b)));
        (void)on.on_block(1, 2, copies.back());
    }
    CHECK(on.graph().at(1, 2).size() == 2);
    std::vector<block_ref> parents{{}, {}, copies[3]->ref};
    for (author_index i = 0; i < 2; ++i) {
        auto b = first_block(of);
        b.body.author = i == 0 ? 1 : 3;
        if (i == 1)
            for (auto& parent : b.body.parents) ++parent.author;
        b.sig = cheap_keys(b.body.author).sign(digest_of(b.body));
        const auto made = named(std::move(b));
        parents[i == 0 ? 0 : 1] = made->ref;
        (void)on.on_block(1, made->ref.author, made);
    }
    std::sort(parents.begin(), parents.end(), [](const auto& a, const auto& b) { return a.author < b.author; });
    auto needs = first_block(of);
    needs.body.author = 1;
    needs.body.round = 2;
    needs.body.parents = parents;
    needs.sig = cheap_keys(1).sign(digest_of(needs.body));
    const auto asked = on.on_block(1, 1, named(std::move(needs)));
    REQUIRE(asked.value().requests.size() == 1);
    CHECK(asked.value().requests[0].peer == 1);
    CHECK(on.on_block(1, 1, copies[3]).value().log.size() == 2);
    CHECK(on.graph().at(1, 2).size() == 3);
}

TEST_CASE("a stranger's block is refused before anything of it is used") {
    const auto of = epoch_of(4);
    const cheap_keys own(0);
    const cheap_coin shares(1, 0, 2);
    const everything nothing;
    replica on(of, 0, {}, nothing, own, shares);
    (void)on.start(1);
    for (const round_number round : {0, 1, 5}) {
        auto b = first_block(of);
        b.body.author = 60000;
        b.body.round = round;
        CHECK(on.graph().at(round, 60000).empty());
        CHECK(on.on_block(1, 3, named(std::move(b))).error().code == errc::protocol);
    }
}

TEST_CASE("a block that names an own block before that is made is accepted once it is") {
    const auto of = epoch_of(4);
    const cheap_keys own(0);
    const cheap_coin shares(1, 0, 2);
    const everything nothing;
    replica on(of, 0, {}, nothing, own, shares);
    const auto mine = on.start(1).persist;  // whoever knows its parents foresees it
    REQUIRE(mine);
    std::vector<block_ref> parents{mine->ref};
    for (author_index author = 1; author < 4; ++author) {
        auto b = first_block(of);
        b.body.author = author;
        b.body.parents.push_back({0, 3, of.genesis});
        b.sig = cheap_keys(author).sign(digest_of(b.body));
        const auto made = named(std::move(b));
        parents.push_back(made->ref);
        REQUIRE(on.on_block(1, author, made)->log.size() == 1);
    }
    auto early = first_block(of);
    early.body.author = 3;
    early.body.round = 2;
    early.body.parents = parents;
    early.sig = cheap_keys(3).sign(digest_of(early.body));
    const auto waits = named(std::move(early));
    REQUIRE(on.on_block(1, 3, waits).has_value());
    CHECK(on.waiting() == 1);
    CHECK(on.on_durable(2).log == std::vector<block_ptr>{waits});
    CHECK(on.waiting() == 0);
    CHECK(on.graph().find(waits->ref));
}

TEST_CASE("a member is asked for rounds whoever else was asked a moment ago") {
    const auto of = epoch_of(4);
    const cheap_keys own(0);
    const cheap_coin shares(1, 0, 2);
    const everything nothing;
    replica on(of, 0, {}, nothing, own, shares);
    (void)on.start(1);
    const auto far = [&](author_index author, round_number round) {
        auto b = first_block(of);
        b.body.author = author;
        b.body.round = round;
        for (auto& parent : b.body.parents) parent.round = round - 1;
        if (author == 3) b.body.parents.push_back({round - 1, 3, of.genesis});
        b.sig = cheap_keys(author).sign(digest_of(b.body));
        return named(std::move(b));
    };
    const auto asked = [&](author_index author, instant now, round_number round) {
        const auto got = on.on_block(now, author, far(author, round));
        REQUIRE(got.has_value());
        return std::count_if(got->requests.begin(), got->requests.end(), [&](const auto& r) { return r.peer == author && r.from; });
    };
    CHECK(asked(3, 10, 1000) == 1);
    CHECK(asked(3, 11, 1001) == 0);
    CHECK(asked(1, 11, 1000) == 1);
}
