// The object layer over real miners and a real validator in one process: what it stores comes back, or an error does.
#include <support/layer_house.hpp>

#include <core/base/log.hpp>
#include <node/storage/protocol.hpp>

#include <catch2/catch.hpp>

#include <condition_variable>

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

struct opened {
    std::unique_ptr<layer_house::owner> owner;
    layer::layer::ownership volume;
};
opened open(layer_house& in, layer::deadlines limits = layer_house::quick()) {
    log::settings quiet;
    quiet.threshold = log::level::off;
    REQUIRE(log::configure(quiet).has_value());
    opened out;
    out.owner = in.new_owner(limits);
    layer::layer::open_options how;
    how.force = true;
    auto taken = out.owner->layer->take(in.account(), in.volume(), out.owner->session, how);
    REQUIRE(taken.has_value());
    out.volume = std::move(*taken);
    return out;
}

result<bytes> read(layer::layer& through, const layer::keyring& keys, const ledger::segment_record& segment, std::uint64_t offset, std::size_t size) {
    bytes out(size);
    std::vector<layer::piece> pieces;
    pieces.push_back({&segment, offset, out});
    CHECK_OK(through.read(keys, pieces));
    return out;
}

bool reads_right(layer::layer& through, const layer::keyring& keys, const ledger::segment_record& segment, byte_view content) {
    const std::uint64_t size = content.size();
    for (const auto& [offset, length] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
             {0, size}, {0, 1}, {size - 1, 1}, {size / 2, std::min<std::uint64_t>(size - size / 2, 9000)}, {size / 3, 1}}) {
        auto got = read(through, keys, segment, offset, length);
        if (!got || !equal(*got, content.subspan(offset, length))) return false;
    }
    return true;
}

// An appended entry's fate.
struct waiting {
    std::mutex mutex;
    std::condition_variable wake;
    std::vector<result<void>> got;
    auto tell() {
        return [this](result<void> how) {
            const std::lock_guard hold(mutex);
            got.push_back(std::move(how));
            wake.notify_all();
        };
    }
    bool all(std::size_t n) {
        std::unique_lock hold(mutex);
        return wake.wait_for(hold, 20s, [&] { return got.size() >= n; });
    }
};

net::local_network::fate lying(std::function<void(net::reply&)> how, std::function<bool(net::method_id)> about = storage::method::is_read) {
    net::local_network::fate out;
    out.only = [about](const net::request& asked) { return about(asked.method); };
    out.alter = std::move(how);
    return out;
}

}  // namespace

