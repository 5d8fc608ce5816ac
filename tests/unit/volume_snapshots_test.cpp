// Snapshots in numbers, under other names, of several volumes at once, and gone for good.
#include <support/memory_layer.hpp>
#include <support/one_waits.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using support::memory_network;
using namespace std::chrono_literals;

namespace {

volume::settings small() {
    volume::settings how;
    how.segment_size = 64 * KiB;
    how.buffers_max = 1 * MiB;
    how.append_idle = 20ms;
    how.checkpoint_idle = 10min;
    how.writer_patience = 2s;
    return how;
}

std::unique_ptr<volume::volume> opened(memory_network& on, const std::string& name = "v") {
    auto out = on.open(name, small());
    if (!out) FAIL(out.error().message());
    return std::move(*out);
}

void must(const result<void>& done) {
    if (!done) FAIL(done.error().message());
}

void put(volume::volume& in, std::string_view value) {
    volume::change edit;
    edit.put(to_bytes("k"), to_bytes(value));
    edit.write(1, 0, as_view(value));
    if (const auto done = in.apply(edit); !done) FAIL(done.error().message());
}

std::string get(volume::reader& in) {
    const auto value = in.get(as_view("k"));
    REQUIRE(value.has_value());
    if (!*value) return "(none)";
    bytes data((*value)->size());
    must(in.read(1, 0, data));
    CHECK(data == **value);
    return to_string(**value);
}

std::string get(memory_network& on, const std::string& snapshot) {
    const auto opened = on.open_snapshot("v", snapshot);
    return opened ? get(**opened) : opened.error().message();
}

std::vector<std::string> names(volume::volume& of) {
    const auto all = of.snapshots();
    REQUIRE(all.has_value());
    std::vector<std::string> out;
    for (const auto& each : *all) out.push_back(each.name + (each.pending ? " pending" : ""));
    return out;
}
using list = std::vector<std::string>;

void must_apply(volume::volume& in, const volume::change& edit) {
    if (const auto done = in.apply(edit); !done) FAIL(done.error().message());
}

// Consensus as tests want it: down, or down from the moment on that a view was made.
struct consensus {
    std::shared_ptr<std::atomic<bool>> down = std::make_shared<std::atomic<bool>>(false);
    std::shared_ptr<std::atomic<bool>> down_after_view = std::make_shared<std::atomic<bool>>(false);
    std::shared_ptr<std::atomic<bool>> answer_is_lost = std::make_shared<std::atomic<bool>>(false);

    explicit consensus(memory_network& of) {
        of.set_fault([this_down = down, after = down_after_view, lost = answer_is_lost](std::string_view what) -> result<void> {
            if (what == "answer" && after->exchange(false)) {
                *this_down = true;
                if (*lost) return error(errc::timeout, "the answer is lost");
            }
            if (what == "ledger" && *this_down) return error(errc::unavailable, "consensus is down");
            return {};
        });
    }
    void wait_until_down() const {
        for (int i = 0; i < 2000 && !*down; ++i) std::this_thread::sleep_for(5ms);
        REQUIRE(*down);
    }
};

}  // namespace

TEST_CASE("a renamed snapshot keeps its state, and its old name can be used again") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    {
        const auto v = opened(net);
        put(*v, "one");
        must(v->create_snapshot("a"));
        must(v->checkpoint());
        must(v->rename_snapshot("a", "b"));
        CHECK(names(*v) == list{"b"});
        CHECK(v->rename_snapshot("a", "c").error().code == errc::not_found);
        CHECK(v->rename_snapshot("b", "B/").error().code == errc::invalid);
        CHECK(v->create_snapshot("b").error().code == errc::exists);
        put(*v, "two");
        must(v->create_snapshot("a"));
        must(v->checkpoint());
        CHECK(v->rename_snapshot("a", "b").error().code == errc::exists);
        CHECK(v->create_snapshot("c").has_value());  // a refused rename took no name
        CHECK(get(net, "b") == "one");
        CHECK(get(net, "a") == "two");
        net.crash(0);
    }
    const auto v = opened(net);
    must(v->checkpoint());
    CHECK(names(*v) == list{"b", "a", "c"});
    CHECK(get(net, "b") == "one");
}

