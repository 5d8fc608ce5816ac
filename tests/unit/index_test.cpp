// The index that the machine writes beside the state: what counts for whom, what a crash leaves, and an index made later.
#include <support/ledger_bench.hpp>

#include "index.hpp"
#include "index_builder.hpp"
#include "node_records.hpp"

#include <catch2/catch.hpp>

using namespace cess;
using chain::standing;
using test::ledger_bench;

namespace {

struct chain_bench {
    chain_bench() : bench(0) {
        origin.name = "index";
        origin.first.members = {validator.pub()};
        bench.network = ledger::id_of(origin);
        open();
    }
    void open(bool indexed = true) { on = chain::machine::open(store, origin, indexed).value(); }
    ledger::signed_transaction creation(const std::string& name) {
        bench.height = {blocks.size() + 1};
        return bench.make(bench.owner, ledger_bench::creation(name));
    }
    // The next block, which is certified unless a committee is slow.
    void add(std::vector<bytes> payload, bool certified = true) {
        consensus::block what;
        what.body.round = blocks.size() + 1;
        what.body.payload = std::move(payload);
        const auto block = consensus::named(std::move(what));
        blocks.push_back(wire::encode(block->what));
        REQUIRE(on->apply({{blocks.size()}, block, false, true, 0}).has_value());
        if (certified) certify();
    }
    void add(const ledger::signed_transaction& what) { add({wire::encode(what)}); }
    void certify() {
        ledger::state_certificate certificate;
        certificate.body = on->to_certify();
        certificate.signatures = {{0, sign(validator, certificate.body)}};
        REQUIRE(on->certify(certificate).has_value());
    }
    result<bytes> read_block(block_height height) const { return blocks.at(height.value - 1); }
    chain::node_records records() {
        return chain::node_records({*on, store, origin, [this](block_height height) { return read_block(height); }, [] { return chain::records::progress(); }});
    }
    std::size_t sent_by(const account_id& account) { return records().of_account(account, std::nullopt, 100).value().size(); }

    crypto::signing_key validator = test::seeded_key(5);
    ledger::genesis origin;
    ledger_bench bench;
    kv::memory_store store;
    std::unique_ptr<chain::machine> on;
    std::vector<bytes> blocks;
};

account_id owner_of(const chain_bench& on) { return crypto::id_of<account_id>(on.bench.owner.pub()); }

}  // namespace

TEST_CASE("a liar's block gives nobody a transaction, and what comes again counts once") {
    chain_bench net;
    const auto real = net.creation("real");
    const auto id = ledger::digest_of(real.body);
    auto forged = real;
    forged.sig.raw[0] ^= std::byte{1};
    net.add({to_bytes("no transaction"), wire::encode(forged), bytes(ledger::limits::transaction_size_max + 1, std::byte{0})});
    for (int i = 0; i < 40; ++i) net.add(forged);  // a transaction's id does not depend on its signature
    CHECK(net.sent_by(owner_of(net)) == 0);
    CHECK(net.records().find(id)->second.how == standing::passed_over);
    net.add({wire::encode(forged), wire::encode(real), wire::encode(real)});
    net.add(real);
    const auto [place, entry] = net.records().find(id).value();
    CHECK(place == chain::transaction_place{{42}, 1});
    CHECK(entry.how == standing::counted);
    CHECK(entry.code == errc::ok);
    CHECK(net.sent_by(owner_of(net)) == 1);
    const auto block = net.records().transactions({42}, 0, 10).value();
    REQUIRE(block.size() == 3);
    CHECK(block[0].how == standing::passed_over);
    CHECK(block[2].how == standing::repeated);
    CHECK(net.records().transactions({43}, 0, 10)->at(0).how == standing::repeated);
    CHECK(net.records().block({1})->transactions == 1);  // what is none is not counted
    CHECK(net.records().transactions({42}, 1, 1)->at(0).id == id);
    CHECK(net.records().transactions({42}, 3, 1)->empty());
}

