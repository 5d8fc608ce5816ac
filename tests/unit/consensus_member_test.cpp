// One member of four, step by step: the test plays the others, and the disk.
#include <chain/consensus/replica.hpp>
#include <support/consensus_standins.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <set>

using namespace cess;
using namespace cess::consensus;
using simulation::cheap_coin;
using simulation::cheap_keys;

namespace {

struct known_blocks final : archive {
    std::set<block_ref> all;
    [[nodiscard]] bool holds(const block_ref& what) const override { return all.contains(what); }
};

struct counting_keys final : keys {
    cheap_keys inner{0};
    mutable std::size_t checked = 0;
    [[nodiscard]] signature sign(const hash256& digest) const override { return inner.sign(digest); }
    [[nodiscard]] bool holds(author_index author, const hash256& digest, const signature& sig) const override {
        ++checked;
        return inner.holds(author, digest, sig);
    }
};

// Member 0. The others are 1, 2 and 3, a quorum without it.
struct member_among_others {
    explicit member_among_others(round_number depth = 128) {
        of.network.raw[0] = std::byte{1};
        of.epoch = 3;
        of.genesis.raw[0] = std::byte{2};
        of.by = rules::of(4);
        of.by.coin_interval = 8;
        of.by.depth = depth;
        for (author_index i = 1; i < 4; ++i) tips[i] = {0, i, of.genesis};
    }
    void boot() { on = std::make_unique<replica>(of, author_index{0}, pace, archive, signer, shares, bounds); }
    void restart() {
        boot();
        for (const auto& b : std::vector(log)) last = on->replay(b);
        act(on->start(now));
    }
    // Carried out as an owner does; but what is to be made durable stays on its way if `slow_disk`.
    void act(actions what) {
        for (const auto& b : what.log) keep(b);
        if (what.persist) log.push_back(own = what.persist);
        const bool durable = what.persist && !slow_disk;
        last = std::move(what);
        if (durable) written();
    }
    void written() {
        archive.all.insert(own->ref);
        act(on->on_durable(now));
    }
    void keep(const block_ptr& b) {
        log.push_back(b);
        archive.all.insert(b->ref);
    }
    [[nodiscard]] block_ptr made(author_index author, round_number round, std::vector<block_ref> parents, std::string_view mark = {}, std::vector<block_ref> weak = {}) const {
        block b;
        b.body.network = of.network;
        b.body.epoch = of.epoch;
        b.body.round = round;
        b.body.author = author;
        b.body.parents = std::move(parents);
        b.body.weak = std::move(weak);
        if (!mark.empty()) b.body.payload.push_back(to_bytes(mark));
        if (const auto coin = of.by.coin_revealed_in(round)) b.body.coin_share = cheap_coin(1, author, 2).share(*coin);
        b.sig = cheap_keys(author).sign(digest_of(b.body));
        return named(std::move(b));
    }
    result<actions> hear(const block_ptr& b, author_index from) {
        auto got = on->on_block(now, from, b);
        if (got) act(*got);
        return got;
    }
    // The others' next round, whose blocks name each other's, and the member's too if `with_own`.
    void others_make(bool with_own = false) {
        std::vector<block_ref> parents;
        if (with_own) parents.push_back(on->graph().at(tips[1].round, 0).front()->ref());
        for (author_index i = 1; i < 4; ++i) parents.push_back(tips[i]);
        const auto round = tips[1].round + 1;
        for (author_index i = 1; i < 4; ++i) {
            const auto b = made(i, round, parents);
            tips[i] = b->ref;
            REQUIRE(hear(b, i).has_value());
        }
    }
    // Its turn, if it is.
    void go_on() {
        now += pace.leader_wait + pace.round_min;
        act(on->on_timer(now));
    }
    void others_go_on(bool with_own = false) {
        others_make(with_own);
        go_on();
    }
    [[nodiscard]] std::vector<block_ref> genesis(author_index but) const {
        std::vector<block_ref> out;
        for (author_index i = 0; i < 4; ++i)
            if (i != but) out.push_back({0, i, of.genesis});
        return out;
    }
    [[nodiscard]] std::size_t asked_for(const block_ref& what) const {
        std::size_t out = 0;
        for (const auto& ask : last.requests) out += static_cast<std::size_t>(std::count(ask.blocks.begin(), ask.blocks.end(), what));
        return out;
    }
    epoch_context of;
    payload_bounds bounds;
    pacing pace;
    known_blocks archive;
    counting_keys signer;
    cheap_coin shares{1, 0, 2};
    std::unique_ptr<replica> on;
    instant now = 1;
    bool slow_disk = false;
    block_ptr own;  // its newest, durable or on its way to be
    actions last;
    std::vector<block_ptr> log;
    std::map<author_index, block_ref> tips;
};

std::size_t count_of(std::string_view item, const block_body& in) {
    return static_cast<std::size_t>(std::count(in.payload.begin(), in.payload.end(), to_bytes(item)));
}

}  // namespace