TEST_CASE("a snapshot of much that nobody synced waits for its segments rather than journaling it") {
    for (const bool stored : {true, false}) {
        CAPTURE(stored);
        support::memory_options options;
        options.put_time = 10ms;
        memory_network net(options);
        net.create_volume("v", ledger::volume_type::block, 64 * MiB);
        auto how = small();
        how.segment_size = 1 * MiB;
        how.buffers_max = 32 * MiB;
        how.append_idle = 10min;
        auto got = net.open("v", how);
        REQUIRE(got.has_value());
        auto v = std::move(*got);
        if (!stored) net.set_fault([](std::string_view what) -> result<void> { return what == "put" ? result<void>(error(errc::unavailable, "no miner")) : result<void>(); });
        const auto data = [](std::uint64_t i) { return bytes(1 * MiB, static_cast<std::byte>(i + 1)); };
        for (std::uint64_t i = 0; i < 24; ++i) {
            volume::change edit;
            const auto written = data(i);
            edit.write(1, i * MiB, written);
            must_apply(*v, edit);
        }
        must(v->create_snapshot("s"));
        CHECK((net.journal_bytes("v") < 6 * MiB) == stored);
        net.crash(0);  // durable it is either way
        v.reset();
        net.set_fault(nullptr);
        got = net.open("v", how);
        REQUIRE(got.has_value());
        v = std::move(*got);
        must(v->checkpoint());
        CHECK(names(*v) == list{"s"});
        for (std::uint64_t i = 0; i < 24; ++i) {
            bytes found(1 * MiB);
            must(v->read(1, i * MiB, found));
            CHECK(found == data(i));
        }
    }
}

TEST_CASE("a flush of much that is on its way in segments journals little of it") {
    std::uint64_t least = ~std::uint64_t{0};
    for (int tries = 0; tries < 5 && least > 8 * MiB; ++tries) {  // it waits 200 ms at most, in which a busy machine may sleep
        support::memory_options options;
        options.put_time = 12ms;
        memory_network net(options);
        net.create_volume("v", ledger::volume_type::block, 64 * MiB);
        auto how = small();
        how.segment_size = 1 * MiB;
        how.buffers_max = 32 * MiB;
        how.append_idle = 10min;
        auto got = net.open("v", how);
        REQUIRE(got.has_value());
        const auto v = std::move(*got);
        const bytes data(1 * MiB, std::byte{7});
        for (std::uint64_t i = 0; i < 24; ++i) {
            volume::change edit;
            edit.write(1, i * MiB, data);
            must_apply(*v, edit);
        }
        must(v->sync());
        least = std::min(least, net.journal_bytes("v"));
    }
    CHECK(least <= 8 * MiB);
}

TEST_CASE("a write that was placed before a snapshot, and applied after it, outlives two recoveries") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::block, 1 * MiB);
    const consensus ledger(net);
    support::one_waits placed;
    const bytes late(4 * KiB, std::byte{7});
    {
        auto how = small();
        how.append_idle = 10min;  // what is not waited for goes with the next that is
        how.crashes = &placed;
        auto got = net.open("v", how);
        REQUIRE(got.has_value());
        const auto v = std::move(*got);
        *ledger.down = true;
        // The late write is the first in its segment, which is then filled by others, all of them zeroed again.
        placed.hold();
        std::thread writer([&] {
            volume::change edit;
            edit.write(1, 512 * KiB, late);
            must_apply(*v, edit);
        });
        placed.wait();
        const auto puts = net.segments();
        volume::change fill, zero;
        const bytes others(60 * KiB, std::byte{1});
        fill.write(1, 0, others);
        fill.write(1, 60 * KiB, byte_view(others).first(8 * KiB));
        must_apply(*v, fill);
        zero.zero(1, 0, 68 * KiB);
        must_apply(*v, zero);
        for (int i = 0; i < 2000 && net.segments() == puts; ++i) std::this_thread::sleep_for(5ms);
        REQUIRE(net.segments() > puts);  // it is stored: where, the next entry says
        must(v->create_snapshot("s"));
        placed.go_on();
        writer.join();
        must(v->sync());
        net.crash(0);
    }
    *ledger.down = false;
    for (int opening = 0; opening < 3; ++opening) {
        const auto v = opened(net);
        bytes there(late.size());
        must(v->read(1, 512 * KiB, there));
        CHECK(there == late);
        put(*v, "more");
        must(v->checkpoint());
        put(*v, "and more");
        must(v->checkpoint());
        must(v->read(1, 512 * KiB, there));
        CHECK(there == late);
        must(v->close());
    }
}

