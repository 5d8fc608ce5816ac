// What the engine does when the layer below refuses: every failure is an error in bounded time, and nothing that was
// acknowledged is lost.
#include <support/memory_layer.hpp>

#include <catch2/catch.hpp>

#include <cerrno>

using namespace cess;
using support::memory_network;
using namespace std::chrono_literals;

namespace {

volume::settings small() {
    volume::settings how;
    how.segment_size = 64 * KiB;
    how.buffers_max = 256 * KiB;
    how.append_idle = 20ms;
    how.checkpoint_idle = 10min;
    how.writer_patience = 500ms;
    return how;
}

std::unique_ptr<volume::volume> opened(memory_network& on, volume::settings how = small()) {
    auto out = on.open("v", std::move(how));
    if (!out) FAIL(out.error().message());
    return std::move(*out);
}

bytes pattern(std::size_t size, std::uint64_t seed) {
    bytes out(size);
    seeded_random(seed).fill(out);
    return out;
}

result<sequence_number> write(volume::volume& in, volume::blob_id blob, std::uint64_t offset, byte_view data) {
    volume::change edit;
    edit.write(blob, offset, data);
    return in.apply(edit);
}

bytes read(volume::reader& in, volume::blob_id blob, std::uint64_t offset, std::size_t length) {
    bytes out(length);
    auto done = in.read(blob, offset, out);
    if (!done) FAIL(done.error().message());
    return out;
}

memory_network::fault failing(std::string on, errc code, std::shared_ptr<std::atomic<bool>> active) {
    return [on = std::move(on), code, active](std::string_view what) -> result<void> {
        if (what == on && *active) return error(code, "injected");
        return {};
    };
}

// The first flush after a silence may still meet it.
bool synced_at_last(volume::volume& v) {
    for (int i = 0; i < 60; ++i)
        if (v.sync()) return true;
    return false;
}

}  // namespace

TEST_CASE("a flush needs no segment: what cannot be stored is journaled") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    const auto active = std::make_shared<std::atomic<bool>>(true);
    const auto data = pattern(200 * KiB, 1);
    {
        const auto v = opened(net);
        net.set_fault(failing("put", errc::unavailable, active));
        REQUIRE(write(*v, 1, 0, data).has_value());
        REQUIRE(v->sync().has_value());
        net.crash(0);
        *active = false;
    }
    const auto v = opened(net);
    CHECK(read(*v, 1, 0, data.size()) == data);
    REQUIRE(v->checkpoint().has_value());
    CHECK(read(*v, 1, 0, data.size()) == data);
}

TEST_CASE("a writer that finds the buffers full gets the reason, and goes on when they drain") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    const auto active = std::make_shared<std::atomic<bool>>(true);
    const auto v = opened(net);
    net.set_fault(failing("put", errc::unavailable, active));
    const auto data = pattern(64 * KiB, 1);
    std::uint64_t written = 0;
    error refused;
    for (int i = 0; i < 10 && refused.code == errc::ok; ++i) {
        if (auto done = write(*v, 1, written, data); done)
            written += data.size();
        else
            refused = done.error();
    }
    CHECK(refused.code == errc::unavailable);
    CHECK(refused.what.find("buffers are full") != std::string::npos);
    REQUIRE(v->sync().has_value());
    *active = false;
    for (int i = 0; i < 100; ++i) {
        if (write(*v, 2, 0, data)) break;
    }
    CHECK(read(*v, 2, 0, data.size()) == data);
    for (std::uint64_t at = 0; at < written; at += data.size()) CHECK(read(*v, 1, at, data.size()) == data);
    REQUIRE(v->close().has_value());
}

