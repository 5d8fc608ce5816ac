// Space that comes back: cleaning of mostly dead segments, with snapshots, clones, crashes and without consensus.
#include <support/memory_device.hpp>

using namespace cess;
using support::memory_device;
using support::memory_network;
using namespace std::chrono_literals;

namespace {

constexpr auto block_type = ledger::volume_type::block;
constexpr std::uint64_t segment = memory_device::segment;
constexpr std::uint64_t slack = 64 * KiB;
constexpr std::uint64_t device = memory_device::size;

volume::settings small() { return memory_device::settings(slack); }

class disk : public memory_device {
public:
    explicit disk(memory_network& net, const std::string& name = "d") : memory_device(net, small(), name) {}
    // One block of 4 KiB in `every` keeps its bytes.
    void overwrite_most(std::uint64_t every, std::uint64_t seed) {
        for (std::uint64_t block = 0; block < device / 4096; ++block)
            if (block % every != 0) write(block * 4096, 4096, seed + block);
    }
};

bytes snapshot_contents(memory_network& net, const std::string& name) { return disk::snapshot_contents(net, name); }

}  // namespace

TEST_CASE("what was overwritten comes back though every segment is partly alive") {
    memory_network net;
    net.create_volume("d", block_type, device);
    disk d(net);
    for (std::uint64_t round = 0; round < 6; ++round) d.overwrite_most(5 + round, round * 1000);
    d.checkpoint();
    const auto before = d.on->usage_now();
    CHECK(before.logical <= device);
    CHECK(before.stored > before.logical * 3 / 2 + slack);
    d.clean();
    const auto after = d.on->usage_now();
    CHECK(after.stored <= after.logical * 3 / 2 + slack);
    CHECK(net.data_bytes("d") == after.stored);
    CHECK(disk::contents(*d.on) == d.image);
    REQUIRE(d.on->close().has_value());
    d.open();
    CHECK(disk::contents(*d.on) == d.image);
    CHECK(d.on->usage_now().stored == after.stored);
}

TEST_CASE("a snapshot costs about what it alone keeps") {
    memory_network net;
    net.create_volume("d", block_type, device);
    disk d(net);
    d.write(0, device, 1);
    REQUIRE(d.on->create_snapshot("s").has_value());
    d.checkpoint();
    const auto old = d.image;
    // All but every eighth block of what the snapshot shares is overwritten, in several changes of mind.
    for (std::uint64_t round = 0; round < 4; ++round) d.overwrite_most(8, 5000 + round * 1000);
    d.checkpoint();
    d.clean();
    CHECK(disk::contents(*d.on) == d.image);
    CHECK(snapshot_contents(net, "s") == old);
    CHECK(d.on->usage_now().stored <= (device + device * 7 / 8) * 3 / 2 + slack);
    // Taken after most was gone, a snapshot needs little of the old segments.
    REQUIRE(net.delete_snapshot("d", "s").has_value());
    REQUIRE(d.on->create_snapshot("t").has_value());
    const auto later = d.image;
    d.write(0, device, 2);
    d.checkpoint();
    d.clean();
    CHECK(snapshot_contents(net, "t") == later);
    CHECK(net.data_bytes("d") <= 2 * device * 3 / 2 + slack);
    REQUIRE(net.delete_snapshot("d", "t").has_value());
    d.clean();
    d.write(0, 4096, 3);
    d.checkpoint();
    CHECK(net.data_bytes("d") <= device * 3 / 2 + slack);
    CHECK(disk::contents(*d.on) == d.image);
}

TEST_CASE("dead segments that a snapshot outlived in part, but needs nothing of, are freed while it stands") {
    memory_network net;
    net.create_volume("d", block_type, device);
    disk d(net);
    d.write(0, device, 1);
    REQUIRE(d.on->create_snapshot("first").has_value());
    d.write(0, device / 2, 2);
    d.checkpoint();
    REQUIRE(d.on->create_snapshot("second").has_value());
    const auto second = d.image;
    d.write(0, device, 3);
    d.checkpoint();
    CHECK(net.data_bytes("d") >= 2 * device + device / 2);
    REQUIRE(net.delete_snapshot("d", "first").has_value());
    d.clean();
    CHECK(snapshot_contents(net, "second") == second);
    CHECK(disk::contents(*d.on) == d.image);
    CHECK(net.data_bytes("d") <= 2 * device + slack);
}

