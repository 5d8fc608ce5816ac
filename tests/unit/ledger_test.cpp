#include <support/ledger_bench.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::ledger;
using cess::test::ledger_bench;
using cess::test::seeded_key;

namespace {

errc code(const outcome& got) { return got.code; }

std::uint64_t number_in(const outcome& got) {
    REQUIRE(got.code == errc::ok);
    return *wire::decode<std::uint64_t>(got.value);
}

// Everything but what the ledger remembers of clients.
std::map<bytes, bytes> without_clients(const memory_state& of) {
    auto all = of.all();
    std::erase_if(all, [](const auto& entry) { return entry.first[0] == std::byte{'c'} || entry.first[0] == std::byte{'e'}; });
    return all;
}

}  // namespace

// ---- who may ---------------------------------------------------------------------------------------------

TEST_CASE("what a stranger signs for a volume that is not theirs is refused and changes nothing") {
    ledger_bench on;
    const auto v = on.opened("mine");
    REQUIRE(code(on.run(on.root(v, 10, 1))) == errc::ok);
    REQUIRE(code(on.run(on.view(v, "snap", 10, 2))) == errc::ok);
    const auto before = without_clients(on.state);
    const auto refused = [&](action what) {
        CHECK(code(on.run(on.stranger, std::move(what))) == errc::permission);
        CHECK(without_clients(on.state) == before);
    };
    refused(rename_volume{v, "theirs"});
    refused(resize_volume{v, GiB});
    refused(delete_volume{v});
    refused(on.taking(v, 1));
    refused(release_lease{v, {1}});
    refused(extend_reservation{v, {1}, 2 * GiB});
    refused(add_segments{v, {1}, {on.segment(v, 9, 1)}});
    refused(on.root(v, 20, 5));
    refused(on.view(v, "other", 20, 6));
    refused(delete_view{v, "snap"});
    refused(rename_view{v, {1}, "snap", "theirs"});
    refused(reap{v, 10});
    refused(seal_leases{v, {1}});
    auto clone = on.creation("clone");
    clone.base = view_ref{v, "snap"};
    refused(clone);
    auto again = on.creation("fresh");
    again.id = v;
    CHECK(code(on.run(on.stranger, again)) == errc::conflict);
    CHECK(without_clients(on.state) == before);
    auto node = on.registration(seeded_key(1000), on.stranger, GiB);
    refused(node);
    node.node.owner = crypto::id_of<account_id>(on.owner.pub());
    refused(node);
}

TEST_CASE("a transaction counts only as its account signed it, in its network") {
    ledger_bench on;
    auto good = on.make(on.owner, on.creation("v"));
    const auto before = on.state.all();
    auto forged = good;
    forged.body.account = crypto::id_of<account_id>(on.stranger.pub());
    CHECK(code(on.send(forged)) == errc::permission);
    forged = sign(on.stranger, good.body);
    CHECK(code(on.send(forged)) == errc::permission);
    auto changed = good;
    std::get<create_volume>(changed.body.what).name = "w";
    CHECK(code(on.send(changed)) == errc::permission);
    auto elsewhere = good.body;
    elsewhere.network.raw[0] ^= std::byte{1};
    CHECK(code(on.send(sign(on.owner, elsewhere))) == errc::permission);
    CHECK(on.state.all() == before);
    CHECK(code(on.send(good)) == errc::ok);
}

// ---- exactly once ----------------------------------------------------------------------------------------

TEST_CASE("a repeated transaction answers what it answered, refusals included, and changes nothing") {
    ledger_bench on;
    const auto create = on.make(on.owner, on.creation("v"));
    CHECK(code(on.send(create)) == errc::ok);
    const auto again = on.make(on.owner, on.creation("v"));
    CHECK(code(on.send(again)) == errc::conflict);
    const auto before = on.state.all();
    CHECK(code(on.send(again)) == errc::conflict);
    CHECK(code(on.send(create)) == errc::conflict);  // older than the last one: refused, not repeated
    CHECK(on.state.all() == before);
    const auto lease = on.make(on.owner, on.taking(ledger_bench::volume_named("v"), 0));
    const auto first = on.send(lease);
    REQUIRE(first.code == errc::ok);
    CHECK(on.send(lease).value == first.value);
    CHECK(on.volume(ledger_bench::volume_named("v")).term.value == 1);
}

TEST_CASE("the words of a refusal are no part of the state") {
    ledger_bench on;
    const auto body = on.make_body(on.owner, on.creation("-"));
    const auto refused = on.send(sign(on.owner, body));
    CHECK(refused.code == errc::invalid);
    CHECK_FALSE(refused.what.empty());
    const auto record = on.find<client_record>(key::client(body.account, body.client));
    REQUIRE(record.has_value());
    CHECK(record->result.code == errc::invalid);
    CHECK(record->result.what.empty());
}

TEST_CASE("short transactions with large effects weigh as much as they change") {
    ledger_bench on;
    transaction light = on.make_body(on.owner, on.creation("v")), heavy = light;
    heavy.what = reap{{}, limits::reap_max};
    CHECK(weight_of(light, 300) == 300);
    CHECK(weight_of(heavy, 100) >= 1 * MiB);
    heavy.what = reap{{}, ~std::uint32_t{0}};
    CHECK(weight_of(heavy, 100) < 4 * MiB);
    heavy.what = delete_volume{};
    CHECK(weight_of(heavy, 100) > 64 * KiB);
}

TEST_CASE("numbers may leave gaps, never go back, and never name two transactions") {
    ledger_bench on;
    auto body = on.make_body(on.owner, on.creation("a"));
    body.number = 100;
    CHECK(code(on.send(sign(on.owner, body))) == errc::ok);
    body.what = on.creation("b");
    CHECK(code(on.send(sign(on.owner, body))) == errc::conflict);
    body.number = 99;
    CHECK(code(on.send(sign(on.owner, body))) == errc::conflict);
    body.number = 0;
    CHECK(code(on.send(sign(on.owner, body))) == errc::invalid);
    body.client.raw[5] = std::byte{9};
    body.number = 1;
    CHECK(code(on.send(sign(on.owner, body))) == errc::ok);
}

