#include <blockdev/device.hpp>
#include <support/memory_layer.hpp>
#include <support/memory_volume.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <thread>

using namespace cess;
using blockdev::device;

namespace {

constexpr std::uint64_t size = 8 * MiB;

bytes random_bytes(seeded_random& random, std::size_t n) {
    bytes out(n);
    for (auto& b : out) b = static_cast<std::byte>(random.next());
    return out;
}

bytes read(device& on, std::uint64_t offset, std::uint64_t length) {
    bytes out(length, std::byte{0xee});
    const auto done = on.read(offset, out);
    INFO((done ? std::string() : done.error().message()));
    REQUIRE(done.has_value());
    return out;
}

// Zeros wherever it says hole, and it covers the range exactly.
void check_extents(device& on, std::uint64_t offset, std::uint64_t length, const bytes& expected) {
    const auto all = on.extents(offset, length);
    REQUIRE(all.has_value());
    auto at = offset;
    for (const auto& e : *all) {
        REQUIRE(e.offset == at);
        REQUIRE(e.length > 0);
        if (e.is != device::kind::data)
            REQUIRE(std::all_of(expected.begin() + static_cast<std::ptrdiff_t>(e.offset), expected.begin() + static_cast<std::ptrdiff_t>(e.offset + e.length),
                                [](std::byte b) { return b == std::byte{0}; }));
        at += e.length;
    }
    REQUIRE(at == offset + length);
}

struct step_range {
    std::uint64_t offset, length;
};
step_range some_range(seeded_random& random, std::uint64_t length_max) {
    const bool aligned = random.below(2) == 0;
    auto offset = random.below(size);
    auto length = 1 + random.below(std::min(length_max, size - offset));
    if (aligned) {
        offset = offset / 4096 * 4096;
        length = std::min(size - offset, (length + 4095) / 4096 * 4096);
    }
    return {offset, length};
}

void random_steps(device& on, bytes& model, seeded_random& random, int steps) {
    for (int i = 0; i < steps; ++i) {
        const auto what = random.below(10);
        const auto [offset, length] = some_range(random, what < 6 ? 64 * KiB : size);
        const auto at = model.begin() + static_cast<std::ptrdiff_t>(offset);
        const bool fua = random.below(8) == 0;
        if (what < 5) {
            const auto data = random_bytes(random, length);
            REQUIRE(on.write(offset, data, fua));
            std::copy(data.begin(), data.end(), at);
        } else if (what < 6) {
            REQUIRE((random.below(2) == 0 ? on.trim(offset, length, fua) : on.zero(offset, length, fua)));
            std::fill_n(at, length, std::byte{0});
        } else if (what < 8) {
            REQUIRE(equal(read(on, offset, length), byte_view(model).subspan(offset, length)));
        } else if (what < 9) {
            check_extents(on, offset, length, model);
        } else {
            REQUIRE(on.flush());
        }
    }
}

}  // namespace

TEST_CASE("a device over the engine reads what was written, through trims, extents and a reopening") {
    for (const std::uint64_t seed : {1, 2, 3}) {
        INFO("seed " << seed);
        support::memory_network network;
        const auto made = network.create_volume("disk", ledger::volume_type::block, size);
        seeded_random random(seed);
        bytes model(size, std::byte{0});
        for (int opened = 0; opened < 3; ++opened) {
            auto volume = network.open("disk");
            REQUIRE(volume.has_value());
            device disk(**volume, volume->get());
            REQUIRE(disk.size() == size);
            REQUIRE(equal(read(disk, 0, size), model));
            random_steps(disk, model, random, 150);
            REQUIRE((*volume)->close());
        }
    }
}

TEST_CASE("after a crash a device holds a prefix of its writes that ends at or after the last flush") {
    seeded_random random(7);
    for (int round = 0; round < 40; ++round) {
        INFO("round " << round);
        testing::memory_volume volume(true, size);
        device disk(volume, &volume);
        constexpr std::uint64_t blocks = 16;
        // Write i puts i+1 into block i % blocks; `flushed` writes are covered by a flush or FUA.
        const auto writes = 1 + random.below(40);
        std::uint64_t flushed = 0;
        for (std::uint64_t i = 0; i < writes; ++i) {
            const bool fua = random.below(6) == 0;
            REQUIRE(disk.write(i % blocks * 4096, bytes(4096, static_cast<std::byte>(i + 1)), fua));
            if (fua) flushed = i + 1;
            if (random.below(6) == 0) {
                REQUIRE(disk.flush());
                flushed = i + 1;
            }
        }
        volume.crash(random);
        // Which prefix is it? The newest value seen says its length; every block must fit it.
        std::vector<std::uint64_t> seen(blocks);
        for (std::uint64_t b = 0; b < blocks; ++b) seen[b] = std::to_integer<unsigned>(read(disk, b * 4096, 4096)[0]);
        const auto prefix = *std::max_element(seen.begin(), seen.end());
        REQUIRE(prefix >= flushed);
        for (std::uint64_t b = 0; b < blocks; ++b) {
            const auto expected = prefix <= b ? 0 : (prefix - 1 - b) / blocks * blocks + b + 1;
            REQUIRE(seen[b] == expected);
        }
    }
}