TEST_CASE("who opened a snapshot or a clone before keeps reading it while its segments move, and move again") {
    memory_network net;
    net.create_volume("d", block_type, device);
    disk d(net);
    d.write(0, device, 1);
    REQUIRE(d.on->create_snapshot("s").has_value());
    d.checkpoint();
    const auto old = d.image;
    auto reader = net.open_snapshot("d", "s");
    REQUIRE(reader.has_value());
    REQUIRE(net.clone("d", "s", "c").has_value());
    auto clone = net.open("c", small());
    REQUIRE(clone.has_value());
    for (std::uint64_t round = 0; round < 5; ++round) {
        for (std::uint64_t i = 0; i < 4; ++i) d.overwrite_most(7 + round, round * 10'000 + i * 1000);
        d.checkpoint();
        d.clean();
        CHECK(disk::contents(**reader) == old);
        CHECK(disk::contents(**clone) == old);
        CHECK(disk::contents(*d.on) == d.image);
    }
    REQUIRE((*clone)->close().has_value());
    clone = net.open("c", small());
    REQUIRE(clone.has_value());
    CHECK(disk::contents(**clone) == old);
}

TEST_CASE("a read finds what its owner moves away before every look") {
    memory_network net;
    net.create_volume("d", block_type, device);
    disk d(net);
    REQUIRE(d.on->close().has_value());
    auto how = small();
    how.clean_slack = 0;
    d.open(how);
    // Each snapshot needs half of what the one before needs; so whenever the oldest goes, all that the last one reads moves.
    constexpr std::uint64_t snapshots = 7;
    const auto name = [](std::uint64_t i) { return "s" + std::to_string(i); };
    d.write(0, device, 1);
    for (std::uint64_t i = 0; i < snapshots; ++i) {
        volume::change trim;
        for (std::uint64_t block = 0; block < device / 4096; ++block)
            if (block % (1u << i) != 0) trim.zero(1, block * 4096, 4096);
        if (i > 0) REQUIRE(d.on->apply(trim).has_value());
        REQUIRE(d.on->create_snapshot(name(i)).has_value());
        d.checkpoint();
    }
    auto reader = net.open_snapshot("d", name(snapshots - 1));
    REQUIRE(reader.has_value());
    const auto me = std::this_thread::get_id();
    std::uint64_t gone = 0;
    bool moving = false;
    net.set_fault([&](std::string_view what) -> result<void> {
        if (what != "read" || std::this_thread::get_id() != me || moving || gone == snapshots - 1) return {};
        moving = true;
        CHECK(net.delete_snapshot("d", name(gone++)).has_value());
        d.clean();
        moving = false;
        return {};
    });
    bytes block(4096);
    if (auto done = (*reader)->read(1, 0, block); !done) FAIL(done.error().message());
    CHECK(std::equal(block.begin(), block.end(), d.image.begin()));
    CHECK(gone == snapshots - 1);
}

TEST_CASE("segments of a time when they were larger are cleaned as well") {
    memory_network net;
    net.create_volume("d", block_type, device);
    auto how = memory_device::settings(0);
    how.segment_size = 2 * segment;
    memory_device d(net, how);
    d.write(0, device, 1);
    d.checkpoint();
    REQUIRE(d.on->close().has_value());
    how.segment_size = segment;
    d.open(how);
    volume::change trim;  // so much that is left of each is more than one of today's segments
    for (std::uint64_t block = 0; block < device / 4096; ++block)
        if (block % 8 < 3) trim.zero(1, block * 4096, 4096);
    d.apply(trim);
    d.checkpoint();
    d.clean();
    const auto now = d.on->usage_now();
    CHECK(now.logical == device / 8 * 5);
    CHECK(now.stored <= now.logical * 3 / 2);
}

TEST_CASE("trimming a whole device frees it") {
    memory_network net;
    net.create_volume("d", block_type, device);
    disk d(net);
    d.overwrite_most(9, 1);
    d.write(0, device, 2);
    d.checkpoint();
    volume::change trim;
    trim.zero(1, 0, device);
    REQUIRE(d.on->apply(trim).has_value());
    d.checkpoint();
    CHECK(d.on->usage_now().logical == 0);
    CHECK(d.on->usage_now().stored == 0);
    CHECK(net.data_bytes("d") == 0);
}

TEST_CASE("an owner that dies while it cleans leaves everything readable") {
    for (int allowed = 0; allowed < 12; ++allowed) {
        INFO("puts and transactions that pass: " << allowed);
        memory_network net;
        net.create_volume("d", block_type, device);
        disk d(net);
        d.write(0, device, 1);
        REQUIRE(d.on->create_snapshot("s").has_value());
        const auto old = d.image;
        for (std::uint64_t round = 0; round < 3; ++round) d.overwrite_most(6, round * 1000);
        d.checkpoint();
        std::atomic<int> left{allowed};
        net.set_fault([&](std::string_view what) -> result<void> {
            if (what != "put" && what != "ledger") return {};
            if (left-- <= 0) return error(errc::unavailable, "cut off");
            return {};
        });
        std::thread cleaning([&] { (void)d.on->clean(); });
        for (int i = 0; i < 200 && left > 0; ++i) std::this_thread::sleep_for(2ms);
        std::this_thread::sleep_for(10ms);
        net.crash(0);
        net.depose("d");
        // Its threads find out when they ask.
        net.set_fault([](std::string_view what) -> result<void> {
            if (what == "put" || what == "ledger") return error(errc::fenced, "another owner");
            return {};
        });
        volume::change edit;
        edit.zero(1, 0, 1);
        (void)d.on->apply(edit);
        (void)d.on->sync();
        cleaning.join();
        d.on.reset();
        net.set_fault(nullptr);
        net.crash(0);
        d.open();
        CHECK(disk::contents(*d.on) == d.image);
        CHECK(snapshot_contents(net, "s") == old);
        d.write(0, 4096, 99);
        d.checkpoint();
        d.clean();
        CHECK(disk::contents(*d.on) == d.image);
        CHECK(snapshot_contents(net, "s") == old);
        CHECK(d.on->usage_now().stored <= 2 * device * 3 / 2 + slack);
    }
}

TEST_CASE("cleaning goes on while consensus is down, and frees when it is back") {
    memory_network net;
    net.create_volume("d", block_type, device);
    disk d(net);
    for (std::uint64_t round = 0; round < 5; ++round) d.overwrite_most(5 + round, round * 1000);
    d.checkpoint();
    const auto before = net.data_bytes("d");
    net.set_fault([](std::string_view what) -> result<void> {
        if (what == "ledger") return error(errc::unavailable, "consensus is down");
        return {};
    });
    const auto stored = net.segment_bytes();
    std::thread cleaning([&] { d.clean(); });
    for (int i = 0; i < 1000 && net.segment_bytes() == stored; ++i) std::this_thread::sleep_for(5ms);
    CHECK(net.segment_bytes() > stored);  // copied
    CHECK(net.data_bytes("d") == before);
    CHECK(disk::contents(*d.on) == d.image);
    net.set_fault(nullptr);
    cleaning.join();
    CHECK(net.data_bytes("d") <= device * 3 / 2 + slack);
    CHECK(disk::contents(*d.on) == d.image);
}

TEST_CASE("cleaning starts by itself past the bound") {
    memory_network net;
    net.create_volume("d", block_type, device);
    disk d(net);
    REQUIRE(d.on->close().has_value());
    auto how = small();
    how.clean_look = 5ms;
    how.checkpoint_idle = 50ms;
    d.open(how);
    for (std::uint64_t round = 0; round < 6; ++round) d.overwrite_most(5 + round, round * 1000);
    const auto bound = device * 3 / 2 + slack;
    for (int i = 0; i < 1000 && d.on->usage_now().stored > bound; ++i) {
        std::this_thread::sleep_for(10ms);
    }
    CHECK(d.on->usage_now().stored <= bound);
    CHECK(disk::contents(*d.on) == d.image);
}

TEST_CASE("what was moved moves again, and again, with all that it holds") {
    memory_network net;
    net.create_volume("d", block_type, device);
    disk d(net);
    d.write(0, device, 1);
    REQUIRE(d.on->close().has_value());
    auto how = small();
    how.clean_look = 5ms;
    how.clean_slack = 0;
    d.open(how);
    for (const std::uint64_t every : {2, 4, 8, 16, 32}) {
        volume::change trim;
        for (std::uint64_t block = 0; block < device / 4096; ++block) {
            if (block % every == 0) continue;
            trim.zero(1, block * 4096, 4096);
            std::fill_n(d.image.begin() + static_cast<std::ptrdiff_t>(block * 4096), 4096, std::byte{0});
        }
        REQUIRE(d.on->apply(trim).has_value());
        d.checkpoint();
        for (int i = 0; i < 1000 && net.data_bytes("d") > device / every * 3 / 2; ++i) std::this_thread::sleep_for(10ms);
        CHECK(net.data_bytes("d") <= device / every * 3 / 2);
        d.checkpoint();  // no move is refused
        CHECK(disk::contents(*d.on) == d.image);
    }
    REQUIRE(d.on->close().has_value());
    d.open();
    CHECK(disk::contents(*d.on) == d.image);
}
