#include <chain/ledger/tree.hpp>
#include <core/base/random.hpp>
#include <support/ledger_bench.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::ledger;
using cess::test::seeded_key;

namespace {

struct committee_of_four {
    committee_of_four() {
        for (std::uint64_t i = 0; i < 4; ++i) {
            keys.push_back(seeded_key(10 + i));
            origin.first.members.push_back(keys.back().pub());
        }
        origin.name = "four";
    }
    state_certificate certificate(certificate_body body, std::vector<std::uint16_t> signers) const {
        state_certificate out{std::move(body), {}};
        for (const auto i : signers) out.signatures.emplace_back(i, sign(keys[i], out.body));
        return out;
    }
    certificate_body body() const {
        auto b = origin_of(origin);
        b.height = {5};
        return b;
    }
    std::vector<crypto::signing_key> keys;
    genesis origin;
};

}  // namespace

TEST_CASE("a certificate needs a quorum of the trusted committee, each member once") {
    committee_of_four on;
    const trust light(id_of(on.origin), on.origin.first);
    CHECK(light.check(on.certificate(on.body(), {0, 1, 2})).has_value());
    CHECK(light.check(on.certificate(on.body(), {0, 1, 2, 3})).has_value());
    CHECK(light.check(on.certificate(on.body(), {1, 3})).error() == errc::permission);
    CHECK(light.check(on.certificate(on.body(), {0, 0, 0})).error() == errc::permission);
    CHECK(light.check(on.certificate(on.body(), {2, 1, 0})).error() == errc::permission);
    auto stranger = on.certificate(on.body(), {0, 1, 2});
    stranger.signatures[2].first = 9;
    CHECK(light.check(stranger).error() == errc::permission);
    auto forged = on.certificate(on.body(), {0, 1, 2});
    forged.body.height = {6};
    CHECK(light.check(forged).error() == errc::permission);
    auto one_bad = on.certificate(on.body(), {0, 1, 2});
    one_bad.signatures[1].second.raw[7] ^= std::byte{1};
    CHECK(light.check(one_bad).error() == errc::permission);
    auto other_epoch = on.body();
    other_epoch.epoch = 1;
    CHECK_FALSE(light.wants_handovers());
    CHECK(light.check(on.certificate(other_epoch, {0, 1, 2})).error() == errc::unavailable);
    CHECK(light.wants_handovers());
    auto other_network = on.body();
    other_network.network.raw[0] ^= std::byte{1};
    CHECK(light.check(on.certificate(other_network, {0, 1, 2})).error() == errc::permission);
    CHECK(trust(id_of(on.origin), committee{}).check(on.certificate(on.body(), {0, 1, 2})).error() == errc::permission);
}

TEST_CASE("trust follows a handover, one epoch at a time") {
    committee_of_four on;
    trust light(id_of(on.origin), on.origin.first);
    const auto successor = seeded_key(99);
    auto handing = on.body();
    handing.next.epoch = 1;
    handing.next.members = {successor.pub()};
    CHECK(light.follow(on.certificate(on.body(), {0, 1, 2})).has_value());
    CHECK(light.now() == on.origin.first);
    auto skipping = handing;
    skipping.next.epoch = 2;
    CHECK_FALSE(light.follow(on.certificate(skipping, {0, 1, 2})).has_value());
    auto empty = handing;
    empty.next.members.clear();
    CHECK_FALSE(light.follow(on.certificate(empty, {0, 1, 2})).has_value());
    CHECK(light.follow(on.certificate(handing, {0, 1, 2})).has_value());
    CHECK(light.now() == handing.next);
    const auto copy = light;  // knows what the other learns
    CHECK(copy.now() == handing.next);
    CHECK(light.check(on.certificate(on.body(), {0, 1, 2})).has_value());  // of its time
    auto past_the_end = on.body();
    ++past_the_end.height.value;
    CHECK(light.check(on.certificate(past_the_end, {0, 1, 2})).error() == errc::permission);
    CHECK(light.follow(on.certificate(handing, {0, 1, 2})).has_value());  // once more: it has
    CHECK(light.now() == handing.next);
    auto later = on.body();
    later.epoch = 1;
    later.next = handing.next;
    state_certificate by_successor{later, {{0, sign(successor, later)}}};
    CHECK(light.check(by_successor).has_value());
}

