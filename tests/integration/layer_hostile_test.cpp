// What single miners and failed attempts must not be able to do to the object layer.
#include <support/layer_house.hpp>

#include <core/base/log.hpp>
#include <node/storage/protocol.hpp>
#include <objectstore/layer/owner.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <thread>

using namespace cess;
using namespace cess::test;
using namespace std::chrono_literals;

namespace {

bytes noise(std::uint64_t seed, std::size_t size) {
    seeded_random random(seed);
    bytes out(size);
    random.fill(out);
    return out;
}

void be_quiet() {
    log::settings quiet;
    quiet.threshold = log::level::off;
    REQUIRE(log::configure(quiet).has_value());
}

result<layer::layer::ownership> take(layer_house& in, layer_house::owner& as, bool force, const std::string& endpoint = {}) {
    layer::layer::open_options how;
    how.force = force;
    how.endpoint = endpoint;
    return as.layer->take(in.account(), in.volume(), as.session, how);
}

bool reads_right(layer::layer& through, const layer::keyring& keys, const ledger::segment_record& segment, byte_view content) {
    bytes out(content.size());
    std::vector<layer::piece> pieces;
    pieces.push_back({&segment, 0, out});
    return through.read(keys, pieces).has_value() && equal(out, content);
}

net::local_network::fate altered(std::function<bool(net::method_id)> about, std::function<void(net::reply&)> how) {
    net::local_network::fate out;
    out.only = [about](const net::request& asked) { return about(asked.method); };
    out.alter = std::move(how);
    return out;
}
net::local_network::fate altered(net::method_id about, std::function<void(net::reply&)> how) {
    return altered([about](net::method_id asked) { return asked == about; }, std::move(how));
}

// A process that says of every volume that it owns it, as one does that has attached it.
struct living_owner final : net::service {
    term_number term;
    net::awaitable<net::reply> serve(node_id, net::request) override {
        layer::owner_ping_reply says;
        says.alive = true;
        says.term = term;
        net::reply out;
        out.head = wire::encode(says);
        co_return out;
    }
};

}  // namespace

TEST_CASE("a miner that claims the call was canceled is gone around like any other that fails") {
    be_quiet();
    layer_house house(5);
    auto owner = house.new_owner();
    auto own = take(house, *owner, true);
    REQUIRE(own.has_value());
    const auto content = noise(1, 500'000);
    auto record = own->holder->put_segment(house.keys(), house.spec(1, {2, 2}), content);
    REQUIRE(record.has_value());
    const auto canceled = [](net::reply& r) { r = net::reply::of(error(errc::canceled)); };
    for (std::size_t liar = 1; liar < record->holders.size(); ++liar) {
        house.down(record->holders[0]);
        house.set_fate(record->holders[liar], altered(storage::method::is_read, canceled));
        auto reader = house.new_owner();
        CHECK(reads_right(*reader->layer, house.keys(), *record, content));
        for (const auto& miner : record->holders) house.set_fate(miner, {});
    }
    // And a put finds another miner at once, not when its time is over.
    house.set_fate(house.miner(0).id, altered(storage::method::put, canceled));
    for (std::uint64_t i = 2; i < 8; ++i) {
        const auto began = house.world().now();
        CHECK(own->holder->put_segment(house.keys(), house.spec(i, {2, 2}), content).has_value());
        CHECK(house.world().now() - began < 4s);
    }
}

TEST_CASE("miners that boast of boundless space get no more than their offers' share") {
    be_quiet();
    layer_house house(4);
    const auto boast = [](net::reply& r) {
        auto says = wire::decode<storage::hello_reply>(r.head);
        if (!says) return;
        says->capacity = std::uint64_t{1} << 63;
        says->used = 0;
        r.head = wire::encode(*says);
    };
    house.set_fate(house.miner(0).id, altered(storage::method::hello, boast));
    house.set_fate(house.miner(1).id, altered(storage::method::hello, boast));
    auto owner = house.new_owner();
    auto own = take(house, *owner, true);
    REQUIRE(own.has_value());
    const auto content = noise(2, 1000);
    std::size_t at_others = 0;  // of whose draws 3 in 100 go to them: not one in 400 would be a miracle
    for (std::uint64_t i = 1; i <= 400; ++i) {
        auto record = own->holder->put_segment(house.keys(), house.spec(i, {1, 0}), content);
        REQUIRE(record.has_value());
        at_others += record->holders[0] == house.miner(2).id || record->holders[0] == house.miner(3).id;
    }
    CHECK(at_others > 0);
}

TEST_CASE("a put that finds no miners of its release says what they say") {
    be_quiet();
    layer_house house(4);
    auto owner = house.new_owner();
    auto own = take(house, *owner, true);
    REQUIRE(own.has_value());
    const auto refuse = [](net::reply& r) { r = net::reply::of(error(errc::unsupported, "client and miners must be of the same release")); };
    for (std::size_t i = 0; i < house.miners(); ++i) house.set_fate(house.miner(i).id, altered(storage::method::hello, refuse));
    const auto refused = own->holder->put_segment(house.keys(), house.spec(1, {2, 1}), noise(2, 100000));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error() == errc::unavailable);
    INFO(refused.error().message());
    CHECK(refused.error().what.find("3 storage miners are needed, 0 answer; miner ") != std::string::npos);
    CHECK(refused.error().what.find("must be of the same release") != std::string::npos);
}

