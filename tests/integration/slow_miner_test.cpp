// One miner that answers after ten seconds: writers, flushes and readers adapt to it once and are not slowed by it.
// Bounds are far from both what is right and what was wrong, so that a busy machine does not matter.
#include <support/layer_house.hpp>

#include <core/base/log.hpp>
#include <node/storage/protocol.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>

using namespace cess;
using namespace cess::test;
using namespace std::chrono_literals;

namespace {

using clock_type = std::chrono::steady_clock;

struct opened {
    explicit opened(layer_house& in, layer::deadlines limits) : owner(in.new_owner(limits)) {
        log::settings quiet;
        quiet.threshold = log::level::off;
        REQUIRE(log::configure(quiet).has_value());
        layer::layer::open_options how;
        how.force = true;
        auto taken = owner->layer->take(in.account(), in.volume(), owner->session, how);
        REQUIRE(taken.has_value());
        volume = std::move(*taken);
    }
    std::unique_ptr<layer_house::owner> owner;
    layer::layer::ownership volume;
};

bytes noise(std::uint64_t seed, std::size_t size) {
    seeded_random random(seed);
    bytes out(size);
    random.fill(out);
    return out;
}

net::local_network::fate slow(std::shared_ptr<std::atomic<unsigned>> asked, std::function<bool(net::method_id)> about) {
    net::local_network::fate out;
    out.delay = 10s;
    out.only = [asked, about](const net::request& what) {
        const bool meant = about(what.method);
        if (meant) ++*asked;
        return meant;
    };
    return out;
}

layer::deadlines patient() {
    layer::deadlines out;
    out.hedge = 4s;
    return out;
}

}  // namespace

TEST_CASE("reads wait for a slow holder once and then go around it") {
    layer_house house;
    opened on(house, patient());
    const auto content = noise(1, 1 * MiB);
    const auto segment = on.volume.holder->put_segment(house.keys(), house.spec(1), content);
    REQUIRE(segment.has_value());
    const auto asked = std::make_shared<std::atomic<unsigned>>(0);
    house.set_fate(segment->holders[0], slow(asked, [](net::method_id) { return true; }));
    std::vector<clock_type::duration> took;
    for (std::uint64_t at = 0; at < 40; ++at) {
        bytes out(100);
        std::vector<layer::piece> pieces;
        pieces.push_back({&*segment, at * 8 * KiB, out});  // all in the first fragment, each in another block
        const auto began = clock_type::now();
        REQUIRE(on.owner->layer->read(house.keys(), pieces).has_value());
        took.push_back(clock_type::now() - began);
        REQUIRE(equal(out, byte_view(content).subspan(static_cast<std::size_t>(at * 8 * KiB), 100)));
    }
    CHECK(std::count_if(took.begin(), took.end(), [](auto t) { return t >= 1s; }) < 20);  // a quarter of the hedge: what a read waits at least
}

TEST_CASE("puts that met a slow miner choose others for a while") {
    layer_house house;
    opened on(house, layer_house::quick());
    const auto asked = std::make_shared<std::atomic<unsigned>>(0);
    // It says hello like the others.
    house.set_fate(house.miner(0).id, slow(asked, [](net::method_id m) { return m == storage::method::put || m == storage::method::put_begin; }));
    for (std::uint64_t i = 1; i <= 16; ++i) REQUIRE(on.volume.holder->put_segment(house.keys(), house.spec(i), noise(i, 200 * KiB)).has_value());
    CHECK(asked->load() <= 8);  // of 16, each with three of four miners
}