TEST_CASE("what lies past the end is refused, and nothing of it is done") {
    testing::memory_volume volume(false, size);
    device disk(volume, &volume);
    bytes two(8192, std::byte{1});
    CHECK(disk.write(size - 4096, two, false).error() == errc::invalid);
    CHECK(disk.read(size - 4096, two).error() == errc::invalid);
    CHECK(disk.read(~std::uint64_t{0}, two).error() == errc::invalid);
    CHECK(disk.zero(0, size + 1, false).error() == errc::invalid);
    CHECK(disk.zero(~std::uint64_t{0}, 2, false).error() == errc::invalid);
    CHECK(disk.extents(size, 1).error() == errc::invalid);
    CHECK(disk.write(size - 4096, byte_view(two).first(4096), true).has_value());
    CHECK(disk.zero(0, size, true).has_value());
    CHECK(equal(read(disk, 0, size), bytes(size, std::byte{0})));
}

TEST_CASE("a snapshot's device reads and refuses every change") {
    testing::memory_volume volume(false, size);
    device head(volume, &volume);
    REQUIRE(head.write(0, bytes(512, std::byte{5}), true));
    device disk(volume, nullptr);
    CHECK_FALSE(disk.writable());
    CHECK(read(disk, 0, 512) == bytes(512, std::byte{5}));
    CHECK(disk.write(0, bytes(512), false).error() == errc::read_only);
    CHECK(disk.trim(0, 512, false).error() == errc::read_only);
    CHECK(disk.flush().has_value());
}

TEST_CASE("a device has the size it was told last") {
    testing::memory_volume volume(false, size);
    device disk(volume, &volume);
    REQUIRE(disk.write(0, bytes(size, std::byte{9}), false));
    disk.resize(size / 2);
    CHECK(disk.read(size / 2, byte_span(*std::make_unique<bytes>(512))).error() == errc::invalid);
    CHECK(disk.write(size / 2, bytes(512), false).error() == errc::invalid);
    disk.resize(size);
    CHECK(read(disk, 0, size / 2) == bytes(size / 2, std::byte{9}));
}

TEST_CASE("a flush covers the writes that other threads completed before it") {
    support::memory_network network;
    (void)network.create_volume("disk", ledger::volume_type::block, size);
    auto volume = network.open("disk");
    REQUIRE(volume.has_value());
    device disk(**volume, volume->get());
    std::vector<std::thread> writers;
    std::atomic<int> failures = 0;
    for (unsigned t = 0; t < 4; ++t)
        writers.emplace_back([&, t] {
            for (unsigned i = 0; i < 64; ++i)
                if (!disk.write((t * 64 + i) * 4096, bytes(4096, static_cast<std::byte>(t + 1)), false)) ++failures;
        });
    for (auto& w : writers) w.join();
    REQUIRE(failures == 0);
    REQUIRE(disk.flush());
    network.crash(0);
    volume->reset();
    auto again = network.open("disk");
    REQUIRE(again.has_value());
    device found(**again, again->get());
    for (unsigned t = 0; t < 4; ++t) CHECK(read(found, t * 64 * 4096, 64 * 4096) == bytes(64 * 4096, static_cast<std::byte>(t + 1)));
    REQUIRE((*again)->close());
}


TEST_CASE("a change map tells what changed as data, what became zeros as zeros, and the rest as unchanged") {
    support::memory_network net;
    net.create_volume("d", ledger::volume_type::block, size);
    auto head = net.open("d");
    REQUIRE(head.has_value());
    device disk(**head, head->get());
    seeded_random random(9);
    REQUIRE(disk.write(0, random_bytes(random, 100'000), false).has_value());
    REQUIRE((*head)->create_snapshot("a").has_value());
    const auto changed = random_bytes(random, 4096);
    REQUIRE(disk.write(8192, changed, false).has_value());
    REQUIRE(disk.zero(16'384, 4096, false).has_value());
    REQUIRE(disk.zero(1 * MiB, 4096, false).has_value());  // was a hole already
    REQUIRE((*head)->create_snapshot("b").has_value());
    REQUIRE((*head)->checkpoint().has_value());
    auto a = net.open_snapshot("d", "a"), b = net.open_snapshot("d", "b");
    REQUIRE(a.has_value());
    REQUIRE(b.has_value());
    device map(**b, **a);
    CHECK_FALSE(map.writable());
    CHECK(map.write(0, changed, false).error() == errc::read_only);
    CHECK(read(map, 8192, 4096) == changed);
    const auto all = map.extents(0, size);
    REQUIRE(all.has_value());
    using kind = device::kind;
    const std::vector<std::tuple<std::uint64_t, std::uint64_t, kind>> expected{
        {0, 8192, kind::unchanged}, {8192, 4096, kind::data}, {12'288, 4096, kind::unchanged}, {16'384, 4096, kind::zeroed}, {20'480, size - 20'480, kind::unchanged}};
    REQUIRE(all->size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(std::tuple((*all)[i].offset, (*all)[i].length, (*all)[i].is) == expected[i]);
    const auto part = map.extents(10'000, 1000);
    REQUIRE(part.has_value());
    REQUIRE(part->size() == 1);
    CHECK(part->front().is == kind::data);
}