TEST_CASE("a pending snapshot gets no other name, and its own is nobody else's") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    const consensus ledger(net);
    const auto v = opened(net);
    must(v->create_snapshot("a"));
    must(v->checkpoint());
    *ledger.down = true;
    must(v->create_snapshot("b"));
    CHECK(v->rename_snapshot("b", "c").error().code == errc::busy);
    CHECK(v->rename_snapshot("a", "b").error().code == errc::exists);
    CHECK(v->rename_snapshot("a", "c").error().code == errc::unavailable);
    *ledger.down = false;
    must(v->checkpoint());
    CHECK(names(*v) == list{"a", "b"});
    must(v->rename_snapshot("b", "c"));
    CHECK(names(*v) == list{"a", "c"});
}

TEST_CASE("who cannot ask which snapshots there are does not say that there are none") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    const consensus ledger(net);
    {
        const auto v = opened(net);
        must(v->create_snapshot("a"));
        must(v->close());
    }
    const auto v = opened(net);
    *ledger.down = true;
    CHECK(v->snapshots().error().code == errc::unavailable);
    *ledger.down = false;
    CHECK(names(*v) == list{"a"});
    *ledger.down = true;
    CHECK(names(*v) == list{"a"});  // as last seen
    *ledger.down = false;
}

TEST_CASE("a snapshot that is deleted before a head follows it is not made again by the next owner") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    const consensus ledger(net);
    {
        const auto v = opened(net);
        put(*v, "kept");
        must(v->create_snapshot("kept"));
        must(v->checkpoint());
        put(*v, "gone");
        *ledger.down_after_view = true;
        must(v->create_snapshot("gone"));
        ledger.wait_until_down();
        put(*v, "later");
        must(v->create_snapshot("later"));
        put(*v, "last");
        must(v->sync());
        net.crash(0);
        *ledger.down = false;
    }
    must(net.delete_snapshot("v", "gone"));
    for (int round = 0; round < 2; ++round) {
        const auto v = opened(net);
        must(v->checkpoint());
        CHECK(names(*v) == list{"kept", "later"});
        CHECK(get(*v) == "last");
        net.crash(0);
    }
    CHECK(get(net, "kept") == "kept");
    CHECK(get(net, "later") == "later");
    const auto v = opened(net);
    put(*v, "again");
    must(v->create_snapshot("gone"));  // the name is free
    must(v->checkpoint());
    CHECK(get(net, "gone") == "again");
}

TEST_CASE("a snapshot whose owner did not hear that it was made may be renamed or deleted, once") {
    for (const bool renamed : {false, true}) {
        memory_network net;
        net.create_volume("v", ledger::volume_type::filesystem);
        const consensus ledger(net);
        {
            const auto v = opened(net);
            put(*v, "one");
            *ledger.answer_is_lost = *ledger.down_after_view = true;
            must(v->create_snapshot("a"));
            ledger.wait_until_down();
            must(renamed ? net.rename_snapshot("v", "a", "b") : net.delete_snapshot("v", "a"));
            *ledger.down = false;
            put(*v, "two");
            for (int i = 0; i < 50 && !v->checkpoint(); ++i) std::this_thread::sleep_for(50ms);
            CHECK(names(*v) == (renamed ? list{"b"} : list{}));
            put(*v, "three");
            must(v->create_snapshot("c"));  // with the keys that the first one began
            put(*v, "four");
            must(v->checkpoint());
            CHECK(get(net, "c") == "three");
            if (renamed) CHECK(get(net, "b") == "one");
            net.crash(0);
        }
        const auto v = opened(net);
        CHECK(get(*v) == "four");
        must(v->checkpoint());
        CHECK(names(*v) == (renamed ? list{"b", "c"} : list{"c"}));
    }
}