TEST_CASE("a client is forgotten only when nothing of it can be replayed") {
    ledger_bench on;
    auto body = on.make_body(on.owner, on.creation("old"));
    body.client.raw[3] = std::byte{1};
    body.expires = {on.height.value + 50};
    const auto old = sign(on.owner, body);
    REQUIRE(code(on.send(old)) == errc::ok);
    REQUIRE(code(on.run(delete_volume{ledger_bench::volume_named("old")})) == errc::ok);
    const auto record = key::client(body.account, body.client);
    for (int i = 0; i < 200; ++i) {
        const bool remembered = on.state.get(record).has_value();
        const auto replayed = on.send(old);
        if (remembered) CHECK(code(replayed) == errc::ok);  // the recorded outcome
        else CHECK(code(replayed) == errc::timeout);
        CHECK_FALSE(on.state.get(key::volume_name(body.account, "old")).has_value());
        on.run(rename_volume{});
    }
    CHECK_FALSE(on.state.get(record).has_value());
}

TEST_CASE("what the ledger remembers of clients stays bounded") {
    ledger_bench on;
    for (std::uint64_t i = 0; i < 3000; ++i) {
        auto body = on.make_body(on.owner, rename_volume{});
        std::memcpy(body.client.raw.data(), &i, sizeof i);
        body.client.raw[15] = std::byte{1};
        body.number = 1;
        body.expires = {on.height.value + 100};
        on.send(sign(on.owner, body));
    }
    std::size_t clients = 0, expiries = 0;
    for (const auto& entry : on.state.all()) {
        clients += entry.first[0] == std::byte{'c'};
        expiries += entry.first[0] == std::byte{'e'};
    }
    CHECK(clients <= 110);
    CHECK(expiries == clients);
}

TEST_CASE("an expired transaction and one that would live too long are refused") {
    ledger_bench on;
    auto body = on.make_body(on.owner, on.creation("v"));
    body.expires = on.height;
    CHECK(code(on.send(sign(on.owner, body))) == errc::timeout);
    body.expires = {on.height.value + limits::lifetime_max + 5};
    CHECK(code(on.send(sign(on.owner, body))) == errc::out_of_range);
    body.expires = {~std::uint64_t{0}};
    CHECK(code(on.send(sign(on.owner, body))) == errc::out_of_range);
}

// ---- nodes and space -------------------------------------------------------------------------------------

TEST_CASE("a node is registered with its own consent, and only its owner changes it") {
    ledger_bench on(0);
    const auto node = seeded_key(500);
    auto what = on.registration(node, on.owner, 10 * GiB);
    what.node.committed = 5;  // not the caller's to say
    CHECK(code(on.run(what)) == errc::ok);
    CHECK(on.find<node_record>(key::node(what.node.id))->committed == 0);
    CHECK(on.totals().offered == 10 * GiB);
    CHECK(code(on.run(on.stranger, on.registration(node, on.stranger, GiB))) == errc::permission);
    what.node.address = "127.0.0.1:1";
    CHECK(code(on.run(what)) == errc::permission);  // consent was to another address
    CHECK(code(on.run(on.registration(node, on.owner, 3 * GiB))) == errc::ok);
    CHECK(on.totals().offered == 3 * GiB);
    CHECK(code(on.run(on.registration(node, on.owner, limits::offer_max + 1))) == errc::out_of_range);
    auto bad = on.registration(node, on.owner, GiB);
    bad.node.address = "a b";
    CHECK(code(on.run(bad)) == errc::invalid);
    bad.node.address = std::string(257, 'a');
    CHECK(code(on.run(bad)) == errc::too_large);
}

TEST_CASE("reservations are bounded by what is offered and not taken") {
    ledger_bench on(4, GiB);
    on.run(on.creation("a"));
    on.run(on.creation("b"));
    const auto a = ledger_bench::volume_named("a"), b = ledger_bench::volume_named("b");
    CHECK(code(on.run(on.taking(a, 0, 5 * GiB))) == errc::no_space);
    CHECK(code(on.run(on.taking(a, 0, 3 * GiB))) == errc::ok);
    CHECK(code(on.run(on.taking(b, 0, 2 * GiB))) == errc::no_space);
    CHECK(code(on.run(on.taking(b, 0, GiB))) == errc::ok);
    CHECK(code(on.run(extend_reservation{a, {1}, 4 * GiB})) == errc::no_space);
    CHECK(code(on.run(release_lease{b, {1}})) == errc::ok);
    CHECK(on.totals().reserved == 3 * GiB);
    CHECK(code(on.run(extend_reservation{a, {1}, 4 * GiB})) == errc::ok);
    CHECK(code(on.run(extend_reservation{a, {1}, 3 * GiB})) == errc::invalid);
    CHECK(code(on.run(on.taking(a, 1, 2 * GiB))) == errc::ok);  // a takeover gives the old reservation back
    CHECK(on.totals().reserved == 2 * GiB);
    CHECK(code(on.run(delete_volume{a})) == errc::ok);
    CHECK(on.totals().reserved == 0);
    CHECK(code(on.run(on.taking(b, 1, ~std::uint64_t{0}))) == errc::no_space);
}

TEST_CASE("committing moves bytes from reserved to committed, freeing gives them back") {
    ledger_bench on;
    const auto v = on.opened("v");
    const auto s = on.segment(v, 1, 1);
    const auto length = fragment_length(s);
    CHECK(length == (MiB + 256 * 16) / 2);
    CHECK(code(on.run(add_segments{v, {1}, {s}})) == errc::ok);
    CHECK(on.totals().committed == 3 * length);
    CHECK(on.totals().reserved == GiB - 3 * length);
    CHECK(on.volume(v).used == MiB);
    for (const auto& holder : s.holders) CHECK(on.find<node_record>(key::node(holder))->committed == length);
    auto next = on.root(v, 10, 2);
    next.dead = {{s.number, {5}}};
    CHECK(code(on.run(next)) == errc::ok);
    CHECK(on.is_freed(v, 1));
    CHECK(on.volume(v).used == 4096);
    CHECK(on.totals().committed == 3 * fragment_length(*next.head.manifest));
}