TEST_CASE("a failed append turns the volume read-only, with the reason, and is told once") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    const auto active = std::make_shared<std::atomic<bool>>(false);
    const auto data = pattern(1000, 1);
    {
        const auto v = opened(net);
        net.set_fault(failing("append", errc::unavailable, active));
        REQUIRE(write(*v, 1, 0, data).has_value());
        REQUIRE(v->sync().has_value());
        std::atomic<int> told{0};
        v->on_failure([&](const error&) { ++told; });
        *active = true;
        REQUIRE(write(*v, 1, 0, pattern(1000, 2)).has_value());
        CHECK(v->sync().error().code == errc::unavailable);
        for (int i = 0; i < 100 && !told; ++i) std::this_thread::sleep_for(10ms);
        CHECK(told == 1);
        const auto refused = write(*v, 1, 0, data);
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == errc::read_only);
        CHECK(refused.error().what.find("injected") != std::string::npos);
        CHECK_FALSE(v->writable());
        CHECK(v->checkpoint().error().code == errc::read_only);
        *active = false;
        CHECK(v->sync().error().code == errc::unavailable);
    }
    const auto v = opened(net);
    CHECK(read(*v, 1, 0, data.size()) == data);
}

TEST_CASE("while miners are silent a flush fails in bounded time, and holds again when they are back") {
    support::memory_options how;
    how.append_deadline = 300ms;
    memory_network net(how);
    net.create_volume("v", ledger::volume_type::filesystem);
    const auto data = pattern(3000, 1), more = pattern(3000, 2), last = pattern(3000, 3);
    const auto v = opened(net);
    REQUIRE(write(*v, 1, 0, data).has_value());
    REQUIRE(v->sync().has_value());
    std::atomic<int> told{0};
    v->on_failure([&](const error&) { ++told; });
    net.hold_appends(true);
    const auto written = write(*v, 1, 3000, more);
    REQUIRE(written.has_value());
    for (int i = 0; i < 3; ++i) {
        const auto began = std::chrono::steady_clock::now();
        const auto synced = v->sync();
        REQUIRE_FALSE(synced.has_value());
        CHECK(to_errno(synced.error().code) == EIO);
        CHECK(std::chrono::steady_clock::now() - began < 20s);  // far below the patience of a wait without a silence
    }
    CHECK(v->writable());
    CHECK(v->durable() < *written);
    REQUIRE(write(*v, 1, 6000, last).has_value());
    CHECK(read(*v, 1, 3000, 3000) == more);
    CHECK_FALSE(v->sync().has_value());
    net.hold_appends(false);
    REQUIRE(synced_at_last(*v));
    CHECK(v->durable() > *written);
    CHECK(told == 0);
    net.crash(0);
    const auto again = opened(net);
    CHECK(read(*again, 1, 0, 3000) == data);
    CHECK(read(*again, 1, 3000, 3000) == more);
    CHECK(read(*again, 1, 6000, 3000) == last);
}

TEST_CASE("writers in a long silence are refused before memory runs out, and nothing that was taken is lost") {
    support::memory_options how;
    how.append_deadline = 300ms;
    memory_network net(how);
    net.create_volume("v", ledger::volume_type::filesystem);
    const auto v = opened(net);
    net.hold_appends(true);
    const bytes value = pattern(256 * KiB, 4);
    std::uint64_t taken = 0;
    error refused;
    for (; taken < 400 && refused.code == errc::ok; ++taken) {
        volume::change one;
        one.put(to_bytes("key" + std::to_string(taken)), value);
        if (const auto done = v->apply(one); !done) refused = done.error();
    }
    --taken;
    CHECK(to_errno(refused.code) == EIO);
    net.hold_appends(false);
    REQUIRE(synced_at_last(*v));
    net.crash(0);
    const auto again = opened(net);
    for (std::uint64_t i = 0; i < taken; ++i) REQUIRE(again->get(as_view("key" + std::to_string(i))).value().has_value());
}