// ---- going on -----------------------------------------------------------------------------------------------

TEST_CASE("a member whose newest block is forgotten goes on from where the others are") {
    member_among_others with(12);
    with.boot();
    with.slow_disk = true;
    with.act(with.on->start(with.now));
    const auto first = with.own->ref;
    while (with.tips[1].round < 25) with.others_go_on();
    REQUIRE(with.on->graph().floor() > 1);
    REQUIRE(with.own->ref == first);
    with.written();
    with.now += with.pace.heartbeat;
    with.go_on();
    CHECK(with.own->ref.round == 26);
    CHECK(with.own->body().weak == std::vector<block_ref>{first});
    CHECK(check(*with.own, with.of, with.signer, with.shares).has_value());
}

TEST_CASE("nobody rests while own payload is not in the sequence") {
    member_among_others with;
    with.boot();
    REQUIRE(with.on->submit(to_bytes("work")).has_value());
    with.act(with.on->start(with.now));
    while (with.tips[1].round < 8) with.others_go_on();  // leaders leave it out
    REQUIRE(with.on->order().committed_round() >= 3);
    with.others_make();
    CHECK(*with.last.wake <= with.now + with.pace.leader_wait);
    with.go_on();
    with.others_go_on(true);
    while (with.tips[1].round < 18) with.others_go_on();
    with.others_make();
    CHECK(*with.last.wake == with.now + with.pace.heartbeat);
}

TEST_CASE("weak links go down to what can still be sequenced, and no further") {
    member_among_others with(12);
    with.of.by.commit_quorum = with.of.by.skip_quorum = 5;  // nothing is, so that nothing is forgotten
    with.boot();
    with.act(with.on->start(with.now));
    while (with.tips[1].round < 20) with.others_go_on();
    const auto old = with.made(1, 1, with.genesis(3), "late");
    REQUIRE(with.hear(old, 1).has_value());
    std::vector<block_ref> parents;
    for (author_index i = 1; i < 4; ++i) parents.push_back(with.on->graph().at(14, i).front()->ref());
    const auto copy = with.made(2, 15, parents, "late");
    REQUIRE(with.hear(copy, 2).has_value());
    REQUIRE(with.on->graph().find(old->ref));
    with.others_go_on();
    std::set<block_ref> linked;
    for (const auto& b : with.log) {
        if (b->ref.author != 0) continue;
        linked.insert(b->body().weak.begin(), b->body().weak.end());
        CHECK(check(*b, with.of, with.signer, with.shares).has_value());
    }
    CHECK(linked == std::set<block_ref>{copy->ref});
}

// ---- the log ------------------------------------------------------------------------------------------------

TEST_CASE("an own block carries no more than its weight, and a heavier item alone") {
    member_among_others with(12);
    with.bounds.block_weight = 10;
    with.bounds.weigh = [](const bytes& item) { return item.size() == 5 ? std::uint64_t{9} : std::uint64_t{1}; };
    with.boot();
    const auto submit = [&](std::string_view item, std::optional<std::uint64_t> weight) { REQUIRE(with.on->submit(to_bytes(item), weight).has_value()); };
    submit("a", 6);
    submit("b", 4);
    submit("c", 1);
    submit("d", 40);
    submit("e", 1);
    CHECK(with.on->unproposed().items == 5);
    CHECK(with.on->unproposed().weight == 52);
    std::vector<std::size_t> items;
    with.act(with.on->start(with.now));
    items.push_back(with.own->body().payload.size());
    while (items.size() < 4) {
        const auto before = with.own;
        with.others_go_on(true);
        if (with.own != before) items.push_back(with.own->body().payload.size());
    }
    CHECK(items == std::vector<std::size_t>{2, 1, 1, 1});
    CHECK(with.on->unproposed().items == 0);
    CHECK(with.on->unproposed().weight == 0);
}

TEST_CASE("what goes out again is weighed again") {
    member_among_others with(12);
    with.bounds.weigh = [](const bytes&) { return std::uint64_t{9}; };
    with.boot();
    with.slow_disk = true;
    REQUIRE(with.on->submit(to_bytes("work"), 3).has_value());
    with.act(with.on->start(with.now));
    const auto own = with.own;
    while (with.tips[1].round < 25) with.others_go_on();
    std::erase(with.log, own);
    with.log.push_back(own);
    with.boot();
    std::uint64_t most = 0;
    for (const auto& b : std::vector(with.log)) {
        (void)with.on->replay(b);
        most = std::max(most, with.on->unproposed().weight);
    }
    CHECK(most == 9);
}