TEST_CASE("segments of every size come back as they were put") {
    layer_house house;
    auto own = open(house);
    std::uint64_t number = 1;
    for (const std::size_t size : {1, 15, 4096, 4097, 60'000, 65'200, 65'300, 70'000, 1'000'000, 5'000'001}) {
        const auto content = noise(size, size);
        auto record = own.volume.holder->put_segment(house.keys(), house.spec(number++), content);
        REQUIRE(record.has_value());
        CHECK((record->geometry.k == 1) == (size <= 65'200));
        CHECK(record->holders.size() == std::size_t{record->geometry.k} + record->geometry.m);
        CHECK(reads_right(*own.owner->layer, house.keys(), *record, content));
        auto reader = house.new_owner();
        CHECK(reads_right(*reader->layer, house.keys(), *record, content));
        CHECK(reader->layer->verify(*record).empty());
    }
}

TEST_CASE("a read survives any m holders lost") {
    layer_house house(5);
    auto own = open(house);
    for (const ledger::shape geometry : {ledger::shape{2, 1}, ledger::shape{3, 2}, ledger::shape{1, 2}}) {
        const auto content = noise(7, 700'000);
        auto record = own.volume.holder->put_segment(house.keys(), house.spec(geometry.k + 10, geometry), content);
        REQUIRE(record.has_value());
        for (std::size_t first = 0; first < record->holders.size(); ++first) {
            for (unsigned i = 0; i < geometry.m; ++i) house.down(record->holders[(first + i) % record->holders.size()]);
            auto reader = house.new_owner();
            CHECK(reads_right(*reader->layer, house.keys(), *record, content));
            for (const auto& miner : record->holders) house.set_fate(miner, {});
        }
        for (unsigned i = 0; i <= geometry.m; ++i) house.down(record->holders[i]);
        auto reader = house.new_owner();
        const auto began = house.world().now();
        CHECK_FALSE(read(*reader->layer, house.keys(), *record, 0, content.size()).has_value());
        CHECK(house.world().now() - began < 5s);
        for (const auto& miner : record->holders) house.set_fate(miner, {});
    }
}

TEST_CASE("a miner that sends wrong, short, other, or no bytes changes no read") {
    layer_house house;
    auto own = open(house);
    const auto content = noise(3, 900'000);
    auto record = own.volume.holder->put_segment(house.keys(), house.spec(1), content);
    auto other = own.volume.holder->put_segment(house.keys(), house.spec(2), noise(4, 900'000));
    REQUIRE(record.has_value());
    REQUIRE(other.has_value());
    const auto flip = [](net::reply& r) { if (!r.body.empty()) r.body[r.body.size() / 3] ^= std::byte{4}; };
    const auto cut = [](net::reply& r) { r.body.resize(r.body.size() / 2); };
    const auto nothing = [](net::reply& r) { r.body.clear(); };
    const auto zeros = [](net::reply& r) { std::fill(r.body.begin(), r.body.end(), std::byte{0}); };
    const auto rubbish = [](net::reply& r) { r.head = to_bytes("rubbish"); };
    const auto denies = [](net::reply& r) { r = net::reply::of(error(errc::not_found)); };
    for (const std::function<void(net::reply&)>& how : std::vector<std::function<void(net::reply&)>>{flip, cut, nothing, zeros, rubbish, denies})
        for (const auto& miner : record->holders) {
            house.set_fate(miner, lying(how));
            auto reader = house.new_owner();
            CHECK(reads_right(*reader->layer, house.keys(), *record, content));
            const auto faults = reader->layer->verify(*record);
            REQUIRE(faults.size() == 1);
            CHECK(faults.front().miner == miner);
            house.set_fate(miner, {});
        }
    net::local_network::fate silent;
    silent.lose_requests = true;
    house.set_fate(record->holders.front(), silent);
    auto reader = house.new_owner();
    const auto began = house.world().now();
    CHECK(reads_right(*reader->layer, house.keys(), *record, content));
    CHECK(house.world().now() - began < 3s);
}

TEST_CASE("m+1 liars give an error within the deadline, never wrong bytes") {
    layer_house house;
    auto own = open(house);
    const auto content = noise(3, 300'000);
    auto record = own.volume.holder->put_segment(house.keys(), house.spec(1), content);
    REQUIRE(record.has_value());
    const auto flip = [](net::reply& r) { for (auto& b : r.body) b ^= std::byte{1}; };
    house.set_fate(record->holders[0], lying(flip));
    house.set_fate(record->holders[1], lying(flip));
    auto reader = house.new_owner();
    const auto began = house.world().now();
    CHECK_FALSE(read(*reader->layer, house.keys(), *record, 0, content.size()).has_value());
    CHECK(house.world().now() - began < 5s);
}

TEST_CASE("a put goes around miners that are down, silent or full, and says what is missing when it cannot") {
    layer_house house;
    auto own = open(house);
    const auto content = noise(5, 400'000);
    house.down(house.miner(0).id);
    auto first = own.volume.holder->put_segment(house.keys(), house.spec(1), content);
    REQUIRE(first.has_value());
    CHECK(reads_right(*own.owner->layer, house.keys(), *first, content));
    net::local_network::fate silent;
    silent.lose_requests = true;
    house.set_fate(house.miner(0).id, silent);
    auto second = own.volume.holder->put_segment(house.keys(), house.spec(2), content);
    CHECK(second.has_value());
    house.down(house.miner(1).id);
    house.down(house.miner(2).id);
    const auto began = house.world().now();
    auto third = own.volume.holder->put_segment(house.keys(), house.spec(3), content);
    REQUIRE_FALSE(third.has_value());
    CHECK(third.error().code == errc::unavailable);
    CHECK(house.world().now() - began < 8s);
}

TEST_CASE("the reservation is the limit, and can be extended") {
    layer_house house;
    auto owner = house.new_owner();
    layer::layer::open_options how;
    how.reservation = 1 * MiB;
    how.force = true;
    auto taken = owner->layer->take(house.account(), house.volume(), owner->session, how);
    REQUIRE(taken.has_value());
    auto& session = *taken->holder;
    REQUIRE(session.put_segment(house.keys(), house.spec(1), noise(1, 400'000)).has_value());
    auto refused = session.put_segment(house.keys(), house.spec(2), noise(2, 400'000));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::no_space);
    REQUIRE(session.extend_reservation(8 * MiB).has_value());
    CHECK(session.put_segment(house.keys(), house.spec(2), noise(2, 400'000)).has_value());
}

TEST_CASE("a network with less space than asked for still gives the volume away") {
    layer_house house;
    auto owner = house.new_owner();
    layer::layer::open_options how;
    how.reservation = 1 * TiB;
    how.force = true;
    auto taken = owner->layer->take(house.account(), house.volume(), owner->session, how);
    REQUIRE(taken.has_value());
    CHECK(taken->holder->reservation_left() < 1 * TiB);
    CHECK(taken->holder->put_segment(house.keys(), house.spec(1), noise(1, 100'000)).has_value());
}

TEST_CASE("what was appended is there after the owner died, entries larger than a request included") {
    layer_house house;
    std::vector<bytes> sent;
    {
        auto own = open(house);
        CHECK(own.volume.history.empty());
        waiting fate;
        for (int i = 0; i < 40; ++i) {
            sent.push_back(noise(static_cast<std::uint64_t>(i), i == 20 ? 6'000'000 : 1000 * static_cast<std::size_t>(i)));
            own.volume.holder->append(sent.back(), fate.tell());
        }
        REQUIRE(fate.all(sent.size()));
        for (const auto& how : fate.got) CHECK(how.has_value());
    }
    house.down(house.miner(1).id);
    auto heir = open(house);
    CHECK(heir.volume.history == sent);
    auto again = open(house);
    CHECK(again.volume.history == sent);
}

TEST_CASE("a deposed owner gets no acknowledgement and hears why") {
    layer_house house;
    auto old = open(house);
    waiting before;
    old.volume.holder->append(noise(1, 100), before.tell());
    REQUIRE(before.all(1));
    auto heir = open(house);
    CHECK(heir.volume.history.size() == 1);
    waiting after;
    old.volume.holder->append(noise(2, 100), after.tell());
    REQUIRE(after.all(1));
    REQUIRE_FALSE(after.got.front().has_value());
    CHECK(after.got.front().error().code == errc::fenced);
    auto refused = old.volume.holder->put_segment(house.keys(), house.spec(9), noise(9, 100'000));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::fenced);
}

TEST_CASE("a committed root trims the journal, and a new owner gets only what follows it") {
    layer_house house;
    auto own = open(house);
    auto& session = *own.volume.holder;
    waiting fate;
    for (int i = 0; i < 10; ++i) session.append(noise(1, 5000), fate.tell());
    REQUIRE(fate.all(10));
    const auto content = noise(8, 100'000);
    auto manifest = session.put_segment(house.keys(), house.spec(1), content);
    REQUIRE(manifest.has_value());
    manifest->birth = {10};
    ledger::commit_root what;
    what.head.sequence = {10};
    what.head.journal_base = session.next_entry();
    what.head.manifest = *manifest;
    what.added = {*manifest};
    const auto before = session.journal_bytes();
    const auto committed = session.commit_root(what);
    INFO((committed ? std::string() : committed.error().message()));
    REQUIRE(committed.has_value());
    session.append(to_bytes("after"), fate.tell());
    REQUIRE(fate.all(11));
    CHECK(before > 50'000);
    CHECK(session.journal_bytes() < 5'000);
    auto heir = open(house);
    REQUIRE(heir.volume.history.size() == 1);
    CHECK(heir.volume.history.front() == to_bytes("after"));
    REQUIRE(heir.volume.record.head.manifest.has_value());
    CHECK(reads_right(*heir.owner->layer, house.keys(), *heir.volume.record.head.manifest, content));
}

TEST_CASE("appends and puts go on while consensus is down, and takeovers wait") {
    layer_house house;
    auto own = open(house);
    REQUIRE(own.volume.holder->put_segment(house.keys(), house.spec(1), noise(1, 100'000)).has_value());
    house.stop_ledger();
    waiting fate;
    own.volume.holder->append(noise(1, 100), fate.tell());
    REQUIRE(fate.all(1));
    CHECK(fate.got.front().has_value());
    CHECK(own.volume.holder->put_segment(house.keys(), house.spec(2), noise(2, 100'000)).has_value());
    auto limits = layer_house::quick();
    limits.ledger = 500ms;
    auto other = house.new_owner(limits);
    layer::layer::open_options how;
    how.force = true;
    CHECK_FALSE(other->layer->take(house.account(), house.volume(), other->session, how).has_value());
    house.start_ledger();
    CHECK(open(house).volume.history.size() == 1);
}