// ---- volumes ---------------------------------------------------------------------------------------------

TEST_CASE("names are checked, unique in an account, and free again after a rename or deletion") {
    ledger_bench on;
    for (const std::string bad : {"", "A", "-a", ".a", "a..b", "a/b", "a b", "a\n", "\xc3\xa9", "a_b"}) CHECK(code(on.run(on.creation(bad))) == errc::invalid);
    CHECK(code(on.run(on.creation(std::string(64, 'a')))) == errc::invalid);
    CHECK(code(on.run(on.creation(std::string(63, 'a')))) == errc::ok);
    CHECK(code(on.run(on.creation("0.a-b"))) == errc::ok);
    CHECK(code(on.run(on.creation("v"))) == errc::ok);
    auto twin = on.creation("v");
    twin.id.raw[0] ^= std::byte{1};
    CHECK(code(on.run(twin)) == errc::exists);
    twin.id.raw[1] ^= std::byte{1};
    CHECK(code(on.run(on.stranger, twin)) == errc::ok);  // another account's namespace
    const auto v = ledger_bench::volume_named("v");
    CHECK(code(on.run(rename_volume{v, "0.a-b"})) == errc::exists);
    CHECK(code(on.run(rename_volume{v, "w..w"})) == errc::invalid);
    CHECK(code(on.run(rename_volume{v, "w"})) == errc::ok);
    CHECK(code(on.run(rename_volume{v, "w"})) == errc::ok);
    CHECK_FALSE(on.state.get(key::volume_name(on.volume(v).owner, "v")).has_value());
    CHECK(code(on.run(delete_volume{v})) == errc::ok);
    CHECK(code(on.run(delete_volume{v})) == errc::not_found);
    auto reborn = on.creation("w");
    CHECK(code(on.run(reborn)) == errc::ok);
    auto reused = on.creation("x");
    reused.id = v;
    CHECK(code(on.run(reused)) == errc::conflict);  // an id is used once
}

TEST_CASE("sizes, geometries and block sizes out of range are refused") {
    ledger_bench on;
    auto what = on.creation("v", volume_type::block);
    const auto with = [&](auto change) {
        auto changed = what;
        change(changed);
        return code(on.run(changed));
    };
    CHECK(with([](auto& w) { w.size = 0; }) == errc::invalid);
    CHECK(with([](auto& w) { w.size = 513; }) == errc::invalid);
    CHECK(with([](auto& w) { w.size = limits::volume_size_max + 512; }) == errc::out_of_range);
    CHECK(with([](auto& w) { w.geometry = {0, 1}; }) == errc::invalid);
    CHECK(with([](auto& w) { w.geometry = {33, 1}; }) == errc::invalid);
    CHECK(with([](auto& w) { w.geometry = {2, 17}; }) == errc::invalid);
    CHECK(with([](auto& w) { w.block_size = 4095; }) == errc::invalid);
    CHECK(with([](auto& w) { w.block_size = 12288; }) == errc::invalid);
    CHECK(with([](auto& w) { w.block_size = 128 * KiB; }) == errc::invalid);
    CHECK(with([](auto& w) { w.id = {}; }) == errc::invalid);
    CHECK(with([](auto& w) { w.keyring.resize(257); }) == errc::quota);
    CHECK(with([](auto& w) { w.keyring.resize(1), w.keyring[0].box.resize(257); }) == errc::too_large);
    CHECK(with([](auto& w) { w.base = view_ref{w.id, "none"}; }) == errc::not_found);
    CHECK(with([](auto&) {}) == errc::ok);
    CHECK(code(on.run(resize_volume{what.id, 0})) == errc::invalid);
    CHECK(code(on.run(resize_volume{what.id, 2 * GiB})) == errc::ok);
    CHECK(on.volume(what.id).size == 2 * GiB);
    CHECK(code(on.run(resize_volume{ledger_bench::volume_named("none"), GiB})) == errc::not_found);
}

// ---- leases ----------------------------------------------------------------------------------------------

TEST_CASE("a lease is granted by compare-and-swap and fences all older terms") {
    ledger_bench on;
    const auto v = on.opened("v");
    CHECK(code(on.run(on.taking(v, 0))) == errc::conflict);
    CHECK(code(on.run(on.taking(v, 2))) == errc::conflict);
    const auto got = on.run(on.taking(v, 1));
    REQUIRE(got.code == errc::ok);
    const auto granted = *wire::decode<lease>(got.value);
    CHECK(granted.term.value == 2);
    CHECK(granted.tolerated == 1);
    CHECK(on.volume(v).leases.size() == 2);  // the older journal may hold changes that no root contains
    CHECK(code(on.run(on.root(v, 5, 1, 1))) == errc::fenced);
    CHECK(code(on.run(add_segments{v, {1}, {on.segment(v, 1, 1)}})) == errc::fenced);
    CHECK(code(on.run(on.view(v, "s", 5, 1, 1))) == errc::fenced);
    CHECK(code(on.run(extend_reservation{v, {1}, 2 * GiB})) == errc::fenced);
    CHECK(code(on.run(release_lease{v, {1}})) == errc::fenced);
    CHECK(code(on.run(seal_leases{v, {1}})) == errc::fenced);
    CHECK(code(on.run(on.root(v, 5, 1, 3))) == errc::invalid);
    CHECK(code(on.run(on.root(v, 5, 1, 2))) == errc::ok);
    CHECK(on.volume(v).leases.size() == 1);
    CHECK(on.volume(v).leases[0].term.value == 2);
    CHECK(code(on.run(release_lease{v, {2}})) == errc::ok);
    CHECK(on.volume(v).leases[0].endpoint.empty());
}