TEST_CASE("a process whose attempt failed after it got the lease may try again, others may not") {
    be_quiet();
    layer_house house;
    auto limits = layer_house::quick();
    limits.append = 500ms;
    auto owner = house.new_owner(limits);
    living_owner answers;
    answers.term = {1};
    house.network().add(crypto::id_of<node_id>(owner->session.pub()), answers);
    net::local_network::fate no_appends;
    no_appends.only = [](const net::request& asked) { return asked.method == storage::method::journal_append; };
    no_appends.lose_requests = true;
    for (std::size_t i = 0; i < house.miners(); ++i) house.set_fate(house.miner(i).id, no_appends);
    CHECK_FALSE(take(house, *owner, false, "here:1").has_value());
    for (std::size_t i = 0; i < house.miners(); ++i) house.set_fate(house.miner(i).id, {});

    auto other = house.new_owner();
    auto refused = take(house, *other, false);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::busy);
    auto own = take(house, *owner, false, "here:1");
    INFO((own ? std::string() : own.error().message()));
    CHECK(own.has_value());
    house.network().remove(crypto::id_of<node_id>(owner->session.pub()));
}

TEST_CASE("an owner that writes nothing hears of its successor, and no liar deposes one") {
    be_quiet();
    layer_house house;
    auto owner = house.new_owner();
    auto own = take(house, *owner, true);
    REQUIRE(own.has_value());
    std::atomic<int> told{0};
    own->holder->on_deposed([&](const error& why) { told += why.code == errc::fenced; });
    const auto within = [&](net::duration patience) {
        const auto until = house.world().now() + patience;
        while (told == 0 && house.world().now() < until) std::this_thread::sleep_for(10ms);
        return told == 1;
    };
    // As many as there are say that a newer term has begun: the ledger knows better.
    const auto denies = [](net::reply& r) { r = net::reply::of(error(errc::fenced)); };
    for (std::size_t i = 0; i < house.miners(); ++i) house.set_fate(house.miner(i).id, altered(storage::method::journal_state, denies));
    CHECK_FALSE(within(1s));
    for (std::size_t i = 0; i < house.miners(); ++i) house.set_fate(house.miner(i).id, {});
    CHECK_FALSE(within(500ms));

    auto heir = house.new_owner();
    auto taken = take(house, *heir, true);
    REQUIRE(taken.has_value());
    CHECK(within(10s));
    std::atomic<int> heir_told{0};
    taken->holder->on_deposed([&](const error&) { ++heir_told; });
    std::this_thread::sleep_for(500ms);
    CHECK(heir_told == 0);
    taken->holder->on_deposed(nullptr);
    own->holder->on_deposed(nullptr);
}