TEST_CASE("one snapshot too many is refused before it is durable, counting those that are pending") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    {
        const auto v = opened(net);
        put(*v, "here");
        must(v->close());
    }
    const auto all = ledger::limits::views_max;
    for (std::size_t i = 0; i + 2 < all; ++i) must(net.anchor_head("v", "s" + std::to_string(i)));
    const consensus ledger(net);
    {
        const auto v = opened(net);
        must(v->create_snapshot("before-last"));
        must(v->checkpoint());
        *ledger.down = true;
        must(v->create_snapshot("last"));
        const auto refused = v->create_snapshot("more");
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == errc::quota);
        CHECK(refused.error().what.find("1024 snapshots") != std::string::npos);
        net.crash(0);  // nothing of it is in the journal
        *ledger.down = false;
    }
    const auto v = opened(net);
    must(v->checkpoint());
    CHECK(v->create_snapshot("more").error().code == errc::quota);
    CHECK(names(*v).size() == all);
    must(net.delete_snapshot("v", "s7"));
    must(v->create_snapshot("more"));
    must(v->checkpoint());
    CHECK(names(*v).size() == all);
}

TEST_CASE("hundreds of snapshots wait for consensus while the volume is written, and all are anchored") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    const consensus ledger(net);
    constexpr int count = 300;
    const auto name = [](int i) { return "s" + std::to_string(i); };
    {
        const auto v = opened(net);
        *ledger.down = true;
        for (int i = 0; i < count / 2; ++i) {
            put(*v, name(i));
            must(v->create_snapshot(name(i)));
        }
        must(v->sync());
        net.crash(0);
    }
    *ledger.down = false;
    const auto v = opened(net);  // makes them again
    *ledger.down = true;
    for (int i = count / 2; i < count; ++i) {
        put(*v, name(i));
        must(v->create_snapshot(name(i)));
    }
    CHECK(names(*v).size() == count);
    *ledger.down = false;
    for (int i = 0; i < 50 && !v->checkpoint(); ++i) std::this_thread::sleep_for(100ms);
    const auto anchored = names(*v);
    CHECK(anchored.size() == count);
    CHECK(std::find(anchored.begin(), anchored.end(), name(count - 1)) != anchored.end());
    for (const int i : {0, 1, count / 2 - 1, count / 2, count - 1}) CHECK(get(net, name(i)) == name(i));
    must(v->close());
}

TEST_CASE("held writes wait until they are released, or until the hold is over by itself") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    const auto v = opened(net);
    put(*v, "before");
    must(v->hold_writes(1, 30s));
    CHECK(v->hold_writes(2, 1s).error().code == errc::conflict);
    std::atomic<bool> done{false};
    std::thread writer([&] {
        put(*v, "after");
        done = true;
    });
    must(v->create_snapshot("s"));
    std::this_thread::sleep_for(100ms);
    CHECK_FALSE(done);
    CHECK(get(*v) == "before");
    must(v->release_writes(1));
    writer.join();
    must(v->checkpoint());
    CHECK(get(*v) == "after");
    CHECK(get(net, "s") == "before");

    const auto began = std::chrono::steady_clock::now();
    must(v->hold_writes(2, 300ms));
    put(*v, "late");  // nobody releases it
    CHECK(std::chrono::steady_clock::now() - began >= 300ms);
    CHECK(v->release_writes(2).error().code == errc::timeout);
    must(v->hold_writes(3, 10s));
    must(v->close());  // does not wait for it
}