TEST_CASE("journal members are enough, distinct, and storage miners") {
    ledger_bench on;
    on.run(on.creation("v"));
    const auto v = ledger_bench::volume_named("v");
    auto what = on.taking(v, 0);
    what.members.resize(1);
    CHECK(code(on.run(what)) == errc::invalid);
    what.members = {what.members[0], what.members[0]};
    CHECK(code(on.run(what)) == errc::invalid);
    what.members[1].miner.raw[0] ^= std::byte{1};
    CHECK(code(on.run(what)) == errc::not_found);
    what.members.resize(65);
    CHECK(code(on.run(what)) == errc::too_large);
    what = on.taking(v, 0);
    what.session = {};
    CHECK(code(on.run(what)) == errc::invalid);
    what = on.taking(v, 0);
    what.endpoint = std::string(257, 'e');
    CHECK(code(on.run(what)) == errc::too_large);
}

TEST_CASE("owners that leave no root fill the list, and a recovered owner can clear it") {
    ledger_bench on;
    const auto v = on.opened("v");
    for (std::uint64_t term = 1; term < limits::leases_max; ++term) REQUIRE(code(on.run(on.taking(v, term))) == errc::ok);
    CHECK(code(on.run(on.taking(v, 64))) == errc::exhausted);
    CHECK(code(on.run(seal_leases{v, {64}})) == errc::ok);
    CHECK(on.volume(v).leases.size() == 1);
    CHECK(code(on.run(on.taking(v, 64))) == errc::ok);
}

// ---- roots and segments ----------------------------------------------------------------------------------

TEST_CASE("a root never goes back") {
    ledger_bench on;
    const auto v = on.opened("v");
    auto first = on.root(v, 10, 1);
    first.head.journal_base = {7};
    REQUIRE(code(on.run(first)) == errc::ok);
    CHECK(code(on.run(first)) == errc::ok);  // said again: the same
    CHECK(code(on.run(on.root(v, 9, 2))) == errc::invalid);
    auto base_back = on.root(v, 11, 2);
    base_back.head.journal_base = {6};
    CHECK(code(on.run(base_back)) == errc::invalid);
    auto other_term = on.root(v, 11, 2);
    other_term.head.term = {0};
    CHECK(code(on.run(other_term)) == errc::invalid);
    CHECK(on.volume(v).head.sequence.value == 10);
    REQUIRE(code(on.run(on.taking(v, 1))) == errc::ok);
    CHECK(code(on.run(on.root(v, 10, 3, 2))) == errc::ok);  // a new term counts its journal anew
}

TEST_CASE("a root's manifest is a live segment of the volume") {
    ledger_bench on;
    const auto v = on.opened("v");
    auto what = on.root(v, 10, 1);
    what.added.clear();
    CHECK(code(on.run(what)) == errc::invalid);
    what = on.root(v, 10, 1);
    what.head.manifest->length = 1;
    CHECK(code(on.run(what)) == errc::invalid);
    what = on.root(v, 10, 1);
    what.dead = {{what.head.manifest->number, {10}}};
    CHECK(code(on.run(what)) == errc::invalid);
    what = on.root(v, 10, 1);
    what.added[0].death = {11};
    CHECK(code(on.run(what)) == errc::invalid);
    const auto other = on.opened("other");
    what = on.root(v, 10, 1);
    what.head.manifest->lineage = other;
    CHECK(code(on.run(what)) == errc::invalid);
    REQUIRE(code(on.run(on.root(v, 10, 1))) == errc::ok);
    auto next = on.root(v, 20, 2);
    next.dead = {{on.root(v, 10, 1).head.manifest->number, {20}}};
    REQUIRE(code(on.run(next)) == errc::ok);
    CHECK(on.is_freed(v, 1));
    auto back = on.root(v, 30, 1);
    back.added.clear();
    CHECK(code(on.run(back)) == errc::invalid);  // a freed segment is never referenced
}

TEST_CASE("malformed segments are refused, each for its reason") {
    ledger_bench on;
    const auto v = on.opened("v");
    const auto with = [&](auto change) {
        auto s = on.segment(v, 1, 5);
        change(s);
        return code(on.run(add_segments{v, {1}, {s}}));
    };
    CHECK(with([](auto& s) { s.lineage.raw[0] ^= std::byte{1}; }) == errc::invalid);
    CHECK(with([](auto& s) { s.number = {1}; }) == errc::invalid);
    CHECK(with([](auto& s) { s.number = {std::uint64_t{2} << 40}; }) == errc::invalid);
    CHECK(with([](auto& s) { s.id = {}; }) == errc::invalid);
    CHECK(with([](auto& s) { s.geometry.k = 0; }) == errc::invalid);
    CHECK(with([](auto& s) { s.geometry = {200, 200}; }) == errc::invalid);
    CHECK(with([](auto& s) { s.length = 0; }) == errc::invalid);
    CHECK(with([](auto& s) { s.length = limits::segment_length_max + 1; }) == errc::invalid);
    CHECK(with([](auto& s) { s.block_size = 0; }) == errc::invalid);
    CHECK(with([](auto& s) { s.block_size = 5000; }) == errc::invalid);
    CHECK(with([](auto& s) { s.death = {4}; }) == errc::invalid);
    CHECK(with([](auto& s) { s.holders.pop_back(); }) == errc::invalid);
    CHECK(with([](auto& s) { s.holders[1] = s.holders[0]; }) == errc::invalid);
    CHECK(with([](auto& s) { s.holders[1].raw[0] ^= std::byte{1}; }) == errc::not_found);
    CHECK(with([](auto&) {}) == errc::ok);
    CHECK(with([](auto&) {}) == errc::ok);  // identical: a repetition
    CHECK(with([](auto& s) { s.length = 5; }) == errc::exists);
    CHECK(with([](auto& s) { s.number = {s.number.value + 1}; }) == errc::exists);  // its content has a number
    const std::vector<segment_record> many(limits::segments_max + 1, on.segment(v, 2, 1));
    CHECK(code(on.run(add_segments{v, {1}, many})) == errc::too_large);
}

