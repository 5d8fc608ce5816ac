// The pure parts of the read path: which reads are a stream, which requests become one, what is held for nobody yet, and
// that a cursor is never behind a write.
#include <support/memory_layer.hpp>

#include <ahead_store.hpp>
#include <first_try.hpp>
#include <readahead.hpp>
#include <run_queue.hpp>
#include <segment_read.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <thread>

using namespace cess;
using volume::stream_detector;

namespace {

// Reads in this order; what was advised to be read ahead.
std::uint64_t ahead_of(stream_detector& in, const std::vector<std::uint64_t>& offsets, std::uint64_t length, volume::blob_id blob = 1) {
    std::uint64_t sum = 0;
    for (const auto offset : offsets) {
        const auto advice = in.note(blob, offset, length);
        if (advice.from < advice.to) sum += advice.to - advice.from;
    }
    return sum;
}

std::vector<std::uint64_t> in_order(std::uint64_t from, std::size_t count, std::uint64_t step) {
    std::vector<std::uint64_t> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(from + i * step);
    return out;
}

std::shared_ptr<const ledger::segment_record> segment(unsigned char name) {
    ledger::segment_record out;
    out.id.raw.fill(static_cast<std::byte>(name));
    out.block_size = 4096;
    out.length = 32 * MiB;
    return std::make_shared<const ledger::segment_record>(out);
}

layer::run run_of(const std::shared_ptr<const ledger::segment_record>& of, std::uint64_t first, std::uint64_t count, std::optional<layer::stream_id> ahead = {}) {
    layer::run out;
    out.segment = of;
    out.first = first;
    out.count = count;
    out.ahead_of = ahead;
    return out;
}

}  // namespace

TEST_CASE("a run is asked of one miner if it is small and lies in one fragment") {
    const auto of = [](std::uint64_t first, std::uint64_t count) {
        layer::run out;
        auto two_of_three = *segment(1);
        two_of_three.geometry = {2, 1};
        out.segment = std::make_shared<const ledger::segment_record>(two_of_three);
        out.first = first;
        out.count = count;
        return out;
    };
    CHECK(layer::in_one_small_range(of(0, 1)));
    CHECK(layer::in_one_small_range(of(8191, 1)));
    CHECK(layer::in_one_small_range(of(0, 3)));
    CHECK_FALSE(layer::in_one_small_range(of(0, 4)));  // with its tags more than 16 KiB
    CHECK(layer::in_one_small_range(of(4095, 1)));     // the last of the first half
    CHECK_FALSE(layer::in_one_small_range(of(4095, 2)));
}

TEST_CASE("what is read in order is read ahead, each byte once, and not far beyond") {
    for (const std::uint64_t length : {4 * KiB, 64 * KiB, 1 * MiB}) {
        stream_detector in(8 * MiB);
        const auto count = 64 * MiB / length;
        std::uint64_t upto = 0, first = 0;
        for (std::uint64_t i = 0; i < count; ++i) {
            const auto advice = in.note(1, i * length, length);
            if (advice.from >= advice.to) continue;
            if (upto == 0) first = upto = advice.from;
            CHECK(advice.from == upto);
            upto = advice.to;
            CHECK(upto <= (i + 1) * length + 8 * MiB);
        }
        CHECK(first <= std::max<std::uint64_t>(2 * length, 16 * KiB));
        CHECK(upto >= 64 * MiB);
    }
}

TEST_CASE("a window grows from small to the bound") {
    stream_detector in(8 * MiB);
    std::uint64_t largest = 0, first = 0;
    for (std::uint64_t i = 0; i < 8192; ++i) {
        const auto advice = in.note(1, i * 4096, 4096);
        if (advice.from >= advice.to) continue;
        if (first == 0) first = advice.to - advice.from;
        largest = std::max(largest, advice.to - (i + 1) * 4096);
    }
    CHECK(first == 128 * KiB);
    CHECK(largest == 8 * MiB);
}