TEST_CASE("what was forgotten with an own block goes out again, once, also after a restart") {
    member_among_others with(12);
    with.boot();
    REQUIRE(with.on->submit(to_bytes("work")).has_value());
    with.on->contribute(block_height{7}, signature{});
    with.act(with.on->start(with.now));
    REQUIRE(count_of("work", with.own->body()) == 1);
    REQUIRE(with.own->body().certificate_signatures.size() == 1);
    const auto carriers = [&] {
        std::pair<std::size_t, std::size_t> out;
        for (const auto& b : with.log)
            if (b->ref.author == 0) out.first += count_of("work", b->body()), out.second += b->body().certificate_signatures.size();
        return out;
    };
    while (carriers().first < 2) {
        REQUIRE(with.tips[1].round < 30);
        with.others_go_on();  // leaders leave it out, for ever
    }
    CHECK(carriers() == std::pair<std::size_t, std::size_t>(2, 2));
    with.others_go_on();
    with.restart();
    with.others_go_on();
    with.others_go_on();
    CHECK(carriers() == std::pair<std::size_t, std::size_t>(2, 2));
}

TEST_CASE("what an own block from below the replayed floor carries goes out again") {
    member_among_others with(12);
    with.boot();
    with.slow_disk = true;
    REQUIRE(with.on->submit(to_bytes("work")).has_value());
    with.on->contribute(block_height{7}, signature{});
    with.act(with.on->start(with.now));
    const auto own = with.own;
    while (with.tips[1].round < 25) with.others_go_on();
    std::erase(with.log, own);
    with.log.push_back(own);
    with.slow_disk = false;
    with.restart();
    REQUIRE(with.own->ref.round > 1);
    CHECK(count_of("work", with.own->body()) == 1);
    CHECK(with.own->body().certificate_signatures.size() == 1);
}

// ---- bounds -------------------------------------------------------------------------------------------------

TEST_CASE("copies that waited are counted when they enter") {
    member_among_others with;
    with.boot();
    with.act(with.on->start(with.now));
    const auto late = with.made(2, 1, with.genesis(0));
    std::vector<block_ref> parents;
    for (author_index i = 1; i < 4; i += 2) {
        const auto b = with.made(i, 1, with.genesis(0));
        parents.push_back(b->ref);
        REQUIRE(with.hear(b, i).has_value());
    }
    parents.insert(parents.begin() + 1, late->ref);
    for (const auto* mark : {"a", "b", "c", "d", "e"}) REQUIRE(with.hear(with.made(3, 2, parents, mark), 3).has_value());
    CHECK(with.on->waiting() == 5);
    REQUIRE(with.hear(late, 2).has_value());
    CHECK(with.on->waiting() == 0);
    CHECK(with.on->graph().at(2, 3).size() == replica::copies_max);
}

TEST_CASE("a liar's own blocks are no reason to take more of its copies") {
    member_among_others with;
    with.boot();
    with.act(with.on->start(with.now));
    std::vector<block_ptr> copies;
    for (const auto* mark : {"a", "b", "c"}) copies.push_back(with.made(3, 1, with.genesis(0), mark));
    std::vector<block_ref> parents;
    for (author_index i = 1; i < 3; ++i) {
        const auto b = with.made(i, 1, with.genesis(0));
        parents.push_back(b->ref);
        REQUIRE(with.hear(b, i).has_value());
    }
    for (const auto& b : {copies[0], copies[1]}) REQUIRE(with.hear(b, 3).has_value());
    parents.push_back(copies[2]->ref);
    const auto follows = with.made(3, 2, parents);
    REQUIRE(with.hear(follows, 3).has_value());
    REQUIRE(with.hear(copies[2], 3).has_value());
    CHECK(with.on->graph().at(1, 3).size() == 2);
    // Another member has it, so that this one must.
    REQUIRE(with.hear(with.made(1, 2, parents), 1).has_value());
    REQUIRE(with.hear(copies[2], 3).has_value());
    CHECK(with.on->graph().at(1, 3).size() == 3);
    CHECK(with.on->graph().find(follows->ref));
}

