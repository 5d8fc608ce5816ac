#include <support/memory_layer.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using support::memory_network;
using namespace std::chrono_literals;

namespace {

constexpr auto fs_type = ledger::volume_type::filesystem;

volume::settings small() {
    volume::settings how;
    how.segment_size = 64 * KiB;
    how.buffers_max = 1 * MiB;
    how.append_idle = 20ms;
    how.checkpoint_idle = 10min;
    how.writer_patience = 2s;
    return how;
}

std::unique_ptr<volume::volume> opened(memory_network& on, const std::string& name, volume::settings how = small()) {
    auto out = on.open(name, std::move(how));
    if (!out) FAIL(out.error().message());
    return std::move(*out);
}

bytes pattern(std::size_t size, std::uint64_t seed) {
    bytes out(size);
    seeded_random(seed).fill(out);
    return out;
}

void put(volume::volume& in, std::string_view key, std::string_view value) {
    volume::change edit;
    edit.put(to_bytes(key), to_bytes(value));
    REQUIRE(in.apply(edit).has_value());
}

std::string get(volume::reader& in, std::string_view key) {
    auto value = in.get(as_view(key));
    REQUIRE(value.has_value());
    return *value ? to_string(**value) : "(none)";
}

void write(volume::volume& in, volume::blob_id blob, std::uint64_t offset, byte_view data) {
    volume::change edit;
    edit.write(blob, offset, data);
    auto done = in.apply(edit);
    if (!done) FAIL(done.error().message());
}

bytes read(volume::reader& in, volume::blob_id blob, std::uint64_t offset, std::size_t length) {
    bytes out(length);
    auto done = in.read(blob, offset, out);
    if (!done) FAIL(done.error().message());
    return out;
}

bytes zeros(std::size_t n) { return bytes(n, std::byte{0}); }

}  // namespace