TEST_CASE("a miner that stops in the middle of its fragment is replaced, and the fragment is whole at another") {
    layer_house house;
    opened on(house, layer_house::quick());
    const auto content = noise(3, 9 * MiB + 777);  // five chunks of each fragment
    const auto read_back = [&](const ledger::segment_record& segment) {
        bytes out(content.size());
        std::vector<layer::piece> pieces;
        pieces.push_back({&segment, 0, out});
        REQUIRE(on.owner->layer->read(house.keys(), pieces).has_value());
        CHECK(out == content);
        CHECK(on.owner->layer->verify(segment).empty());
    };
    const auto id = house.miner(0).id;
    const auto asked = std::make_shared<std::atomic<unsigned>>(0);
    const auto chunks = std::make_shared<std::atomic<unsigned>>(0);
    house.set_fate(id, slow(asked, [chunks](net::method_id m) { return m == storage::method::put_chunk && ++*chunks > 2; }));
    for (std::uint64_t number = 1; *asked == 0; ++number) {  // until it is among the three of four
        REQUIRE(number <= 12);
        const auto began = clock_type::now();
        const auto segment = on.volume.holder->put_segment(house.keys(), house.spec(number), content);
        CHECK(clock_type::now() - began < 8s);
        REQUIRE(segment.has_value());
        if (*asked == 0) continue;
        CHECK(std::find(segment->holders.begin(), segment->holders.end(), id) == segment->holders.end());
        house.set_fate(id, {});
        read_back(*segment);
    }
}

TEST_CASE("where a miner stops, and the one that takes its place as well, a third one stores the fragment") {
    layer_house house(6);
    opened on(house, layer_house::quick());
    struct order {
        std::mutex mutex;
        std::vector<std::size_t> begun;  // miners
    };
    const auto seen = std::make_shared<order>();
    for (std::size_t i = 0; i < house.miners(); ++i) {
        net::local_network::fate stops;
        stops.delay = 10s;
        stops.only = [seen, i](const net::request& what) {
            const std::lock_guard lock(seen->mutex);
            if (what.method == storage::method::put_begin) seen->begun.push_back(i);
            const bool first = !seen->begun.empty() && seen->begun.front() == i, fourth = seen->begun.size() > 3 && seen->begun[3] == i;
            return what.method == storage::method::put_chunk && (first || fourth);
        };
        house.set_fate(house.miner(i).id, std::move(stops));
    }
    const auto segment = on.volume.holder->put_segment(house.keys(), house.spec(1), noise(5, 5 * MiB));
    REQUIRE(segment.has_value());
    REQUIRE(seen->begun.size() == 5);
    for (const auto i : {seen->begun[0], seen->begun[3]})
        CHECK(std::find(segment->holders.begin(), segment->holders.end(), house.miner(i).id) == segment->holders.end());
}

TEST_CASE("where all miners are slow, none is replaced") {
    layer_house house(6);
    auto limits = layer_house::quick();
    limits.request = 300ms;
    limits.put = 30s;
    opened on(house, limits);
    const auto begun = std::make_shared<std::atomic<unsigned>>(0);
    for (std::size_t i = 0; i < house.miners(); ++i) {
        net::local_network::fate slow;
        slow.delay = 2s;
        slow.only = [begun](const net::request& what) {
            *begun += what.method == storage::method::put_begin;
            return what.method == storage::method::put_commit;
        };
        house.set_fate(house.miner(i).id, std::move(slow));
    }
    REQUIRE(on.volume.holder->put_segment(house.keys(), house.spec(1), noise(4, 5 * MiB)).has_value());
    CHECK(*begun == 3);
}

TEST_CASE("flushes do not wait for a slow journal member") {
    layer_house house;
    opened on(house, layer::deadlines());
    const auto asked = std::make_shared<std::atomic<unsigned>>(0);
    const auto members = on.volume.record.leases.back().members;
    house.set_fate(members.front().miner, slow(asked, [](net::method_id) { return true; }));
    std::vector<clock_type::duration> took;
    for (int i = 0; i < 60; ++i) {
        std::mutex mutex;
        std::condition_variable wake;
        std::optional<result<void>> got;
        const auto began = clock_type::now();
        on.volume.holder->append(noise(7, 500), [&](result<void> how) {
            const std::lock_guard hold(mutex);
            got = std::move(how);
            wake.notify_all();
        });
        std::unique_lock hold(mutex);
        REQUIRE(wake.wait_for(hold, 60s, [&] { return got.has_value(); }));
        REQUIRE(got->has_value());
        took.push_back(clock_type::now() - began);
    }
    std::sort(took.begin(), took.end());
    CHECK(took[took.size() / 2] < 1s);
    CHECK(took.back() < 8s);
}