TEST_CASE("a block that will not be kept costs no check of its signature") {
    member_among_others with;
    with.boot();
    with.act(with.on->start(with.now));
    for (const auto* mark : {"a", "b"}) REQUIRE(with.hear(with.made(3, 1, with.genesis(0), mark), 3).has_value());
    CHECK(with.signer.checked == 2);
    REQUIRE(with.hear(with.made(3, 1, with.genesis(0), "c"), 3).has_value());
    std::vector<block_ref> far = with.genesis(0);
    for (auto& parent : far) parent.round = 99;
    REQUIRE(with.hear(with.made(3, 100, far), 3).has_value());
    for (auto& parent : far) parent.round = 11;
    auto shareless = with.made(3, 12, far)->what;  // round 8's coin is revealed there
    shareless.body.coin_share.clear();
    CHECK(with.hear(named(std::move(shareless)), 3).has_error());
    CHECK(with.signer.checked == 2);
}

TEST_CASE("what one author's blocks name is asked for beside what others' do, not before it") {
    member_among_others with;
    with.boot();
    with.act(with.on->start(with.now));
    seeded_random random(1);
    const auto absent = [&](author_index but, round_number round) {
        std::vector<block_ref> out;
        for (author_index i = 0; i < 4; ++i)
            if (i != but) out.push_back({round, i, random.id<hash256>()});
        return out;
    };
    for (int i = 0; i < 400; ++i) {
        std::vector<block_ref> weak;
        for (round_number r = 1; r < 25; ++r)
            for (author_index a = 0; a < 4; ++a) weak.push_back({r, a, random.id<hash256>()});
        REQUIRE(with.hear(with.made(3, 27, absent(0, 26), {}, weak), 3).has_value());
    }
    CHECK(with.on->waiting() > 50);
    CHECK(with.on->wanted() <= pending::names_an_author);
    std::size_t asked = 0;
    for (const auto end = with.now + 10 * with.pace.retry; with.now < end; with.now += with.pace.retry / 4) {
        with.act(with.on->on_timer(with.now));
        for (const auto& ask : with.last.requests) {
            CHECK(ask.blocks.size() <= pending::blocks_a_request);
            asked += ask.blocks.size();
        }
    }
    CHECK(asked <= 11 * pending::asked_for_an_author);
    const auto waits = with.made(1, 28, absent(0, 27));
    REQUIRE(with.hear(waits, 1).has_value());
    for (const auto& parent : waits->body().parents) CHECK(with.asked_for(parent) == 1);
}

TEST_CASE("an author's account of what waits is bounded, and the lower rounds go first") {
    member_among_others with;
    pending on(4, 0, with.pace.retry);
    seeded_random random(1);
    const auto waits = [&](author_index author, round_number round, std::vector<block_ref> for_what = {}, std::size_t size = 1) {
        if (for_what.empty()) for_what.push_back({round - 1, author, random.id<hash256>()});
        return with.made(author, round, std::move(for_what), std::string(size, 'x'));
    };
    const auto add = [&](const block_ptr& b) { return on.add(b, b->body().parents, b->ref.author); };
    std::vector<block_ptr> first;
    for (std::size_t i = 0; i < pending::blocks_an_author; ++i) REQUIRE(add(first.emplace_back(waits(3, 10 + i))));
    CHECK_FALSE(add(waits(3, 1000)));
    const auto low = waits(3, 5);
    CHECK(add(low));
    CHECK(on.holds(low->ref));
    CHECK_FALSE(on.holds(first.back()->ref));
    CHECK(on.size() == pending::blocks_an_author);
    // What another's block needs goes before all that nobody does.
    const auto needed = waits(3, 500);
    CHECK_FALSE(add(needed));
    CHECK(add(waits(1, 501, {needed->ref})));
    CHECK(on.backed(needed->ref));
    CHECK(add(needed));
    CHECK(on.size() == pending::blocks_an_author + 1);
    CHECK(on.wanted_size() == pending::blocks_an_author + 1);
    // Everybody has its own.
    std::size_t big = 0;
    while (add(waits(2, 10 + big, {}, limits::payload_bytes))) ++big;
    CHECK(big == pending::bytes_an_author / limits::payload_bytes - 1);
}

TEST_CASE("blocks by f+1 authors are told from many by f") {
    member_among_others with;
    pending on(4, 0, with.pace.retry);
    const block_ref what{5, 3, with.of.genesis};
    const auto add = [&](const block_ptr& b) { REQUIRE(on.add(b, b->body().parents, b->ref.author)); };
    const auto direct = with.made(1, 6, {what});
    add(direct);
    add(with.made(1, 6, {what}, "other"));
    CHECK(on.backed_by(what, 1));
    CHECK_FALSE(on.backed_by(what, 2));
    add(with.made(2, 7, {direct->ref}));  // by way of it
    CHECK(on.backed_by(what, 2));
    CHECK_FALSE(on.backed_by(what, 3));
    on.collect(100);
    CHECK(on.size() == 0);
    CHECK(on.wanted_size() == 0);
}
