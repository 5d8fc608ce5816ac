// Reading ahead, shared fetches and hedging over real miners, by what they ask of them.
#include <support/layer_house.hpp>

#include <cache/disk_cache.hpp>
#include <core/base/log.hpp>
#include <node/storage/protocol.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <thread>

using namespace cess;
using namespace cess::test;
using namespace std::chrono_literals;

namespace {

struct stored {
    stored() {
        log::settings quiet;
        quiet.threshold = log::level::off;
        REQUIRE(log::configure(quiet).has_value());
        seeded_random random(1);
        random.fill(content);
        writer = house.new_owner();
        layer::layer::open_options how;
        how.force = true;
        auto taken = writer->layer->take(house.account(), house.volume(), writer->session, how);
        REQUIRE(taken.has_value());
        auto put = taken->holder->put_segment(house.keys(), house.spec(1), content);
        REQUIRE(put.has_value());
        record = *put;
    }
    bool reads_right(layer_house::owner& by, std::uint64_t offset, std::size_t length) {
        bytes out(length);
        std::vector<layer::piece> pieces;
        pieces.push_back({&record, offset, out});
        return by.layer->read(house.keys(), pieces) && equal(out, byte_view(content).subspan(offset, length));
    }
    void read_ahead(layer_house::owner& by, std::uint64_t offset, std::uint64_t length, layer::stream_id of) {
        std::vector<layer::coming> what;
        what.push_back({&record, offset, length});
        by.layer->read_ahead(house.keys(), what, of);
    }
    static std::uint64_t counted(layer_house::owner& by, std::string_view name) { return by.count.make_counter(name, "").value(); }
    // Until all that is under way has come.
    static void settle(layer_house::owner& by, std::uint64_t bytes) {
        for (int i = 0; i < 2000 && counted(by, "cess_layer_read_bytes_total") < bytes; ++i) std::this_thread::sleep_for(5ms);
        REQUIRE(counted(by, "cess_layer_read_bytes_total") >= bytes);
    }

    layer_house house;
    bytes content = bytes(4 * MiB);
    std::unique_ptr<layer_house::owner> writer;
    ledger::segment_record record;
};

// A reader with a disk behind its memory.
struct with_disk {
    explicit with_disk(stored& s) : by(s.house.new_owner()) {
        cache::disk_options how;
        how.directory = "/cache";
        how.capacity = 64 * MiB;
        how.memory_max = 32 * MiB;  // it takes runs of a megabyte, and two of them at once
        how.key = crypto::secret_key::generate(random);
        auto made = cache::disk_cache::open(files, how, random, by->count);
        REQUIRE(made.has_value());
        disk = made->get();
        disk->flush();
        by->blocks.put_behind(std::move(*made));
    }
    std::uint64_t requests() { return stored::counted(*by, "cess_layer_fragment_reads_total"); }
    void leave_to_disk(const stored& s) {  // what was read so far
        disk->flush();
        by->blocks.memory().forget(s.record.id);
    }
    faulty_disk files;
    system_random random;
    std::unique_ptr<layer_house::owner> by;
    cache::disk_cache* disk = nullptr;
};

net::local_network::fate slow(net::duration by) {
    net::local_network::fate out;
    out.delay = by;
    out.only = [](const net::request& asked) { return storage::method::is_read(asked.method); };
    return out;
}

}  // namespace

TEST_CASE("what was read ahead is read without another request") {
    stored s;
    const auto reader = s.house.new_owner();
    s.read_ahead(*reader, 0, 2 * MiB, layer::stream_id{1});
    stored::settle(*reader, 2 * MiB);
    const auto requests = stored::counted(*reader, "cess_layer_fragment_reads_total");
    for (std::uint64_t at = 0; at < 2 * MiB; at += 128 * KiB) CHECK(s.reads_right(*reader, at, 128 * KiB));
    CHECK(stored::counted(*reader, "cess_layer_fragment_reads_total") == requests);
    CHECK(stored::counted(*reader, "cess_layer_ahead_used_bytes_total") == 2 * MiB);
    CHECK(stored::counted(*reader, "cess_layer_ahead_wasted_bytes_total") == 0);
    CHECK(s.reads_right(*reader, 0, 2 * MiB));  // and is in the cache from now on
    CHECK(stored::counted(*reader, "cess_layer_fragment_reads_total") == requests);
}