TEST_CASE("a proved record shows its value or its absence and nothing else") {
    committee_of_four on;
    const trust light(id_of(on.origin), on.origin.first);
    memory_node_store store;
    tree t(store);
    tree::changes all;
    for (int i = 0; i < 50; ++i) all[crypto::sha256(as_view("k" + std::to_string(i)))] = crypto::sha256(as_view("v" + std::to_string(i)));
    auto body = on.body();
    body.state_root = t.update(all);
    proved_record there{on.certificate(body, {0, 1, 2}), to_bytes("k7"), to_bytes("v7"), t.prove(crypto::sha256(as_view("k7")))};
    proved_record absent{there.certificate, to_bytes("none"), std::nullopt, t.prove(crypto::sha256(as_view("none")))};
    REQUIRE(light.check(there).has_value());
    CHECK(**light.check(there) == to_bytes("v7"));
    REQUIRE(light.check(absent).has_value());
    CHECK_FALSE(light.check(absent)->has_value());
    auto lie = there;
    lie.value = to_bytes("v8");
    CHECK(light.check(lie).error() == errc::corrupt);
    lie = there;
    lie.value.reset();
    CHECK(light.check(lie).error() == errc::corrupt);
    lie = there;
    lie.key = to_bytes("k8");
    CHECK_FALSE(light.check(lie).has_value());
    lie = absent;
    lie.value = to_bytes("v");
    CHECK(light.check(lie).error() == errc::corrupt);
    lie = absent;
    lie.key = to_bytes("k7");
    CHECK_FALSE(light.check(lie).has_value());
    lie = there;
    lie.certificate = on.certificate(on.body(), {0, 1, 2});
    CHECK_FALSE(light.check(lie).has_value());
}

TEST_CASE("formats are frozen: a change here breaks every network") {
    committee_of_four on;
    const auto account = seeded_key(1);
    transaction body;
    body.network = id_of(on.origin);
    body.account = crypto::id_of<account_id>(account.pub());
    body.client.raw[0] = std::byte{7};
    body.number = 3;
    body.expires = {1000};
    body.what = test::ledger_bench::creation("v");
    CHECK(id_of(on.origin).hex() == "3075cb84e646917c30881614b67d5bd3ca2001a191ee7668f742a1b8072935cb");
    CHECK(digest_of(body).hex() == "5b5e2fe731225def198e387f2c42de86519f912a6cb494f57286a0b89625fe74");
    CHECK(sign(account, body).sig.hex().substr(0, 32) == "28df2098c04128c639628d2d9068682c");
    CHECK(sign(on.keys[0], on.body()).hex().substr(0, 32) == "8e6c5339a5db2cd7d69ee19b3cb52cf0");
    CHECK(next_commit_digest({}, digest_of(body)).hex() == "e179c4b7c4f100afbd7c00e82fae9cbbe15052d20c0c0ac57fac39d0ab4a0b17");
    test::ledger_bench ledger;
    const auto v = ledger.opened("v");
    ledger.run(ledger.root(v, 10, 1));
    ledger.run(ledger.view(v, "s", 12, 2));
    auto next = ledger.root(v, 20, 3);
    next.dead = {{ledger.segment(v, 1, 10).number, {20}}};
    ledger.run(next);
    ledger.run(delete_view{v, "s"});
    ledger.run(reap{v, 100});
    tree::changes leaves;
    for (const auto& [key, value] : ledger.state.all()) leaves[crypto::sha256(key)] = crypto::sha256(value);
    memory_node_store store;
    CHECK(tree(store).update(leaves).hex() == "9ed737b7d6c29bd46a6ed2d809c75987061192891755cc0c303f9443f92d0650");
}