TEST_CASE("what is written is read back, holes are zeros") {
    memory_network net;
    net.create_volume("v", fs_type);
    const auto v = opened(net, "v");
    const auto data = pattern(10'000, 1);
    write(*v, 7, 5000, data);
    CHECK(read(*v, 7, 5000, 10'000) == data);
    CHECK(read(*v, 7, 0, 5000) == zeros(5000));
    CHECK(read(*v, 7, 15'000, 100) == zeros(100));
    CHECK(read(*v, 8, 0, 100) == zeros(100));
    const auto map = v->map(7, 0, 20'000);
    REQUIRE(map.has_value());
    REQUIRE(map->size() == 3);
    CHECK((*map)[0].length == 5000);
    CHECK((*map)[1].data);
    CHECK((*map)[1].length == 10'000);
    CHECK((*map)[2].length == 5000);
    CHECK(v->usage_now().logical == 10'000);
}

TEST_CASE("a closed volume opens with everything it held") {
    memory_network net;
    net.create_volume("v", fs_type);
    const auto data = pattern(300'000, 2);
    {
        const auto v = opened(net, "v");
        put(*v, "a", "1");
        put(*v, "b", "2");
        write(*v, 1, 0, data);
        REQUIRE(v->close().has_value());
        CHECK(v->apply(volume::change()).error().code == errc::canceled);
        CHECK(v->get(as_view("a")).error().code == errc::canceled);
    }
    const auto v = opened(net, "v");
    CHECK(v->record().head.sequence == v->applied());  // what the journal may still have are locations that the root has too
    CHECK(get(*v, "a") == "1");
    CHECK(read(*v, 1, 0, data.size()) == data);
    const auto rows = v->scan(as_view(""), as_view("b"), 10);
    REQUIRE(rows.has_value());
    REQUIRE(rows->size() == 1);
    CHECK(to_string((*rows)[0].value) == "2");
    CHECK(v->usage_now().logical == data.size());
}

TEST_CASE("what was synced survives the owner's death, without a checkpoint") {
    memory_network net;
    net.create_volume("v", fs_type);
    const auto data = pattern(200'000, 3);
    {
        const auto v = opened(net, "v");
        write(*v, 1, 100, data);
        put(*v, "k", "synced");
        REQUIRE(v->sync().has_value());
        net.hold_appends(true);
        put(*v, "k", "lost");
        net.crash(0);
    }
    net.hold_appends(false);
    const auto v = opened(net, "v");
    CHECK(get(*v, "k") == "synced");
    CHECK(read(*v, 1, 100, data.size()) == data);
}

TEST_CASE("a stream that nobody syncs lets go of its buffers as they are stored, and journals none of its bytes") {
    memory_network net;
    net.create_volume("d", fs_type);
    auto how = small();
    how.segment_size = 1 * MiB;
    how.buffers_max = 4 * MiB;
    how.append_idle = 10min;
    auto on = opened(net, "d", how);
    for (std::uint64_t i = 0; i < 40; ++i) write(*on, 1, i * MiB, pattern(1 * MiB, i));
    const auto entries = [&] { return net.journal_entries("d"); };
    for (int i = 0; i < 2000 && entries() < 2; ++i) std::this_thread::sleep_for(5ms);  // the first seals the term before
    CHECK(entries() >= 2);
    CHECK(net.journal_bytes("d") < 64 * KiB);
    REQUIRE(on->sync().has_value());
    CHECK(net.journal_bytes("d") < 5 * MiB);  // what the buffers still held, at most
    net.crash(0);
    on = opened(net, "d", how);
    for (std::uint64_t i = 0; i < 40; ++i) CHECK(read(*on, 1, i * MiB, 1 * MiB) == pattern(1 * MiB, i));
}

TEST_CASE("two deaths in a row lose nothing that was synced") {
    memory_network net;
    net.create_volume("v", fs_type);
    for (int round = 0; round < 5; ++round) {
        const auto v = opened(net, "v");
        for (int i = 0; i < round; ++i) CHECK(read(*v, 1, static_cast<std::uint64_t>(i) * 30'000, 30'000) == pattern(30'000, static_cast<std::uint64_t>(i)));
        write(*v, 1, static_cast<std::uint64_t>(round) * 30'000, pattern(30'000, static_cast<std::uint64_t>(round)));
        REQUIRE(v->sync().has_value());
        if (round == 3) REQUIRE(v->checkpoint().has_value());
        net.crash(0);
    }
}

TEST_CASE("a snapshot keeps its state while the head goes on") {
    memory_network net;
    net.create_volume("v", fs_type, 1 * GiB);
    const auto before = pattern(150'000, 4), after = pattern(150'000, 5);
    const auto v = opened(net, "v");
    write(*v, 1, 0, before);
    put(*v, "k", "before");
    REQUIRE(v->create_snapshot("s1").has_value());
    CHECK(v->create_snapshot("s1").error().code == errc::exists);
    CHECK(v->create_snapshot("S/1").error().code == errc::invalid);
    write(*v, 1, 0, after);
    put(*v, "k", "after");
    REQUIRE(v->checkpoint().has_value());
    const auto list = v->snapshots();
    REQUIRE(list.has_value());
    REQUIRE(list->size() == 1);
    CHECK_FALSE((*list)[0].pending);
    auto s = net.open_snapshot("v", "s1");
    REQUIRE(s.has_value());
    CHECK(get(**s, "k") == "before");
    CHECK(read(**s, 1, 0, before.size()) == before);
    CHECK((*s)->record().size == 1 * GiB);
    CHECK_FALSE((*s)->writable());
    CHECK(get(*v, "k") == "after");
    CHECK(read(*v, 1, 0, after.size()) == after);
    CHECK(net.open_snapshot("v", "other").error().code == errc::not_found);
}

TEST_CASE("a clone diverges from its base and keeps what it shares") {
    memory_network net;
    net.create_volume("v", fs_type);
    const auto shared = pattern(200'000, 6), own = pattern(50'000, 7);
    const auto v = opened(net, "v");
    write(*v, 1, 0, shared);
    put(*v, "k", "base");
    REQUIRE(v->create_snapshot("s").has_value());
    REQUIRE(v->checkpoint().has_value());
    REQUIRE(net.clone("v", "s", "c").has_value());
    for (int round = 0; round < 3; ++round) {
        const auto c = opened(net, "c");
        CHECK(read(*c, 1, 100'000, 100'000) == bytes(shared.begin() + 100'000, shared.end()));
        write(*c, 1, 0, own);
        put(*c, "k", "clone");
        REQUIRE(c->close().has_value());
    }
    volume::change all;
    all.drop(1);
    REQUIRE(v->apply(all).has_value());
    REQUIRE(v->checkpoint().has_value());
    const auto c = opened(net, "c");
    CHECK(read(*c, 1, 0, own.size()) == own);
    CHECK(read(*c, 1, 50'000, 150'000) == bytes(shared.begin() + 50'000, shared.end()));
    CHECK(get(*c, "k") == "clone");
    CHECK(get(*v, "k") == "base");
}

TEST_CASE("dropping everything gives the miners their space back") {
    memory_network net;
    net.create_volume("v", fs_type);
    const auto v = opened(net, "v");
    REQUIRE(v->checkpoint().has_value());
    for (std::uint64_t i = 0; i < 40; ++i) write(*v, i, 0, pattern(64 * KiB, i));
    REQUIRE(v->checkpoint().has_value());
    CHECK(net.segment_bytes() > 40 * 64 * KiB);
    volume::change all;
    for (std::uint64_t i = 0; i < 40; ++i) all.drop(i);
    REQUIRE(v->apply(all).has_value());
    CHECK(v->usage_now().logical == 0);
    REQUIRE(v->checkpoint().has_value());
    CHECK(net.segment_bytes() < 200 * KiB);
}

TEST_CASE("a large blob is dropped at once and cleared behind") {
    memory_network net;
    net.create_volume("v", fs_type);
    const auto v = opened(net, "v");
    for (std::uint64_t i = 0; i < 3000; ++i) {
        write(*v, 1, i * 8192, pattern(100, i));
    }
    volume::change drop;
    drop.zero(1, 0, 3000 * 8192);
    REQUIRE(v->apply(drop).has_value());
    CHECK(read(*v, 1, 0, 200'000) == zeros(200'000));
    write(*v, 1, 8192, pattern(100, 99));
    CHECK(read(*v, 1, 8192, 100) == pattern(100, 99));
    for (int i = 0; i < 200 && v->usage_now().logical > 100; ++i) std::this_thread::sleep_for(20ms);
    CHECK(v->usage_now().logical == 100);
    CHECK(read(*v, 1, 8192, 100) == pattern(100, 99));
    REQUIRE(v->close().has_value());
    const auto again = opened(net, "v");
    CHECK(read(*again, 1, 8192, 100) == pattern(100, 99));
    CHECK(again->usage_now().logical == 100);
}

TEST_CASE("shared ranges are copies") {
    memory_network net;
    net.create_volume("v", fs_type);
    const auto v = opened(net, "v");
    const auto data = pattern(100'000, 8);
    write(*v, 1, 0, data);
    volume::change edit;
    edit.share(1, 10'000, 2, 5'000, 50'000);
    REQUIRE(v->apply(edit).has_value());
    CHECK(v->usage_now().logical == 150'000);
    write(*v, 1, 0, pattern(100'000, 9));
    CHECK(read(*v, 2, 5'000, 50'000) == bytes(data.begin() + 10'000, data.begin() + 60'000));
    REQUIRE(v->checkpoint().has_value());
    volume::change drop;
    drop.drop(1);
    REQUIRE(v->apply(drop).has_value());
    REQUIRE(v->checkpoint().has_value());
    CHECK(read(*v, 2, 5'000, 50'000) == bytes(data.begin() + 10'000, data.begin() + 60'000));
}

TEST_CASE("one owner at a time, and a deposed one acknowledges nothing") {
    memory_network net;
    net.create_volume("v", fs_type);
    const auto v = opened(net, "v");
    CHECK(net.open("v", small()).error().code == errc::busy);
    put(*v, "k", "1");
    REQUIRE(v->sync().has_value());
    std::atomic<int> told{0};
    v->on_failure([&](const error& why) { told += why.code == errc::fenced; });
    net.depose("v");
    volume::change edit;
    edit.put(to_bytes("k"), to_bytes("2"));
    (void)v->apply(edit);
    const auto synced = v->sync();
    REQUIRE_FALSE(synced.has_value());
    CHECK(synced.error().code == errc::fenced);
    for (int i = 0; i < 100 && !told; ++i) std::this_thread::sleep_for(10ms);
    CHECK(told == 1);
    CHECK(v->apply(edit).error().code == errc::fenced);
    CHECK(v->get(as_view("k")).error().code == errc::fenced);
    CHECK_FALSE(v->writable());
}

TEST_CASE("a deposed owner that only reads drops all state once it is told") {
    memory_network net;
    net.create_volume("v", fs_type);
    const auto v = opened(net, "v");
    put(*v, "k", "1");
    REQUIRE(v->sync().has_value());
    net.depose("v");
    CHECK(v->get(as_view("k")).has_value());
    net.tell_deposed("v");
    REQUIRE(v->get(as_view("k")).has_error());
    CHECK(v->get(as_view("k")).error().code == errc::fenced);
    CHECK_FALSE(v->writable());
}

TEST_CASE("a volume that could only be read any more is not read either once its owner is deposed") {
    memory_network net;
    net.create_volume("v", fs_type);
    const auto v = opened(net, "v");
    put(*v, "k", "1");
    REQUIRE(v->sync().has_value());
    net.set_fault([](std::string_view what) { return what == "append" ? result<void>(error(errc::timeout, "too few members")) : result<void>(); });
    put(*v, "k", "2");
    CHECK(v->sync().has_error());
    CHECK(v->get(as_view("k")).has_value());
    net.set_fault({});
    net.depose("v");
    net.tell_deposed("v");
    REQUIRE(v->get(as_view("k")).has_error());
    CHECK(v->get(as_view("k")).error().code == errc::fenced);
}

TEST_CASE("impossible requests are refused in one line") {
    memory_network net;
    net.create_volume("v", fs_type, 1 * MiB);
    const auto v = opened(net, "v");
    const bytes one(1);
    volume::change far;
    far.write(1, (std::uint64_t{1} << 63) - 1, one);
    CHECK(v->apply(far).error().code == errc::too_large);
    volume::change big;
    big.put(to_bytes("k"), bytes(5 * MiB, std::byte{0}));
    CHECK(v->apply(big).error().code == errc::too_large);
    write(*v, 1, (std::uint64_t{1} << 63) - 2, one);
    CHECK(read(*v, 1, (std::uint64_t{1} << 63) - 2, 1) == one);
    CHECK(read(*v, 1, ~std::uint64_t{0} - 10, 100) == zeros(100));
    volume::change full;
    const auto data = pattern(2 * MiB, 1);
    full.write(2, 0, data);
    CHECK(v->apply(full).error().code == errc::no_space);
    CHECK(v->usage_now().logical == 1);
    REQUIRE(v->resize(4 * MiB).has_value());
    CHECK(v->apply(full).has_value());
    CHECK(v->resize(1 * MiB).error().code == errc::no_space);
    CHECK(volume::look_up(net.layer(), net.account(), "v", ledger::volume_type::bucket).error().code == errc::unsupported);
    CHECK(volume::look_up(net.layer(), net.account(), "w", std::nullopt).error().code == errc::not_found);
    CHECK(volume::look_up(net.layer(), net.account(), "../w", std::nullopt).error().code == errc::invalid);
    CHECK(volume::parse_target("a@b")->snapshot == "b");
    CHECK_FALSE(volume::parse_target("a@").has_value());
    CHECK_FALSE(volume::parse_target("A").has_value());
}