TEST_CASE("while consensus is down the volume works, snapshots are pending, and all is anchored afterwards") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    const auto down = std::make_shared<std::atomic<bool>>(false);
    const auto v = opened(net);
    net.set_fault(failing("ledger", errc::unavailable, down));
    const auto first = pattern(100'000, 1), second = pattern(100'000, 2);
    REQUIRE(write(*v, 1, 0, first).has_value());
    *down = true;
    REQUIRE(v->create_snapshot("s").has_value());
    REQUIRE(write(*v, 1, 0, second).has_value());
    REQUIRE(v->sync().has_value());
    CHECK(v->checkpoint().error().code == errc::unavailable);
    auto list = v->snapshots();
    REQUIRE(list.has_value());
    REQUIRE(list->size() == 1);
    CHECK((*list)[0].pending);
    SECTION("in the same owner") {
        *down = false;
        for (int i = 0; i < 500 && (*list)[0].pending; ++i) {
            std::this_thread::sleep_for(10ms);
            list = v->snapshots();
        }
        CHECK_FALSE((*list)[0].pending);
        CHECK(read(*v, 1, 0, second.size()) == second);
    }
    SECTION("in the next one, after a crash") {
        net.crash(0);
        *down = false;
        const auto next = opened(net);
        CHECK(read(*next, 1, 0, second.size()) == second);
        REQUIRE(next->checkpoint().has_value());
        list = next->snapshots();
        REQUIRE(list->size() == 1);
        CHECK_FALSE((*list)[0].pending);
        CHECK(next->create_snapshot("s").error().code == errc::exists);
    }
    const auto s = net.open_snapshot("v", "s");
    REQUIRE(s.has_value());
    CHECK(read(**s, 1, 0, first.size()) == first);
}