TEST_CASE("random reads are not read ahead") {
    stream_detector in(8 * MiB);
    seeded_random random(1);
    std::vector<std::uint64_t> offsets;
    for (int i = 0; i < 20'000; ++i) offsets.push_back(random.below(262'144) * 4096);
    CHECK(ahead_of(in, offsets, 4096) < 20'000 * 4096 / 100);
    stream_detector small(8 * MiB);
    offsets.clear();
    for (int i = 0; i < 20'000; ++i) offsets.push_back(random.below(4096) * 4096);
    CHECK(ahead_of(small, offsets, 4096) < 20'000 * 4096 / 10);
    stream_detector same(8 * MiB);
    CHECK(ahead_of(same, std::vector<std::uint64_t>(1000, 8192), 4096) == 0);
}

TEST_CASE("threads may bring the reads of a stream out of order") {
    stream_detector in(8 * MiB);
    auto offsets = in_order(0, 64, 1 * MiB);
    for (std::size_t i = 0; i + 4 <= offsets.size(); i += 4) std::swap(offsets[i], offsets[i + 3]);
    CHECK(ahead_of(in, offsets, 1 * MiB) >= 60 * MiB);
    stream_detector deep(8 * MiB);
    auto small = in_order(0, 4096, 4096);
    seeded_random random(2);
    for (std::size_t i = 0; i + 16 <= small.size(); i += 16)
        for (std::size_t j = 15; j > 0; --j) std::swap(small[i + j], small[i + random.below(j + 1)]);
    CHECK(ahead_of(deep, small, 4096) >= 15 * MiB);
}

TEST_CASE("a stream passes what random reads left behind and keeps its window") {
    stream_detector in(8 * MiB);
    for (std::uint64_t i = 0; i < 16; ++i) (void)in.note(1, i * 4 * MiB, 4096);
    CHECK(ahead_of(in, in_order(0, 1024, 64 * KiB), 64 * KiB) <= 72 * MiB);
    CHECK(in.all().size() == 1);
}

TEST_CASE("streams side by side each have their window, and random reads end them") {
    stream_detector in(1 * MiB);
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < 32; ++i)
        for (std::uint64_t s = 0; s < 8; ++s) sum += ahead_of(in, {s * GiB + i * 64 * KiB}, 64 * KiB, s % 2);
    CHECK(sum >= 8 * 2 * MiB);
    CHECK(in.all().size() == 8);
    seeded_random random(3);
    std::size_t over = 0;
    for (int i = 0; i < 1000; ++i) over += in.note(7, random.below(TiB / 4096) * 4096, 4096).over.has_value();
    CHECK(over == 8);
    CHECK(in.all().empty());
}

TEST_CASE("the engine reads ahead what a face reads in order, and nothing else") {
    support::memory_network net;
    net.create_volume("v", ledger::volume_type::block, 64 * MiB);
    auto v = net.open("v");
    REQUIRE(v.has_value());
    const bytes data(1 * MiB, std::byte{1});
    for (std::uint64_t i = 0; i < 32; ++i) {
        volume::change edit;
        edit.write(1, i * MiB, data);
        REQUIRE((*v)->apply(edit).has_value());
    }
    REQUIRE((*v)->checkpoint().has_value());
    bytes out(64 * KiB);
    seeded_random random(4);
    for (int i = 0; i < 100; ++i) REQUIRE((*v)->read(1, random.below(8) * 4 * MiB, byte_span(out).first(4096)).has_value());
    CHECK(net.ahead_bytes() == 0);
    for (std::uint64_t i = 0; i < 512; ++i) REQUIRE((*v)->read(1, i * 64 * KiB, out).has_value());
    CHECK(net.ahead_bytes() >= 30 * MiB);
    CHECK(net.ahead_bytes() <= 32 * MiB);
    REQUIRE((*v)->close().has_value());
}

TEST_CASE("requests for neighbouring blocks become one, of a megabyte at most") {
    const auto a = segment(1), b = segment(2);
    layer::run_queue queue;
    for (const std::uint64_t first : {7, 3, 5, 4, 6, 9}) queue.push(run_of(a, first, 1));
    queue.push(run_of(b, 8, 1));
    queue.push(run_of(a, 8, 1, layer::stream_id{1}));
    auto one = queue.pop(true);
    REQUIRE(one.has_value());
    CHECK((one->first == 3 && one->count == 5));
    CHECK(queue.pop(true)->first == 9);
    CHECK(queue.pop(true)->segment == b);
    CHECK_FALSE(queue.pop(false).has_value());  // what is read ahead waits
    CHECK(queue.pop(true)->first == 8);
    CHECK(queue.empty());
    for (std::uint64_t i = 0; i < 1024; ++i) queue.push(run_of(a, i, 1));
    CHECK(queue.pop(true)->count == 256);
}

TEST_CASE("a queue of many scattered runs is emptied in the order in which they came, and quickly") {
    const auto a = segment(1);
    layer::run_queue queue;
    constexpr std::uint64_t many = 200'000;
    for (std::uint64_t i = 0; i < many; ++i) queue.push(run_of(a, (i * 7919 % many) * 2, 1, layer::stream_id{1}));  // none next to another
    for (std::uint64_t i = 0; i < many; i += 1000) queue.hurry(a->id, (i * 7919 % many) * 2);
    for (std::uint64_t i = 0; i < many; i += 1000) REQUIRE(queue.pop(false)->first == (i * 7919 % many) * 2);
    REQUIRE_FALSE(queue.pop(false).has_value());
    for (int twice = 0; twice < 2; ++twice) queue.push(run_of(a, 0, 1, layer::stream_id{1}));
    for (std::uint64_t i = 0; i < many; ++i)
        if (i % 1000 != 0) REQUIRE(queue.pop(true)->first == (i * 7919 % many) * 2);
    for (int twice = 0; twice < 2; ++twice) CHECK(queue.pop(true)->first == 0);
    CHECK(queue.empty());
}

TEST_CASE("what is read ahead goes at once when somebody waits for it, and is dropped with its stream") {
    const auto a = segment(1);
    layer::run_queue queue;
    queue.push(run_of(a, 0, 16, layer::stream_id{1}));
    queue.push(run_of(a, 100, 16, layer::stream_id{2}));
    queue.hurry(a->id, 104);
    const auto hurried = queue.pop(false);
    REQUIRE(hurried.has_value());
    CHECK(hurried->first == 100);
    CHECK_FALSE(hurried->ahead_of.has_value());
    CHECK(queue.drop(layer::stream_id{2}).empty());
    CHECK(queue.drop(layer::stream_id{1}).size() == 1);
    CHECK(queue.empty());
}

TEST_CASE("what was read ahead is bounded, and counted as used or wasted") {
    metrics count;
    layer::ahead_store held(8 * 4096, count);
    const net::time_point start{};
    const auto key = [](std::uint32_t i) { return cache::block_key{{}, i}; };
    const auto add = [&](std::uint32_t i, layer::stream_id of, net::time_point when) {
        if (!held.reserve(4096, when)) return false;
        const auto alone = std::make_shared<layer::plain_run>(bytes(4096));
        held.add(key(i), {alone, alone->data}, of, when);
        return true;
    };
    for (std::uint32_t i = 0; i < 8; ++i) CHECK(add(i, layer::stream_id{1}, start));
    CHECK_FALSE(add(8, layer::stream_id{2}, start));  // nobody's work is undone for it
    CHECK(held.take(key(0)));
    CHECK_FALSE(held.take(key(0)));
    CHECK(add(8, layer::stream_id{2}, start));
    const auto later = start + layer::ahead_store::patience * 2;
    CHECK(add(9, layer::stream_id{2}, later));  // what nobody wants any more makes room
    held.drop(layer::stream_id{1});
    CHECK(held.bytes() == 2 * 4096);
    CHECK(count.make_counter("cess_layer_ahead_used_bytes_total", "").value() == 4096);
    CHECK(count.make_counter("cess_layer_ahead_wasted_bytes_total", "").value() == 7 * 4096);
    CHECK(held.take(key(9)));
}

TEST_CASE("blocks that share their memory count until the last of them is gone") {
    metrics count;
    layer::ahead_store held(16 * 4096, count);
    const net::time_point start{};
    const auto key = [](std::uint32_t i) { return cache::block_key{{}, i}; };
    const auto together = std::make_shared<layer::plain_run>(bytes(8 * 4096));
    for (std::uint32_t i = 0; i < 4; ++i) {  // of the other four, others took theirs at once
        REQUIRE(held.reserve(4096, start));
        held.add(key(i), {together, byte_view(together->data).subspan(i * 4096, 4096)}, layer::stream_id{1}, start);
    }
    CHECK(held.bytes() == 8 * 4096);
    for (std::uint32_t i = 0; i < 3; ++i) CHECK(held.take(key(i)));
    CHECK(held.bytes() == 8 * 4096);
    CHECK_FALSE(held.reserve(9 * 4096, start));
    CHECK(held.take(key(3)));
    CHECK(held.bytes() == 0);
    CHECK(count.make_gauge("cess_layer_ahead_held_bytes", "").value() == 0);
}

TEST_CASE("hedges are a tenth of the requests, whatever is slow") {
    layer::hedge_budget budget;
    std::uint64_t spent = 0;
    for (int i = 0; i < 10'000; ++i) {
        budget.earn();
        spent += budget.spend(2) ? 2 : 0;
    }
    CHECK(spent <= 1000 + 64);
    CHECK(spent >= 1000);
}

TEST_CASE("a read sees every change that was applied before it, whatever cursors are kept") {
    support::memory_network net;
    net.create_volume("v", ledger::volume_type::block, 64 * MiB);
    auto opened = net.open("v");
    REQUIRE(opened.has_value());
    auto& v = **opened;
    std::array<std::atomic<std::uint64_t>, 64> applied{};
    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0};
    std::vector<std::thread> readers;
    for (unsigned t = 0; t < 3; ++t)
        readers.emplace_back([&, t] {
            seeded_random random(t);
            bytes block(4096);
            while (!stop) {
                const auto slot = random.below(applied.size());
                const auto least = applied[slot].load();
                std::uint64_t seen = 0;
                if (!v.read(1, slot * 4096, block)) ++wrong;
                std::memcpy(&seen, block.data(), sizeof seen);
                if (seen < least) ++wrong;
            }
        });
    seeded_random random(9);
    bytes block(4096);
    for (std::uint64_t round = 1; round < 4'000 && wrong == 0; ++round) {
        const auto slot = random.below(applied.size());
        std::memcpy(block.data(), &round, sizeof round);
        volume::change edit;
        edit.write(1, slot * 4096, block);
        REQUIRE(v.apply(edit).has_value());
        applied[slot] = round;
        if (round % 400 == 0) REQUIRE(v.checkpoint().has_value());
        if (round % 16 == 0) std::this_thread::yield();
    }
    stop = true;
    for (auto& r : readers) r.join();
    CHECK(wrong == 0);
}