TEST_CASE("a stranger who names my segment in a volume of his own frees only his own record") {
    ledger_bench on;
    const auto v = on.opened("v");
    const auto mine = on.segment(v, 1, 5);
    REQUIRE(code(on.run(add_segments{v, {1}, {mine}})) == errc::ok);
    auto theirs = on.creation("theirs");
    REQUIRE(code(on.run(on.stranger, theirs)) == errc::ok);
    REQUIRE(code(on.run(on.stranger, on.taking(theirs.id, 0))) == errc::ok);
    auto copy = mine;
    copy.lineage = theirs.id;
    copy.death = copy.birth;
    auto root = on.root(theirs.id, 10, 7);
    root.added.push_back(copy);
    REQUIRE(code(on.run(on.stranger, root)) == errc::ok);
    CHECK(on.state.get(key::freed(theirs.id, mine.id)).has_value());
    CHECK_FALSE(on.state.get(key::freed(v, mine.id)).has_value());
    CHECK(on.state.get(key::segment_by_id(v, mine.id)).has_value());
}

TEST_CASE("segments added dead are freed at once, and saying so again changes nothing") {
    ledger_bench on;
    const auto v = on.opened("v");
    auto what = on.root(v, 10, 1);
    what.added.push_back(on.segment(v, 2, 3, 7));
    REQUIRE(code(on.run(what)) == errc::ok);
    CHECK(on.is_freed(v, 2));
    CHECK_FALSE(on.has_segment(v, 2));
    CHECK(on.volume(v).used == 4096);
    const auto before = without_clients(on.state);
    REQUIRE(code(on.run(what)) == errc::ok);
    CHECK(without_clients(on.state) == before);
    auto alive = on.root(v, 11, 3);
    alive.added.push_back(on.segment(v, 2, 3));
    CHECK(code(on.run(alive)) == errc::conflict);
}

TEST_CASE("miners page through what was freed for them, in order, each with its record") {
    ledger_bench on;
    const auto v = on.opened("v");
    auto what = on.root(v, 10, 100);
    for (std::uint64_t i = 1; i <= 20; ++i) what.added.push_back(on.segment(v, i, 3, 7));
    REQUIRE(code(on.run(what)) == errc::ok);
    std::size_t expected = 0;
    for (std::uint64_t i = 1; i <= 20; ++i) {
        const auto s = on.segment(v, i, 3);
        expected += std::count(s.holders.begin(), s.holders.end(), on.miners[2]);
    }
    std::size_t seen = 0;
    freed_cursor at;
    for (;;) {
        const auto page = list::freed(on.state, on.miners[2], at, 4);
        for (const auto& entry : page) {
            CHECK(entry.at > at);
            at = entry.at;
            const auto record = on.find<freed_record>(entry.key);
            REQUIRE(record.has_value());
            CHECK(record->lineage == v);
            CHECK(std::count(record->holders.begin(), record->holders.end(), on.miners[2]) == 1);
            ++seen;
        }
        if (page.size() < 4) break;
    }
    CHECK(seen == expected);
}

// ---- views, clones, deletion -----------------------------------------------------------------------------

TEST_CASE("a view pins what lives at its sequence until it is deleted and reaped") {
    ledger_bench on;
    const auto v = on.opened("v");
    auto first = on.root(v, 10, 1);
    first.added.push_back(on.segment(v, 2, 5));
    first.added.push_back(on.segment(v, 3, 5));
    REQUIRE(code(on.run(first)) == errc::ok);
    REQUIRE(code(on.run(on.view(v, "s", 12, 4))) == errc::ok);
    CHECK(code(on.run(on.view(v, "s", 12, 5))) == errc::exists);
    auto next = on.root(v, 20, 6);
    next.dead = {{on.segment(v, 2, 5).number, {11}}, {on.segment(v, 3, 5).number, {15}}, {first.head.manifest->number, {20}}};
    REQUIRE(code(on.run(next)) == errc::ok);
    CHECK(on.is_freed(v, 2));         // died before the view
    CHECK(on.has_segment(v, 3));      // lives in the view
    CHECK(on.has_segment(v, 1));      // so does the older manifest
    CHECK(code(on.run(delete_volume{v})) == errc::not_empty);
    CHECK(number_in(on.run(reap{v, 100})) == 0);
    REQUIRE(code(on.run(delete_view{v, "s"})) == errc::ok);
    CHECK(code(on.run(delete_view{v, "s"})) == errc::not_found);
    CHECK(on.has_segment(v, 3));
    while (number_in(on.run(reap{v, 1})) != 0) {}
    CHECK(on.is_freed(v, 1));
    CHECK(on.is_freed(v, 3));
    CHECK(on.is_freed(v, 4));  // its own manifest
    CHECK(on.has_segment(v, 6));
    CHECK(code(on.run(reap{v, 0})) == errc::out_of_range);
    CHECK(code(on.run(reap{v, limits::reap_max + 1})) == errc::out_of_range);
}

TEST_CASE("a view that needs what was freed is refused") {
    ledger_bench on;
    const auto v = on.opened("v");
    auto what = on.root(v, 20, 1);
    what.added.push_back(on.segment(v, 2, 5, 15));
    REQUIRE(code(on.run(what)) == errc::ok);
    CHECK(code(on.run(on.view(v, "s", 14, 3))) == errc::conflict);
    CHECK(code(on.run(on.view(v, "s", 15, 3))) == errc::ok);
}

TEST_CASE("a snapshot may be taken of the head's own root, and then become the head") {
    ledger_bench on;
    const auto v = on.opened("v");
    REQUIRE(code(on.run(on.root(v, 10, 1))) == errc::ok);
    auto snap = on.view(v, "s", 15, 2);
    snap.added[0].death = {};
    REQUIRE(code(on.run(snap)) == errc::ok);
    auto head = on.root(v, 15, 2);
    head.added.clear();
    head.dead = {{on.segment(v, 1, 10).number, {15}}};
    REQUIRE(code(on.run(head)) == errc::ok);
    CHECK(on.is_freed(v, 1));
    auto next = on.root(v, 15, 3);  // a new manifest at the same sequence
    next.dead = {{head.head.manifest->number, {15}}};
    REQUIRE(code(on.run(next)) == errc::ok);
    CHECK(on.has_segment(v, 2));  // the snapshot names it, though no sequence is between its birth and its death
    REQUIRE(code(on.run(delete_view{v, "s"})) == errc::ok);
    CHECK(number_in(on.run(reap{v, 10})) > 0);
    CHECK(on.is_freed(v, 2));
}