TEST_CASE("what a stream reads whole passes by the memory and is found on the disk") {
    stored s;
    with_disk reader(s);
    s.read_ahead(*reader.by, 0, 2 * MiB, layer::stream_id{1});
    for (std::uint64_t at = 0; at < 2 * MiB; at += 128 * KiB) CHECK(s.reads_right(*reader.by, at, 128 * KiB));
    CHECK(reader.by->blocks.memory().size_bytes() == 0);
    reader.disk->flush();
    const auto requests = reader.requests();
    CHECK(s.reads_right(*reader.by, 0, 2 * MiB));
    CHECK(reader.requests() == requests);
    CHECK(reader.by->blocks.memory().size_bytes() >= 2 * MiB);  // it was asked for again
}

TEST_CASE("what a stream reads stays in memory once the disk has failed") {
    stored s;
    with_disk reader(s);
    reader.files.fail_at(0, errc::io);
    CHECK(s.reads_right(*reader.by, 3 * MiB, 1 * MiB));
    reader.disk->flush();
    REQUIRE(reader.disk->off());
    reader.by->blocks.memory().forget(s.record.id);
    s.read_ahead(*reader.by, 0, 2 * MiB, layer::stream_id{1});
    for (std::uint64_t at = 0; at < 2 * MiB; at += 128 * KiB) CHECK(s.reads_right(*reader.by, at, 128 * KiB));
    CHECK(reader.by->blocks.memory().size_bytes() >= 2 * MiB);
    const auto requests = reader.requests();
    CHECK(s.reads_right(*reader.by, 0, 2 * MiB));
    CHECK(reader.requests() == requests);
}

TEST_CASE("a stream that reads less than a block at a time asks for each block once") {
    stored s;
    with_disk reader(s);
    s.read_ahead(*reader.by, 0, 64 * KiB, layer::stream_id{1});
    stored::settle(*reader.by, 64 * KiB);
    const auto requests = reader.requests();
    for (std::uint64_t at = 0; at < 64 * KiB; at += 512) CHECK(s.reads_right(*reader.by, at, 512));
    CHECK(reader.requests() == requests);
}

TEST_CASE("what the disk gives back wrong is asked of the miners") {
    stored s;
    with_disk reader(s);
    CHECK(s.reads_right(*reader.by, 0, 64 * KiB));
    reader.leave_to_disk(s);
    for (std::uint64_t at = 100; at < 64 * KiB; at += 1000) REQUIRE(reader.files.flip("/cache/blocks", at));
    const auto requests = reader.requests();
    CHECK(s.reads_right(*reader.by, 0, 64 * KiB));
    CHECK(reader.requests() > requests);
}