TEST_CASE("an owner that dies between the view and the head leaves both right") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    const auto data = pattern(100'000, 1);
    std::size_t before = 0;
    {
        const auto v = opened(net);
        REQUIRE(write(*v, 1, 0, pattern(100'000, 7)).has_value());
        REQUIRE(v->checkpoint().has_value());
        REQUIRE(write(*v, 1, 0, data).has_value());
        // The view is created, then the ledger is gone: rotate the fault in after the first transaction.
        auto asked = std::make_shared<std::atomic<int>>(0);
        net.set_fault([asked](std::string_view what) -> result<void> {
            if (what == "ledger" && ++*asked > 1) return error(errc::unavailable, "injected");
            return {};
        });
        REQUIRE(v->create_snapshot("s").has_value());
        REQUIRE(write(*v, 2, 0, data).has_value());
        REQUIRE(v->sync().has_value());
        for (int i = 0; i < 200 && *asked < 2; ++i) std::this_thread::sleep_for(10ms);
        REQUIRE(*asked >= 2);
        net.crash(0);
        net.set_fault(nullptr);
    }
    for (int round = 0; round < 2; ++round) {
        const auto v = opened(net);
        CHECK(read(*v, 1, 0, data.size()) == data);
        CHECK(read(*v, 2, 0, data.size()) == data);
        const auto s = net.open_snapshot("v", "s");
        REQUIRE(s.has_value());
        CHECK(read(**s, 1, 0, data.size()) == data);
        CHECK(read(**s, 2, 0, 10) == bytes(10, std::byte{0}));
        REQUIRE(v->close().has_value());
    }
    REQUIRE(net.delete_snapshot("v", "s").has_value());
    const auto v = opened(net);
    volume::change all;
    all.drop(1);
    all.drop(2);
    REQUIRE(v->apply(all).has_value());
    REQUIRE(v->checkpoint().has_value());
    before = net.segments();
    CHECK(before < 12);  // the metadata of one root, and nothing that leaked
}

TEST_CASE("a journal at its limit stops writers with an error, and lets them go on afterwards") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    auto how = small();
    how.journal_max = 256 * KiB;
    how.journal_checkpoint = 128 * KiB;
    const auto down = std::make_shared<std::atomic<bool>>(false);
    const auto v = opened(net, how);
    net.set_fault(failing("ledger", errc::unavailable, down));
    *down = true;
    const auto data = pattern(4096, 1);
    result<sequence_number> last = error(errc::ok);
    std::uint64_t written = 0;
    for (; written < 1000; ++written) {
        last = write(*v, 1, written * 4096, data);
        if (!last) break;
        REQUIRE(v->sync().has_value());
    }
    REQUIRE_FALSE(last.has_value());
    CHECK(last.error().code == errc::unavailable);
    *down = false;
    for (int i = 0; i < 60; ++i) {
        last = write(*v, 1, written * 4096, data);
        if (last) break;
    }
    CHECK(last.has_value());
    for (std::uint64_t i = 0; i <= written; ++i) CHECK(read(*v, 1, i * 4096, 4096) == data);
}

TEST_CASE("a full network refuses data before it is taken, and takes it again when there is room") {
    support::memory_options options;
    options.offer = 32 * MiB;
    memory_network net(options);
    net.create_volume("v", ledger::volume_type::filesystem);
    const auto v = opened(net);
    const auto data = pattern(1 * MiB, 1);
    std::uint64_t written = 0;
    result<sequence_number> last = error(errc::ok);
    for (; written < 200; ++written) {
        last = write(*v, 1, written * MiB, data);
        if (!last) break;
    }
    REQUIRE_FALSE(last.has_value());
    CHECK(last.error().code == errc::no_space);
    CHECK(v->usage_now().logical == written * MiB);
    REQUIRE(v->sync().has_value());
    REQUIRE(v->checkpoint().has_value());
    for (std::uint64_t i = 0; i < written; ++i) CHECK(read(*v, 1, i * MiB, 1 * MiB) == data);
    volume::change all;
    all.drop(1);
    REQUIRE(v->apply(all).has_value());
    for (int i = 0; i < 50; ++i) {
        last = write(*v, 2, 0, data);
        if (last) break;
        std::this_thread::sleep_for(100ms);
    }
    if (!last) FAIL(last.error().message());
}

TEST_CASE("a read that fails below is an error, never zeros") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    const auto active = std::make_shared<std::atomic<bool>>(false);
    const auto v = opened(net);
    REQUIRE(write(*v, 1, 0, pattern(100'000, 1)).has_value());
    REQUIRE(v->checkpoint().has_value());
    net.set_fault(failing("read", errc::unavailable, active));
    *active = true;
    bytes out(100'000);
    CHECK(v->read(1, 0, out).error().code == errc::unavailable);
    *active = false;
    CHECK(v->read(1, 0, out).has_value());
}

TEST_CASE("closing while consensus is down ends, and loses nothing") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    const auto down = std::make_shared<std::atomic<bool>>(false);
    const auto data = pattern(100'000, 1);
    {
        const auto v = opened(net);
        net.set_fault(failing("ledger", errc::unavailable, down));
        REQUIRE(write(*v, 1, 0, data).has_value());
        *down = true;
        CHECK(v->close().has_value());
        *down = false;
    }
    const auto v = opened(net);
    CHECK(read(*v, 1, 0, data.size()) == data);
}

TEST_CASE("two thousand segments and more become a root in steps") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    auto how = small();
    how.buffers_max = 8 * MiB;
    const auto data = pattern(64 * KiB, 1);
    {
        const auto v = opened(net, how);
        for (std::uint64_t i = 0; i < 2300; ++i) REQUIRE(write(*v, 1, i * 64 * KiB, data).has_value());
        REQUIRE(v->checkpoint().has_value());
        net.crash(0);
    }
    const auto v = opened(net, how);
    CHECK(v->usage_now().logical == 2300 * 64 * KiB);
    CHECK(read(*v, 1, 2299 * 64 * KiB, 64 * KiB) == data);
    volume::change all;
    all.drop(1);
    REQUIRE(v->apply(all).has_value());
    for (int i = 0; i < 300 && v->usage_now().logical; ++i) std::this_thread::sleep_for(10ms);
    for (int i = 0; i < 3; ++i) {
        REQUIRE(write(*v, 2, 0, data).has_value());
        REQUIRE(v->checkpoint().has_value());
    }
    CHECK(net.segments() < 30);
}