TEST_CASE("a clone stands on its view, which cannot go before it") {
    ledger_bench on;
    const auto v = on.opened("v");
    REQUIRE(code(on.run(on.root(v, 10, 1))) == errc::ok);
    REQUIRE(code(on.run(on.view(v, "s", 10, 2))) == errc::ok);
    auto clone = on.creation("c");
    clone.base = view_ref{v, "s"};
    clone.type = volume_type::bucket;
    CHECK(code(on.run(clone)) == errc::unsupported);
    clone.type = volume_type::filesystem;
    REQUIRE(code(on.run(clone)) == errc::ok);
    CHECK(on.volume(clone.id).head.manifest->lineage == v);
    CHECK(on.volume(clone.id).head.sequence.value == 10);
    CHECK(code(on.run(delete_view{v, "s"})) == errc::busy);
    CHECK(code(on.run(delete_volume{v})) == errc::not_empty);
    REQUIRE(code(on.run(on.taking(clone.id, 0))) == errc::ok);
    auto inherited = on.root(clone.id, 10, 1);
    inherited.added.clear();
    inherited.head.manifest = on.volume(clone.id).head.manifest;
    CHECK(code(on.run(inherited)) == errc::ok);
    auto kill = on.root(clone.id, 20, 1);
    kill.dead = {{on.segment(v, 2, 10).number, {20}}};  // the parent's number: not in the clone's lineage
    REQUIRE(code(on.run(kill)) == errc::ok);
    CHECK(on.has_segment(v, 2));
    REQUIRE(code(on.run(delete_volume{clone.id})) == errc::ok);
    CHECK(on.find<view_record>(key::view(v, "s"))->clones == 0);
    CHECK(code(on.run(delete_view{v, "s"})) == errc::ok);
    CHECK(code(on.run(delete_volume{v})) == errc::ok);
}

TEST_CASE("a clone base goes with its last clone") {
    ledger_bench on;
    const auto v = on.opened("v");
    REQUIRE(code(on.run(on.root(v, 10, 1))) == errc::ok);
    auto base = on.view(v, "base", 10, 2);
    base.kind = view_kind::clone_base;
    REQUIRE(code(on.run(base)) == errc::ok);
    for (const std::string name : {"c1", "c2"}) {
        auto clone = on.creation(name);
        clone.base = view_ref{v, "base"};
        REQUIRE(code(on.run(clone)) == errc::ok);
    }
    REQUIRE(code(on.run(delete_volume{ledger_bench::volume_named("c1")})) == errc::ok);
    CHECK(on.state.get(key::view(v, "base")).has_value());
    REQUIRE(code(on.run(delete_volume{ledger_bench::volume_named("c2")})) == errc::ok);
    CHECK_FALSE(on.state.get(key::view(v, "base")).has_value());
}

TEST_CASE("a deleted volume is taken apart in bounded steps and leaves nothing but a tombstone") {
    ledger_bench on(4, 1024 * GiB);
    const auto v = on.opened("v");
    for (std::uint64_t i = 0; i < 3; ++i) {
        add_segments what{v, {1}, {}};
        for (std::uint64_t n = 0; n < 300; ++n) what.segments.push_back(on.segment(v, 1 + i * 300 + n, 5, n % 3 == 0 ? 6 : 0));
        REQUIRE(code(on.run(what)) == errc::ok);
    }
    REQUIRE(code(on.run(delete_volume{v})) == errc::ok);
    CHECK(on.volume(v).deleting);
    CHECK(on.volume(v).leases.empty());
    CHECK(code(on.run(on.taking(v, 1))) == errc::not_found);
    CHECK(code(on.run(reap{v, 0})) == errc::out_of_range);
    int steps = 0;
    while (number_in(on.run(reap{v, 100})) != 0) ++steps;
    CHECK(steps >= 6);
    CHECK(number_in(on.run(reap{v, 100})) == 0);
    CHECK(on.totals().committed == 0);
    for (const auto& miner : on.miners) CHECK(on.find<node_record>(key::node(miner))->committed == 0);
    for (const auto& entry : on.state.all()) {
        const auto kind = static_cast<char>(entry.first[0]);
        const bool about_v = entry.first.size() >= 17 && std::equal(v.raw.begin(), v.raw.end(), entry.first.begin() + 1);
        if (about_v) CHECK((kind == 'x' || kind == 'f'));
    }
}

TEST_CASE("a snapshot gets another name, and its old one is free") {
    ledger_bench on;
    const auto v = on.opened("v");
    REQUIRE(code(on.run(on.root(v, 10, 1))) == errc::ok);
    REQUIRE(code(on.run(on.view(v, "s", 10, 2))) == errc::ok);
    REQUIRE(code(on.run(on.view(v, "other", 10, 3))) == errc::ok);
    CHECK(code(on.run(rename_view{v, {1}, "none", "t"})) == errc::not_found);
    CHECK(code(on.run(rename_view{v, {1}, "s", "other"})) == errc::exists);
    CHECK(code(on.run(rename_view{v, {1}, "s", "T/"})) == errc::invalid);
    CHECK(code(on.run(rename_view{v, {0}, "s", "t"})) == errc::conflict);  // somebody else owns it now
    CHECK(code(on.run(rename_view{v, {1}, "s", "s"})) == errc::ok);
    const auto before = *on.find<view_record>(key::view(v, "s"));
    REQUIRE(code(on.run(rename_view{v, {1}, "s", "t"})) == errc::ok);
    CHECK_FALSE(on.state.get(key::view(v, "s")).has_value());
    auto after = *on.find<view_record>(key::view(v, "t"));
    CHECK(after.name == "t");
    after.name = "s";
    CHECK(after == before);
    CHECK(on.has_segment(v, 2));  // it pins what it did
    REQUIRE(code(on.run(on.view(v, "s", 10, 4))) == errc::ok);
    auto clone = on.creation("clone");
    clone.base = view_ref{v, "t"};
    REQUIRE(code(on.run(clone)) == errc::ok);
    CHECK(code(on.run(rename_view{v, {1}, "t", "u"})) == errc::busy);
    REQUIRE(code(on.run(delete_volume{clone.id})) == errc::ok);
    CHECK(code(on.run(rename_view{v, {1}, "t", "u"})) == errc::ok);
    REQUIRE(code(on.run(delete_view{v, "u"})) == errc::ok);
    CHECK(code(on.run(delete_view{v, "other"})) == errc::ok);
}