TEST_CASE("of a run on the disk, only the block that is wrong is asked of the miners") {
    stored s;
    with_disk reader(s);
    CHECK(s.reads_right(*reader.by, 0, 64 * KiB));
    reader.leave_to_disk(s);
    REQUIRE(reader.files.flip("/cache/blocks", 20'000));
    const auto read = stored::counted(*reader.by, "cess_layer_read_bytes_total");
    CHECK(s.reads_right(*reader.by, 0, 64 * KiB));
    CHECK(stored::counted(*reader.by, "cess_layer_read_bytes_total") == read + s.record.block_size);
    reader.leave_to_disk(s);
    CHECK(s.reads_right(*reader.by, 0, 64 * KiB));  // it is there anew
    CHECK(stored::counted(*reader.by, "cess_layer_read_bytes_total") == read + s.record.block_size);
}

TEST_CASE("a block that is wrong on the disk is replaced there, read alone as well") {
    stored s;
    with_disk reader(s);
    const auto size = s.record.block_size;
    const auto read = [&] {
        reader.leave_to_disk(s);
        const auto before = stored::counted(*reader.by, "cess_layer_read_bytes_total");
        CHECK(s.reads_right(*reader.by, 0, size));
        return stored::counted(*reader.by, "cess_layer_read_bytes_total") - before;
    };
    CHECK(read() == size);
    CHECK(read() == 0);
    REQUIRE(reader.files.flip("/cache/blocks", 1'000));
    CHECK(read() == size);
    CHECK(read() == 0);
}

TEST_CASE("what is on the disk is read though the run it is part of could not be read ahead") {
    stored s;
    with_disk reader(s);
    const auto size = s.record.block_size;
    CHECK(s.reads_right(*reader.by, size, size));  // not among those that are looked for in a run
    reader.leave_to_disk(s);
    for (const auto& miner : s.record.holders) s.house.down(miner);
    s.read_ahead(*reader.by, 0, 64 * KiB, layer::stream_id{1});
    CHECK(s.reads_right(*reader.by, size, size));
}

TEST_CASE("of a run of which the disk has every other block, the rest is asked for at once") {
    stored s;
    with_disk reader(s);
    const std::uint64_t size = s.record.block_size;
    for (std::uint64_t i = 0; i < 64; i += 2) CHECK(s.reads_right(*reader.by, i * size, size));
    reader.leave_to_disk(s);
    const auto requests = reader.requests();
    s.read_ahead(*reader.by, 0, 64 * size, layer::stream_id{1});
    CHECK(s.reads_right(*reader.by, 0, 64 * size));
    CHECK(reader.requests() <= requests + 3);
}

TEST_CASE("what is on the disk is read ahead from there, and the rest from the miners") {
    stored s;
    with_disk reader(s);
    CHECK(s.reads_right(*reader.by, 512 * KiB, 512 * KiB));
    reader.leave_to_disk(s);
    const auto read = stored::counted(*reader.by, "cess_layer_read_bytes_total");
    s.read_ahead(*reader.by, 0, 2 * MiB, layer::stream_id{1});
    for (std::uint64_t at = 0; at < 2 * MiB; at += 128 * KiB) CHECK(s.reads_right(*reader.by, at, 128 * KiB));
    CHECK(stored::counted(*reader.by, "cess_layer_read_bytes_total") == read + 2 * MiB - 512 * KiB);
    CHECK(stored::counted(*reader.by, "cess_layer_ahead_wasted_bytes_total") == 0);
}

TEST_CASE("a read of what is on its way waits for it and asks nobody again") {
    stored s;
    const auto reader = s.house.new_owner();
    for (const auto& miner : s.record.holders) s.house.set_fate(miner, slow(30ms));
    s.read_ahead(*reader, 0, 1 * MiB, layer::stream_id{1});
    CHECK(s.reads_right(*reader, 100 * KiB, 200 * KiB));
    CHECK(s.reads_right(*reader, 0, 1 * MiB));
    CHECK(stored::counted(*reader, "cess_layer_read_bytes_total") == 1 * MiB);
}

TEST_CASE("a stream that is given up leaves nothing behind but a count") {
    stored s;
    const auto reader = s.house.new_owner();
    s.read_ahead(*reader, 0, 1 * MiB, layer::stream_id{1});
    stored::settle(*reader, 1 * MiB);
    reader->layer->give_up(layer::stream_id{1});
    CHECK(stored::counted(*reader, "cess_layer_ahead_wasted_bytes_total") == 1 * MiB);
    CHECK(reader->blocks.memory().size_bytes() == 0);
    for (const auto& miner : s.record.holders) s.house.set_fate(miner, slow(30ms));
    s.read_ahead(*reader, 0, 4 * MiB, layer::stream_id{2});
    reader->layer->give_up(layer::stream_id{2});  // under way
    CHECK(s.reads_right(*reader, 0, 4 * MiB));
}

TEST_CASE("what fails to be read ahead is fetched by the read that comes") {
    stored s;
    const auto reader = s.house.new_owner();
    for (const auto& miner : s.record.holders) s.house.down(miner);
    s.read_ahead(*reader, 0, 1 * MiB, layer::stream_id{1});
    for (int i = 0; i < 2000 && stored::counted(*reader, "cess_layer_ahead_wasted_bytes_total") < 1 * MiB; ++i) std::this_thread::sleep_for(5ms);
    CHECK(stored::counted(*reader, "cess_layer_ahead_wasted_bytes_total") == 1 * MiB);
    for (const auto& miner : s.record.holders) s.house.set_fate(miner, {});
    CHECK(s.reads_right(*reader, 0, 1 * MiB));
}

TEST_CASE("many readers of the same blocks make one request") {
    stored s;
    const auto reader = s.house.new_owner();
    for (const auto& miner : s.record.holders) s.house.set_fate(miner, slow(20ms));
    std::vector<std::thread> threads;
    std::atomic<int> right{0};
    for (int t = 0; t < 8; ++t) threads.emplace_back([&] { right += s.reads_right(*reader, 256 * KiB, 64 * KiB); });
    for (auto& t : threads) t.join();
    CHECK(right == 8);
    CHECK(stored::counted(*reader, "cess_layer_read_bytes_total") == 64 * KiB);
}

TEST_CASE("many threads read, read ahead and give up at once, and every byte is right") {
    stored s;
    const auto reader = s.house.new_owner();
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (unsigned t = 0; t < 6; ++t)
        threads.emplace_back([&, t] {
            seeded_random random(t);
            for (int i = 0; i < 60; ++i) {
                const auto at = random.below(s.content.size() - 1);
                const auto length = random.below(std::min<std::uint64_t>(300 * KiB, s.content.size() - at)) + 1;
                const auto stream = static_cast<layer::stream_id>(random.below(3));
                if (random.below(3) == 0) s.read_ahead(*reader, at, length, stream);
                if (random.below(5) == 0) reader->layer->give_up(stream);
                if (!s.reads_right(*reader, at, length)) ++wrong;
                if (random.below(20) == 0) reader->blocks.memory().forget(s.record.id);
            }
        });
    for (auto& t : threads) t.join();
    CHECK(wrong == 0);
}

TEST_CASE("a read that joins what is just being read ahead stays when the stream is given up") {
    stored s;
    auto limits = layer_house::quick();
    limits.read = 1s;
    const auto reader = s.house.new_owner(limits);
    std::atomic<std::uint64_t> turn{0};
    std::atomic<int> wrong{0};
    const std::uint64_t rounds = s.content.size() / 4096;
    std::thread ahead([&] {
        for (std::uint64_t i = 0; i < rounds && wrong == 0; ++i) {
            while (turn != i) std::this_thread::yield();
            turn = i + rounds;
            s.read_ahead(*reader, i * 4096, 4096, layer::stream_id{1});
            reader->layer->give_up(layer::stream_id{1});
            while (turn == i + rounds) std::this_thread::yield();
        }
    });
    for (std::uint64_t i = 0; i < rounds && wrong == 0; ++i) {
        while (turn != i + rounds) std::this_thread::yield();
        wrong += !s.reads_right(*reader, i * 4096, 4096);
        turn = i + 1;
    }
    ahead.join();
    CHECK(wrong == 0);
}

TEST_CASE("a slow miner costs hedges within their budget, and then others stand in for it") {
    stored s;
    auto limits = layer_house::quick();
    limits.hedge = 40ms;
    const auto reader = s.house.new_owner(limits);
    s.house.set_fate(s.record.holders[0], slow(400ms));
    std::uint64_t reads = 0;
    for (std::uint64_t at = 0; at < 1 * MiB; at += 8 * KiB, ++reads) CHECK(s.reads_right(*reader, at, 4096));  // all of it in fragment 0
    const auto hedges = stored::counted(*reader, "cess_layer_hedged_reads_total");
    CHECK(hedges > 0);
    CHECK(hedges <= 32 + reads / 10);  // the savings, and a tenth
    // A read costs k requests once others stand in, and one more for a hedge or to see whether the miner is well again.
    CHECK(stored::counted(*reader, "cess_layer_fragment_reads_total") <= 3 * reads + 16);
    CHECK(stored::counted(*reader, "cess_layer_decoded_reads_total") >= reads * 3 / 4);
}

namespace {

// Reads 4 KiB at every other of the segment's first 2 * count blocks, each by a thread of its own. True: all are right.
bool read_scattered(stored& s, layer_house::owner& by, std::uint64_t count) {
    std::vector<std::thread> threads;
    std::atomic<std::uint64_t> right{0};
    for (std::uint64_t t = 0; t < count; ++t) threads.emplace_back([&, t] { right += s.reads_right(by, t * 8 * KiB, 4096); });
    for (auto& t : threads) t.join();
    return right == count;
}

// Others are asked for what fails, not for what is late.
layer::deadlines unhedged() {
    auto out = layer_house::quick();
    out.hedge = 8s;
    return out;
}

// Fails the first range of every request for several.
net::local_network::fate failing_first(std::uint16_t code) {
    net::local_network::fate out;
    out.delay = 50ms;  // others gather
    out.only = [](const net::request& asked) { return asked.method == storage::method::get_ranges; };
    out.alter = [code](net::reply& r) {
        auto says = wire::decode<storage::get_ranges_reply>(r.head);
        if (!says || says->outcomes.size() < 2) return;
        const auto size = r.body.size() / says->outcomes.size();
        says->outcomes.front() = {code, "so it says"};
        r.head = wire::encode(*says);
        r.body.erase(r.body.begin(), r.body.begin() + static_cast<std::ptrdiff_t>(size));
    };
    return out;
}

}  // namespace

TEST_CASE("small reads of one miner that are made together go as few requests, and at once when nothing is under way") {
    stored s;
    const auto reader = s.house.new_owner(unhedged());
    for (const auto& miner : s.record.holders) s.house.set_fate(miner, slow(100ms));
    CHECK(read_scattered(s, *reader, 32));  // all in fragment 0
    CHECK(stored::counted(*reader, "cess_layer_fragment_reads_total") >= 32);
    CHECK(stored::counted(*reader, "cess_layer_small_read_requests_total") <= 16);
    const auto before = stored::counted(*reader, "cess_layer_small_read_requests_total");
    for (const auto& miner : s.record.holders) s.house.set_fate(miner, {});
    for (std::uint64_t i = 0; i < 10; ++i) CHECK(s.reads_right(*reader, 1 * MiB + i * 8 * KiB, 4096));
    CHECK(stored::counted(*reader, "cess_layer_small_read_requests_total") == before + 10);
}

TEST_CASE("what a miner says of one range is of that range alone") {
    for (const auto code : {errc::not_found, errc::corrupt, errc::io, errc::canceled, static_cast<errc>(60000)}) {
        stored s;
        const auto reader = s.house.new_owner(unhedged());
        s.house.set_fate(s.record.holders[0], failing_first(static_cast<std::uint16_t>(code)));
        CHECK(read_scattered(s, *reader, 32));
        const auto decoded = stored::counted(*reader, "cess_layer_decoded_reads_total");
        CHECK(decoded > 0);
        // A miner whose fault it is is gone around for a while, so that more may be decoded than failed.
        if (code == errc::not_found) CHECK(decoded <= 16);
    }
}

TEST_CASE("answers to ranges that are too few, too many or of the wrong size change no read") {
    const auto tell = [](std::function<void(storage::get_ranges_reply&, bytes&)> how) {
        net::local_network::fate out;
        out.delay = 50ms;
        out.only = [](const net::request& asked) { return asked.method == storage::method::get_ranges; };
        out.alter = [how](net::reply& r) {
            auto says = wire::decode<storage::get_ranges_reply>(r.head);
            if (!says) return;
            how(*says, r.body);
            r.head = wire::encode(*says);
        };
        return out;
    };
    const std::vector<std::function<void(storage::get_ranges_reply&, bytes&)>> lies = {
        [](auto& says, bytes&) { says.outcomes.pop_back(); },
        [](auto& says, bytes&) { says.outcomes.clear(); },
        [](auto& says, bytes&) { says.outcomes.resize(1000); },
        [](auto& says, bytes&) { says.outcomes.front().code = 2; },  // and leaves its bytes
        [](auto&, bytes& body) { body.pop_back(); },
        [](auto&, bytes& body) { body.resize(body.size() * 2); },
        [](auto&, bytes& body) { std::reverse(body.begin(), body.end()); },
    };
    for (const auto& lie : lies) {
        stored s;
        const auto reader = s.house.new_owner(unhedged());
        s.house.set_fate(s.record.holders[0], tell(lie));
        CHECK(read_scattered(s, *reader, 16));
        // Found by its size, or by blocks that do not open.
        CHECK(stored::counted(*reader, "cess_layer_fragment_faults_total") + stored::counted(*reader, "cess_layer_proven_reads_total") > 0);
    }
}

TEST_CASE("a read whose miners never answer ends at its deadline, whatever came together with it") {
    stored s;
    auto limits = layer_house::quick();
    limits.read = 700ms;
    limits.request = 400ms;
    const auto reader = s.house.new_owner(limits);
    net::local_network::fate silent;
    silent.lose_replies = true;
    for (const auto& miner : s.record.holders) s.house.set_fate(miner, silent);
    std::vector<std::thread> threads;
    std::atomic<int> late{0}, right{0};
    for (std::uint64_t t = 0; t < 24; ++t)
        threads.emplace_back([&, t] {
            std::this_thread::sleep_for(t * 10ms);
            const auto began = std::chrono::steady_clock::now();
            right += s.reads_right(*reader, t * 8 * KiB, 4096);
            late += std::chrono::steady_clock::now() - began > 700ms + 250ms + 500ms;
        });
    for (auto& t : threads) t.join();
    CHECK(right == 0);
    CHECK(late == 0);
}