TEST_CASE("nothing of the index is seen before it is certified") {
    chain_bench net;
    net.add(net.creation("first"));
    const auto second = net.creation("second");
    net.add({wire::encode(second)}, false);
    REQUIRE(net.on->spill().has_value());  // in the store, without a certificate
    const auto id = ledger::digest_of(second.body);
    const auto unseen = [&] {
        const auto records = net.records();
        CHECK(records.indexed()->upto.value == 1);
        CHECK(records.find(id).error().code == errc::not_found);
        CHECK(records.block({2}).error().code == errc::not_found);
        CHECK(records.transactions({2}, 0, 1).error().code == errc::not_found);
        CHECK(records.encoded_block({2}).error().code == errc::not_found);
        CHECK(net.sent_by(owner_of(net)) == 1);
        CHECK(records.look([](ledger::state&) {}).error().code == errc::unavailable);
    };
    unseen();
    REQUIRE(net.store.flush().has_value());
    net.open();
    unseen();
    net.add(net.creation("third"));
    CHECK(net.records().find(id)->first == chain::transaction_place{{2}, 0});
    CHECK(net.sent_by(owner_of(net)) == 3);
}

TEST_CASE("a crash leaves the index where the state is, and the blocks that come again are in it once") {
    chain_bench net;
    for (int i = 0; i < 3; ++i) net.add(net.creation("a" + std::to_string(i)));
    REQUIRE(net.store.flush().has_value());
    for (int i = 0; i < 3; ++i) net.add(net.creation("b" + std::to_string(i)));
    net.store.crash();
    net.open();
    CHECK(net.records().indexed()->upto.value == 3);
    CHECK(net.records().indexed()->from.value == 1);
    CHECK(net.sent_by(owner_of(net)) == 3);
    const auto again = std::vector<bytes>(net.blocks.begin() + 3, net.blocks.end());
    net.blocks.resize(3);
    for (const auto& raw : again) net.add(wire::decode<consensus::block>(raw)->body.payload);
    CHECK(net.records().indexed()->upto.value == 6);
    CHECK(net.sent_by(owner_of(net)) == 6);
}

TEST_CASE("an index that is made later, with interruptions, is the one that was there") {
    chain_bench one, later;
    later.open(false);
    for (int i = 0; i < 150; ++i) {
        const auto what = one.creation("v" + std::to_string(i % 140));  // some are refused
        one.add(what);
        later.add(what);
    }
    later.open();
    CHECK(later.records().indexed()->from.value == 151);
    CHECK(later.records().block({1}).error().code == errc::unavailable);
    const auto first = one.records().transactions({1}, 0, 1)->at(0).id;
    CHECK(later.records().find(first).error().code == errc::unavailable);
    CHECK(later.records().lineages_of({}, std::nullopt, 1).error().code == errc::unavailable);
    kv::memory_store scratch;
    const auto build = [&](int steps_max) {
        chain::index_builder builder({scratch, *later.on, later.store, later.origin, false, [&](block_height height) { return later.read_block(height); }});
        for (int i = 0; i < steps_max; ++i) {
            const auto more = builder.step();
            REQUIRE(more.has_value());
            if (!*more) return true;
        }
        return false;
    };
    CHECK_FALSE(build(1));
    REQUIRE(scratch.flush().has_value());
    CHECK_FALSE(build(1));
    scratch.crash();
    const auto late = one.creation("late");
    one.add(late);
    later.add(late);  // meanwhile
    CHECK(build(1000));
    CHECK(later.records().indexed()->from.value == 1);
    const auto all_of = [](kv::store& in) {
        std::map<bytes, bytes> out;
        for (auto& each : in.scan(to_bytes("X"), {}, 100'000).value()) out.emplace(each.key, each.value);
        return out;
    };
    CHECK(all_of(one.store) == all_of(later.store));
    CHECK(later.records().find(first)->first == chain::transaction_place{{1}, 0});
    CHECK(later.records().find({}).error().code == errc::not_found);
    CHECK_FALSE(chain::index_builder({scratch, *later.on, later.store, later.origin, false, {}}).step().value());
    later.open();
    CHECK(later.records().indexed()->from.value == 1);
}

TEST_CASE("an index that was left alone for a while begins anew") {
    chain_bench net;
    net.add(net.creation("seen"));
    net.open(false);
    net.add(net.creation("unseen"));
    net.open();
    net.add(net.creation("seen again"));
    CHECK(net.records().indexed()->from.value == 3);
    CHECK(net.records().block({1}).error().code == errc::unavailable);
    CHECK(net.records().block({3}).has_value());
}