TEST_CASE("a clone that names nothing inherited any more stands alone") {
    ledger_bench on;
    const auto v = on.opened("v");
    REQUIRE(code(on.run(on.root(v, 10, 1))) == errc::ok);
    REQUIRE(code(on.run(on.view(v, "s", 10, 2))) == errc::ok);
    auto clone = on.creation("clone");
    clone.base = view_ref{v, "s"};
    REQUIRE(code(on.run(clone)) == errc::ok);
    const auto c = clone.id;
    CHECK(code(on.run(drop_base{c, {1}, {10}})) == errc::invalid);  // nobody owned it yet
    REQUIRE(code(on.run(on.taking(c, 0))) == errc::ok);
    CHECK(code(on.run(drop_base{c, {1}, {10}})) == errc::invalid);  // its head is the base's
    REQUIRE(code(on.run(on.root(c, 12, 1))) == errc::ok);
    REQUIRE(code(on.run(on.view(c, "own", 12, 2))) == errc::ok);
    REQUIRE(code(on.run(on.root(c, 14, 3))) == errc::ok);
    CHECK(code(on.run(drop_base{c, {1}, {15}})) == errc::invalid);  // past the head
    CHECK(code(on.run(drop_base{c, {1}, {14}})) == errc::not_empty);
    CHECK(code(on.run(on.stranger, drop_base{c, {1}, {14}})) == errc::permission);
    CHECK(on.volume(c).base.has_value());
    REQUIRE(code(on.run(delete_view{c, "own"})) == errc::ok);
    REQUIRE(code(on.run(on.view(c, "after", 14, 4))) == errc::ok);
    CHECK(code(on.run(delete_view{v, "s"})) == errc::busy);
    REQUIRE(code(on.run(on.taking(c, 1))) == errc::ok);
    CHECK(code(on.run(drop_base{c, {1}, {14}})) == errc::fenced);
    REQUIRE(code(on.run(drop_base{c, {2}, {14}})) == errc::ok);
    CHECK_FALSE(on.volume(c).base.has_value());
    CHECK(on.find<view_record>(key::view(v, "s"))->clones == 0);
    CHECK(code(on.run(drop_base{c, {2}, {14}})) == errc::ok);  // said before
    CHECK(code(on.run(delete_view{v, "s"})) == errc::ok);
}

TEST_CASE("a view's state may be stored once more, and pins what it pinned") {
    ledger_bench on;
    const auto v = on.opened("v");
    REQUIRE(code(on.run(on.root(v, 10, 1))) == errc::ok);
    REQUIRE(code(on.run(on.view(v, "s", 10, 2))) == errc::ok);
    REQUIRE(code(on.run(on.root(v, 14, 3))) == errc::ok);
    const auto copy = on.segment(v, 4, 5, 11, 1, 4096), manifest = on.segment(v, 5, 10, 11, 1, 4096);
    auto what = rewrite_view{v, {1}, "s", on.find<view_record>(key::view(v, "s"))->at};
    what.at.manifest = manifest;
    CHECK(code(on.run(what)) == errc::invalid);  // which the ledger does not have
    REQUIRE(code(on.run(add_segments{v, {1}, {copy, manifest}})) == errc::ok);
    CHECK(on.has_segment(v, 4));  // dead, and pinned by the view
    auto other = what;
    other.at.sequence = {11};
    CHECK(code(on.run(other)) == errc::conflict);
    other = what;
    other.name = "t";
    CHECK(code(on.run(other)) == errc::not_found);
    REQUIRE(code(on.run(on.view(v, "t", 20, 6))) == errc::ok);
    other.at = on.find<view_record>(key::view(v, "t"))->at;
    CHECK(code(on.run(other)) == errc::conflict);  // past the head
    REQUIRE(code(on.run(delete_view{v, "t"})) == errc::ok);
    CHECK(code(on.run(on.stranger, what)) == errc::permission);
    auto clone = on.creation("clone");
    clone.base = view_ref{v, "s"};
    REQUIRE(code(on.run(clone)) == errc::ok);
    CHECK(code(on.run(what)) == errc::busy);  // the clone names what the view named
    REQUIRE(code(on.run(delete_volume{clone.id})) == errc::ok);
    REQUIRE(code(on.run(what)) == errc::ok);
    CHECK(code(on.run(what)) == errc::ok);
    const auto now = on.find<view_record>(key::view(v, "s"));
    CHECK(now->at.manifest->number == manifest.number);
    CHECK(now->at.manifest->death.value == 0);
    CHECK(on.find<pin_list>(key::pins(v))->pins == std::vector<pin>{{{10}, manifest.number}});
    REQUIRE(code(on.run(reap{v, 100})) == errc::ok);
    CHECK(on.has_segment(v, 4));
    REQUIRE(code(on.run(delete_view{v, "s"})) == errc::ok);
    REQUIRE(code(on.run(reap{v, 100})) == errc::ok);
    CHECK_FALSE(on.has_segment(v, 4));
    CHECK_FALSE(on.has_segment(v, 5));
    CHECK_FALSE(on.has_segment(v, 2));
}

TEST_CASE("a view that was deleted or renamed past the head is not made again, until the head is past it") {
    ledger_bench on;
    const auto v = on.opened("v");
    REQUIRE(code(on.run(on.root(v, 10, 1))) == errc::ok);
    REQUIRE(code(on.run(on.view(v, "a", 12, 2))) == errc::ok);
    REQUIRE(code(on.run(on.view(v, "b", 14, 3))) == errc::ok);
    REQUIRE(code(on.run(delete_view{v, "a"})) == errc::ok);
    CHECK(code(on.run(on.view(v, "a", 12, 4))) == errc::conflict);
    CHECK(code(on.run(on.view(v, "c", 13, 4))) == errc::ok);   // after it
    REQUIRE(code(on.run(rename_view{v, {1}, "b", "d"})) == errc::ok);
    CHECK(code(on.run(on.view(v, "b", 14, 5))) == errc::conflict);
    CHECK(code(on.run(on.view(v, "e", 15, 6))) == errc::ok);
    REQUIRE(code(on.run(on.root(v, 13, 7))) == errc::ok);
    CHECK(code(on.run(on.view(v, "b", 14, 5))) == errc::conflict);
    REQUIRE(code(on.run(on.root(v, 14, 8))) == errc::ok);
    CHECK_FALSE(on.state.get(key::withdrawn(v)).has_value());
    REQUIRE(code(on.run(delete_view{v, "d"})) == errc::ok);     // the head has it: nothing to remember
    CHECK_FALSE(on.state.get(key::withdrawn(v)).has_value());
}

