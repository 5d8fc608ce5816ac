// Opening costs the same however much metadata there is: tables come when they are asked for.
#include <support/memory_layer.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using support::memory_network;
using namespace std::chrono_literals;

namespace {

constexpr auto block_type = ledger::volume_type::block;
constexpr std::uint64_t device = 256 * MiB;
constexpr std::uint64_t block = 512;
constexpr std::uint64_t blocks = 100'000;

volume::settings small_tables() {
    volume::settings how;
    how.segment_size = 1 * MiB;
    how.buffers_max = 8 * MiB;
    how.memtable = 32 * MiB;
    how.metadata_table = 16 * KiB;
    how.checkpoint_idle = 10min;
    how.clean_look = 10min;
    return how;
}

// Blocks apart from each other, so that each is an extent of its own.
std::uint64_t place_of(std::uint64_t i) { return i * 7919 % (device / block / 2) * 2 * block; }

bytes content_of(std::uint64_t i) {
    bytes data(block);
    seeded_random(i + 1).fill(data);
    return data;
}

std::unique_ptr<volume::volume> open(memory_network& net, const std::string& name = "d") {
    auto opened = net.open(name, small_tables());
    if (!opened) FAIL(opened.error().message());
    return std::move(*opened);
}

void write(volume::volume& on, std::uint64_t i) {
    const auto data = content_of(i);
    volume::change edit;
    edit.write(1, place_of(i), data);
    if (auto done = on.apply(edit); !done) FAIL(done.error().message());
}

bool same(volume::reader& on, std::uint64_t i) {
    bytes out(block);
    if (auto done = on.read(1, place_of(i), out); !done) FAIL(done.error().message());
    return out == content_of(i);
}

void checkpoint(volume::volume& on) {
    if (auto done = on.checkpoint(); !done) FAIL(done.error().message());
}

// A device of many extents, closed, with a snapshot of all of it.
void fill(memory_network& net) {
    net.create_volume("d", block_type, device);
    const auto on = open(net);
    for (std::uint64_t i = 0; i < blocks; ++i) {
        write(*on, i);
        if (i % 10'000 == 0) checkpoint(*on);  // a table each, that compaction cuts small
    }
    for (int i = 0; i < 20; ++i) {  // compaction has time
        std::this_thread::sleep_for(50ms);
        write(*on, 0);
        checkpoint(*on);
    }
    REQUIRE(on->create_snapshot("s").has_value());
    checkpoint(*on);
    REQUIRE(on->close().has_value());
}

// How many reads of the network are let through; the rest fails.
class gate {
public:
    explicit gate(memory_network& net) {
        net.set_fault([this](std::string_view what) -> result<void> {
            if (what != "read") return {};
            ++asked;
            if (left-- > 0) return {};
            return error(errc::unavailable, "no miner answers");
        });
    }
    std::atomic<int> asked{0};
    std::atomic<int> left{1'000'000};
};

}  // namespace

TEST_CASE("a snapshot opens with a few of its tables and brings others when they are read") {
    memory_network net;
    fill(net);
    gate door(net);
    auto opened = net.open_snapshot("d", "s");
    REQUIRE(opened.has_value());
    const auto at_open = door.asked.load();
    CHECK(at_open <= 40);  // the manifest, sixteen tables that RocksDB opens, and those that have no order yet
    for (std::uint64_t i = 0; i < blocks; i += 16) CHECK(same(**opened, i));
    CHECK(door.asked - at_open - static_cast<int>(blocks / 16) > 5);  // there were more
}

TEST_CASE("a volume whose metadata is still to come reads, writes, snapshots and survives its owner") {
    memory_network net;
    fill(net);
    gate door(net);
    door.left = 40;
    auto on = open(net);
    // Nothing more can be fetched. What is not here is refused, and nothing else is harmed.
    int failed = 0, refused = 0;
    for (std::uint64_t i = 0; i < 400; ++i) {
        bytes out(block);
        failed += !on->read(1, place_of(i * 211), out).has_value();
        volume::change edit;
        const auto data = content_of(i);
        edit.write(1, place_of(i * 211), data);
        auto done = on->apply(edit);
        if (!done) CHECK(done.error().code != errc::read_only);
        refused += !done.has_value();
        if (done) write(*on, i * 211);
    }
    CHECK(failed > 100);
    CHECK(refused > 100);
    CHECK(refused < 400);
    REQUIRE(on->sync().has_value());
    REQUIRE(on->create_snapshot("t").has_value());
    checkpoint(*on);
    CHECK(on->writable());
    door.left = 1'000'000;
    for (std::uint64_t i = 0; i < blocks; i += 16) CHECK(same(*on, i));
    for (std::uint64_t i = 0; i < blocks; i += 3) write(*on, i);
    checkpoint(*on);
    REQUIRE(on->sync().has_value());
    net.crash(0);
    on.reset();
    on = open(net);
    for (std::uint64_t i = 0; i < blocks; i += 16) CHECK(same(*on, i));
    on.reset();
    net.crash(0);
    for (const auto* name : {"s", "t"}) {
        auto opened = net.open_snapshot("d", name);
        REQUIRE(opened.has_value());
        for (std::uint64_t i = 0; i < blocks; i += 16) CHECK(same(**opened, i));
    }
    REQUIRE(net.clone("d", "t", "c").has_value());
    const auto clone = open(net, "c");
    for (std::uint64_t i = 0; i < blocks; i += 16) CHECK(same(*clone, i));
    write(*clone, 1);
    checkpoint(*clone);
}