TEST_CASE("views are bounded") {
    ledger_bench on(4, 1024 * GiB);
    const auto v = on.opened("v");
    auto what = on.view(v, "s", 1, 1);
    what.at.manifest.reset();
    what.added.clear();
    for (std::size_t i = 0; i < limits::views_max; ++i) {
        what.name = "s" + std::to_string(i);
        REQUIRE(code(on.run(what)) == errc::ok);
    }
    what.name = "more";
    CHECK(code(on.run(what)) == errc::quota);
    CHECK(list::views(on.state, v, "", 10).size() == 10);
}

TEST_CASE("a segment that views pin is freed once its bytes are elsewhere, and leads there") {
    ledger_bench on;
    const auto v = on.opened("v");
    auto first = on.root(v, 10, 1);
    for (std::uint64_t i = 2; i <= 4; ++i) first.added.push_back(on.segment(v, i, i));
    REQUIRE(on.run(first).code == errc::ok);
    REQUIRE(on.run(on.view(v, "s", 10, 5)).code == errc::ok);
    auto second = on.root(v, 20, 6);
    second.dead = {{{1ULL << 40 | 1}, {20}}, {{1ULL << 40 | 2}, {15}}, {{1ULL << 40 | 3}, {16}}};
    REQUIRE(on.run(second).code == errc::ok);
    REQUIRE(on.has_segment(v, 2));
    const auto number = [](std::uint64_t counter) { return segment_number{1ULL << 40 | counter}; };

    auto third = on.root(v, 30, 7);
    third.dead = {{number(8), {16}}};
    third.added.push_back(on.segment(v, 8, 2));
    third.moved = {{number(2), number(8)}, {number(3), number(8)}};
    const auto used = on.volume(v).used;
    REQUIRE(on.run(third).code == errc::ok);
    CHECK_FALSE(on.has_segment(v, 2));
    CHECK(on.is_freed(v, 2));
    CHECK(on.is_freed(v, 3));
    CHECK(on.has_segment(v, 8));
    CHECK(on.find<forward_record>(key::forward(v, number(2)))->to == number(8));
    CHECK(on.volume(v).used == used + third.added[0].length);  // the manifest: what was dead, and what holds it now, is not live
    CHECK(on.volume(v).freed_upto < sequence_number{16});  // nothing that a view may still be made of is lost

    // Once the view goes, so do the container and what leads to it.
    REQUIRE(on.run(delete_view{v, "s"}).code == errc::ok);
    while (*wire::decode<std::uint64_t>(on.run(reap{v, 1}).value) != 0) {}
    CHECK(on.is_freed(v, 8));
    CHECK_FALSE(on.find<forward_record>(key::forward(v, number(2))));
    CHECK_FALSE(on.find<forward_record>(key::forward(v, number(3))));
    CHECK(on.has_segment(v, 4));
}

TEST_CASE("moves that could lose bytes are refused") {
    ledger_bench on;
    const auto v = on.opened("v");
    const auto number = [](std::uint64_t counter) { return segment_number{1ULL << 40 | counter}; };
    auto first = on.root(v, 10, 1);
    for (std::uint64_t i = 2; i <= 4; ++i) first.added.push_back(on.segment(v, i, i));
    REQUIRE(on.run(first).code == errc::ok);
    REQUIRE(on.run(on.view(v, "s", 10, 5)).code == errc::ok);
    std::uint64_t next = 100;
    const auto moving = [&](segment_number from, segment_number to, std::uint64_t birth = 1, std::uint64_t death = 0) {
        auto what = on.root(v, 20, next++);
        what.added.push_back(on.segment(v, 50, birth));
        if (death) what.added.back().death = {death};
        what.moved = {{from, to}};
        return on.run(what).code;
    };
    CHECK(moving(number(2), number(51)) == errc::invalid);       // to one that is not there
    CHECK(moving(number(2), number(2)) == errc::invalid);
    CHECK(moving(number(2), number(50), 3) == errc::invalid);    // a view at 2 would not pin it
    CHECK(moving(number(2), number(50), 1, 25) == errc::invalid);  // nor the head
    CHECK(moving(number(2), {}) == errc::invalid);               // the head needs it
    CHECK(moving(number(5), number(50)) == errc::invalid);       // a view's manifest
    CHECK(on.has_segment(v, 2));
    CHECK(moving(number(2), number(50)) == errc::ok);
    CHECK(moving(number(2), number(50)) == errc::ok);            // said again
    CHECK(moving(number(9), number(50)) == errc::ok);            // never there, or freed before
    auto chain = on.root(v, 20, next++);
    chain.added.push_back(on.segment(v, 60, 1));
    chain.moved = {{number(50), number(60)}};
    CHECK(on.run(chain).code == errc::invalid);                  // 2 would lead nowhere
    chain.moved = {{number(2), number(60)}, {number(50), number(60)}};
    CHECK(on.run(chain).code == errc::ok);
    CHECK(on.find<forward_record>(key::forward(v, number(2)))->to == number(60));
    CHECK(on.find<forward_record>(key::forward(v, number(2)))->birth == sequence_number{2});
    CHECK(on.find<forward_record>(key::forward(v, number(50)))->to == number(60));
    CHECK(on.run(on.stranger, chain).code == errc::permission);
    chain.term = chain.head.term = {0};
    CHECK(on.run(chain).code == errc::fenced);
}
