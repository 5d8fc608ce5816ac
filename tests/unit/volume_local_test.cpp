// durability=local: what a flush promised from this machine's disk is there after a crash with that disk; without it,
// a prefix is; and where somebody else has gone on, it is set aside and nothing of it is mixed in.
#include <support/faulty_disk.hpp>
#include <support/memory_layer.hpp>
#include <support/one_waits.hpp>
#include <support/watched_disk.hpp>

#include "local_past.hpp"
#include "records.hpp"

#include <objectstore/client/lost.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using support::memory_network;
using test::faulty_disk;
using namespace std::chrono_literals;

namespace {

const std::string where = "/local/v";

volume::settings small(faulty_disk& disk, volume::durability how = volume::durability::local) {
    volume::settings out;
    out.segment_size = 64 * KiB;
    out.buffers_max = 256 * KiB;
    out.append_idle = 20ms;
    out.checkpoint_idle = 10min;
    out.writer_patience = 500ms;
    out.acknowledge = how;
    out.local_directory = where;
    out.local_disk = &disk;
    return out;
}

support::memory_options impatient() {
    support::memory_options out;
    out.append_deadline = 200ms;
    return out;
}

std::unique_ptr<volume::volume> opened(memory_network& on, volume::settings how) {
    auto out = on.open("v", std::move(how));
    if (!out) FAIL(out.error().message());
    return std::move(*out);
}

bytes key(std::uint64_t i) { return to_bytes("key" + std::to_string(i)); }

result<sequence_number> put(volume::volume& in, std::uint64_t i, const std::string& value = "value") {
    volume::change edit;
    edit.put(key(i), to_bytes(value));
    bytes data(3000, static_cast<std::byte>(i + 1));
    edit.write(1, i * 3000, data);
    return in.apply(edit);
}

bool has(volume::reader& in, std::uint64_t i, const std::string& value = "value") {
    const auto found = in.get(key(i));
    if (!found || !*found || **found != to_bytes(value)) return false;
    bytes data(3000);
    return in.read(1, i * 3000, data).has_value() && data == bytes(3000, static_cast<std::byte>(i + 1));
}

// How many of the keys 0, 1, … are there; fails if one is there behind one that is not.
std::uint64_t prefix(volume::reader& in, std::uint64_t all) {
    std::uint64_t there = 0;
    while (there < all && has(in, there)) ++there;
    for (auto i = there; i < all; ++i) CHECK_FALSE(in.get(key(i)).value().has_value());
    return there;
}

void write_synced(volume::volume& in, std::uint64_t from, std::uint64_t to) {
    for (auto i = from; i < to; ++i) {
        REQUIRE(put(in, i).has_value());
        const auto synced = in.sync();
        if (!synced) FAIL(synced.error().message());
    }
}

// The first attempt after a silence may still have met it.
bool checkpointed_at_last(volume::volume& v) {
    for (int i = 0; i < 20; ++i)
        if (v.checkpoint()) return true;
    return false;
}

std::size_t set_aside(const faulty_disk& disk) {
    const auto files = disk.files();
    return static_cast<std::size_t>(std::count_if(files.begin(), files.end(), [](const auto& f) { return f.ends_with(".lost"); }));
}

std::vector<std::string> journals(const faulty_disk& disk) {
    std::vector<std::string> out;
    for (const auto& f : disk.files())
        if (f.ends_with(".journal")) out.push_back(f);
    return out;
}

// The machine loses its power: the owner dies, of the miners' entries `survivors` more than were acknowledged stay.
void power_cut(memory_network& net, std::unique_ptr<volume::volume>& v, faulty_disk& disk, std::uint64_t survivors, std::uint64_t seed) {
    net.crash(survivors);
    disk.crash(seed);
    v.reset();
}

}  // namespace

TEST_CASE("what was acknowledged locally survives a power cut while the miners had nothing of it") {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        memory_network net;
        net.create_volume("v", ledger::volume_type::filesystem);
        faulty_disk disk;
        auto v = opened(net, small(disk));
        write_synced(*v, 0, 3);
        REQUIRE(v->checkpoint().has_value());
        net.hold_appends(true);
        write_synced(*v, 3, 20);
        CHECK(v->durable() == v->applied());
        CHECK(v->durable_remotely() < v->durable());
        power_cut(net, v, disk, seed % 2 ? 5 : 0, seed);
        net.hold_appends(false);
        // Whatever the next owner asks for: the journal that is there counts.
        v = opened(net, small(disk, seed < 2 ? volume::durability::local : volume::durability::remote));
        CHECK(prefix(*v, 20) == 20);
        CHECK(v->durable_remotely() == v->applied());
        CHECK(set_aside(disk) == 0);
        // It is at the miners now: the disk is not needed any more.
        faulty_disk other;
        net.crash(0);
        v.reset();
        v = opened(net, small(other));
        CHECK(prefix(*v, 20) == 20);
        REQUIRE(v->close().has_value());
        CHECK(journals(other).empty());
    }
}

TEST_CASE("if the disk is lost, a prefix of what was acknowledged is there") {
    for (std::uint64_t survivors = 0; survivors < 12; survivors += 3) {
        memory_network net;
        net.create_volume("v", ledger::volume_type::filesystem);
        faulty_disk disk, other;
        auto v = opened(net, small(disk));
        write_synced(*v, 0, 5);
        for (int i = 0; i < 500 && v->durable_remotely() < v->applied(); ++i) std::this_thread::sleep_for(2ms);
        REQUIRE(v->durable_remotely() == v->applied());
        net.hold_appends(true);
        write_synced(*v, 5, 25);
        net.crash(survivors);
        v.reset();
        net.hold_appends(false);
        v = opened(net, small(other));
        const auto there = prefix(*v, 25);
        CHECK(there >= 5);
        CHECK(there <= 5 + survivors);
        write_synced(*v, there, 25);
        REQUIRE(v->checkpoint().has_value());
        CHECK(prefix(*v, 25) == 25);
    }
}

TEST_CASE("a journal that comes back after somebody else wrote is set aside, and its volume is theirs") {
    const bool rooted = GENERATE(false, true);
    const bool silent = GENERATE(false, true);  // they wrote nothing, but made a root
    if (silent && !rooted) return;
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    faulty_disk disk, other;
    auto v = opened(net, small(disk));
    write_synced(*v, 0, 5);
    for (int i = 0; i < 500 && v->durable_remotely() < v->applied(); ++i) std::this_thread::sleep_for(2ms);
    net.hold_appends(true);
    write_synced(*v, 5, 10);
    net.crash(0);
    v.reset();
    net.hold_appends(false);
    v = opened(net, small(other, volume::durability::remote));
    CHECK(prefix(*v, 10) == 5);
    if (!silent) REQUIRE(put(*v, 5, "theirs").has_value());
    REQUIRE(v->sync().has_value());
    if (rooted) REQUIRE(v->checkpoint().has_value());
    net.crash(0);
    v.reset();
    for (int again = 0; again < 2; ++again) {
        v = opened(net, small(disk));
        if (!silent) CHECK(has(*v, 5, "theirs"));
        for (std::uint64_t i = silent ? 5 : 6; i < 10; ++i) CHECK_FALSE(v->get(key(i)).value().has_value());
        CHECK(set_aside(disk) == 1);
        REQUIRE(put(*v, 20).has_value());
        REQUIRE(v->sync().has_value());
        disk.crash(3);
        net.crash(0);
        v.reset();
    }
}

// A write that only the local journal knows, in a segment that no change at the miners names: the last root says where the
// segment is, and the snapshot that somebody else makes again from the miners' history does not.
TEST_CASE("a journal that comes back after somebody else anchored a snapshot names nothing that this let go of") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem, 64 * KiB);
    std::atomic<bool> down{false}, down_after_view{false};
    net.set_fault([&](std::string_view what) -> result<void> {
        if (what == "answer" && down_after_view.exchange(false)) down = true;
        if (what == "ledger" && down) return error(errc::unavailable, "consensus is down");
        return {};
    });
    const auto patiently = [](const auto& until) {
        for (int i = 0; i < 2000 && !until(); ++i) std::this_thread::sleep_for(5ms);
        REQUIRE(until());
    };
    const auto put_key = [](volume::volume& in, std::uint64_t i) {
        volume::change edit;
        edit.put(key(i), to_bytes("value"));
        REQUIRE(in.apply(edit).has_value());
        REQUIRE(in.sync().has_value());
    };
    faulty_disk disk, other;
    support::one_waits placed;
    const bytes late(4 * KiB, std::byte{7});
    auto how = small(disk);
    how.crashes = &placed;
    auto v = opened(net, how);
    put_key(*v, 0);
    REQUIRE(v->checkpoint().has_value());
    const auto entries = net.journal_entries("v");
    placed.hold();
    bool applied = false;
    std::thread writer([&] {
        volume::change edit;
        edit.write(1, 0, late);
        applied = v->apply(edit).has_value();
    });
    placed.wait();
    volume::change too_much;  // fills the segment, and is refused
    const bytes others(68 * KiB, std::byte{1});
    too_much.write(2, 0, others);
    REQUIRE(v->apply(too_much).error().code == errc::no_space);
    patiently([&] { return net.journal_entries("v") > entries; });  // where the segment is
    put_key(*v, 1);
    REQUIRE(v->checkpoint().has_value());
    down = true;
    REQUIRE(v->create_snapshot("s").has_value());
    put_key(*v, 2);
    patiently([&] { return v->durable_remotely() == v->applied(); });
    net.hold_appends(true);
    placed.go_on();
    writer.join();
    REQUIRE(applied);
    REQUIRE(v->sync().has_value());
    net.crash(0);
    v.reset();
    net.hold_appends(false);
    down = false;
    down_after_view = true;
    v = opened(net, small(other, volume::durability::remote));
    patiently([&] { return down.load(); });
    net.crash(0);
    v.reset();
    down = false;
    v = opened(net, small(disk));
    bytes there(late.size());
    REQUIRE(v->read(1, 0, there).has_value());
    CHECK(there == late);
    CHECK(set_aside(disk) == 0);
    CHECK(v->get(key(2)).value().has_value());
    CHECK(v->checkpoint().has_value());
}

TEST_CASE("crashes while a local journal is made remote lose nothing, however often") {
    memory_network net(impatient());
    net.create_volume("v", ledger::volume_type::filesystem);
    faulty_disk disk;
    auto v = opened(net, small(disk));
    net.hold_appends(true);
    write_synced(*v, 0, 12);
    power_cut(net, v, disk, 2, 1);
    for (std::uint64_t round = 0; round < 3; ++round) {
        // The miners take some of it and fall silent; what they took survives in part.
        auto v2 = net.open("v", small(disk));
        CHECK_FALSE(v2.has_value());
        net.crash(round * 2);
        disk.crash(round);
    }
    net.hold_appends(false);
    v = opened(net, small(disk));
    CHECK(prefix(*v, 12) == 12);
    net.hold_appends(true);
    write_synced(*v, 12, 15);
    power_cut(net, v, disk, 0, 9);
    net.hold_appends(false);
    v = opened(net, small(disk));
    CHECK(prefix(*v, 15) == 15);
    CHECK(set_aside(disk) == 0);
}

TEST_CASE("an unsynced tail that the disk tore is no damage, and what was acknowledged before it is there") {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        faulty_disk disk;
        REQUIRE(disk.make_directories(where).has_value());
        const crypto::secret_key secret(bytes(32, std::byte{7}));
        volume::local::file_header header;
        header.volume = volume_id::from(bytes(16, std::byte{1}));
        header.term = {3};
        {
            volume::local::log log({&disk, where, secret}, header);
            REQUIRE(log.append(1, bytes(5000, std::byte{1})).has_value());
            REQUIRE(log.append(2, bytes(100, std::byte{2})).has_value());
            disk.fail_at(1, errc::io);  // the sync of the third
            CHECK_FALSE(log.append(3, bytes(9000, std::byte{3})).has_value());
            CHECK_FALSE(log.append(4, bytes(10, std::byte{4})).has_value());  // nothing, until the miners have it all
        }
        disk.crash(seed);
        const auto content = os::read_file(disk, where + "/" + volume::local::file_name({3}, 1), 100 * MiB);
        REQUIRE(content.has_value());
        const auto parsed = volume::local::parse_file(secret, *content);
        REQUIRE(parsed.has_value());
        CHECK(parsed->entries.size() >= 2);
        CHECK(parsed->entries.size() <= 3);
        CHECK(parsed->entries[0] == bytes(5000, std::byte{1}));
        CHECK(parsed->entries[1] == bytes(100, std::byte{2}));
        CHECK_FALSE(parsed->damaged);
    }
}

TEST_CASE("a long journal is made remote within the bounds of the session, and given up when the miners fall silent") {
    memory_network net(impatient());
    net.create_volume("v", ledger::volume_type::filesystem);
    faulty_disk disk;
    auto v = opened(net, small(disk));
    net.hold_appends(true);
    write_synced(*v, 0, 300);
    power_cut(net, v, disk, 0, 1);
    const auto began = std::chrono::steady_clock::now();
    const auto refused = net.open("v", small(disk));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::timeout);
    CHECK(std::chrono::steady_clock::now() - began < 10s);
    net.crash(100);
    net.hold_appends(false);
    v = opened(net, small(disk));
    CHECK(prefix(*v, 300) == 300);
    CHECK(set_aside(disk) == 0);
}

TEST_CASE("bits that turn are found: what stood before them is in the volume, the rest is kept aside") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    faulty_disk disk;
    auto v = opened(net, small(disk));
    net.hold_appends(true);
    write_synced(*v, 0, 8);
    power_cut(net, v, disk, 0, 1);
    net.hold_appends(false);
    REQUIRE(journals(disk).size() == 1);
    REQUIRE(disk.flip(journals(disk)[0], volume::local::records_at + 3 * 4096));
    v = opened(net, small(disk));
    const auto there = prefix(*v, 8);
    CHECK(there > 0);
    CHECK(there < 8);
    CHECK(set_aside(disk) == 1);
    write_synced(*v, there, 8);
    REQUIRE(v->close().has_value());
}

namespace {

struct set_aside_journal {
    memory_network net;
    faulty_disk disk;
    std::string path;  // of its file
    bytes content;

    [[nodiscard]] result<std::vector<volume::lost_journal>> read(faulty_disk& on) {
        return volume::read_lost(net.account(), net.layer().ledger().trust().network(), net.record("v").id, where, &on);
    }
    std::unique_ptr<faulty_disk> copy;
    // The same directory with other bytes in that file, as `copy` has it until the next call.
    [[nodiscard]] std::vector<volume::lost_journal> read_with(byte_view other) {
        copy = std::make_unique<faulty_disk>();
        REQUIRE(copy->make_directories(where).has_value());
        REQUIRE(os::write_file_durably(*copy, path, other).has_value());
        auto out = read(*copy);
        if (!out) FAIL(out.error().message());
        return std::move(*out);
    }

    [[nodiscard]] volume::lost_data data(const volume::lost_journal& j) { return {net.account(), where, j, copy ? copy.get() : &disk}; }

    set_aside_journal() {
        faulty_disk other;
        net.create_volume("v", ledger::volume_type::filesystem);
        auto v = opened(net, small(disk));
        write_synced(*v, 0, 5);
        for (int i = 0; i < 500 && v->durable_remotely() < v->applied(); ++i) std::this_thread::sleep_for(2ms);
        net.hold_appends(true);
        write_synced(*v, 5, 10);
        volume::change more;
        more.zero(1, 15'000, 1000);
        more.share(1, 18'000, 2, 0, 3000);
        more.share(1, 40'000, 3, 0, 3000);  // of which nothing was ever written
        more.drop(4);
        REQUIRE(v->apply(more).has_value());
        REQUIRE(v->sync().has_value());
        net.crash(0);
        v.reset();
        net.hold_appends(false);
        v = opened(net, small(other, volume::durability::remote));
        REQUIRE(put(*v, 5, "theirs").has_value());
        REQUIRE(v->checkpoint().has_value());
        net.crash(0);
        v.reset();
        v = opened(net, small(disk));
        REQUIRE(set_aside(disk) == 1);
        for (const auto& f : disk.files())
            if (f.ends_with(".lost")) path = f;
        content = os::read_file(disk, path, 64 * MiB).value();
        net.crash(0);
    }
};

// What a journal says of a range, a letter for each 1000 bytes: its value, 0, ? for elsewhere, - for nothing.
std::string told(volume::lost_data data, const volume::lost_journal& of, volume::blob_id blob, std::uint64_t offset, std::uint64_t length) {
    std::string out;
    for (auto at = offset; at < offset + length; at += 1000) {
        char letter = '-';
        for (const auto& r : of.ranges) {
            if (r.blob != blob || r.offset > at || r.offset + r.length < at + 1000) continue;
            using kind = volume::lost_range::kind;
            letter = r.what == kind::zeros ? '0' : '?';
            if (r.what != kind::data) continue;
            bytes content(1000);
            if (const auto read = data.read(r, at - r.offset, content); !read) FAIL(read.error().message());
            letter = content == bytes(1000, content[0]) ? static_cast<char>('a' + std::to_integer<int>(content[0])) : '!';
        }
        out += letter;
    }
    return out;
}

}  // namespace

namespace {

// A journal of one term that was set aside, in files of two entries each. Entry n is change n, and writes 1000 bytes of
// the value n at 1000 n of blob 1; the last one shares what stands at 1000 and 2000 to blob 2.
struct lost_files {
    memory_network net;
    faulty_disk disk;
    static constexpr std::uint64_t entries = 6;
    static constexpr term_number term{9};

    lost_files() {
        net.create_volume("v", ledger::volume_type::block, 1 * MiB);
        REQUIRE(disk.make_directories(where).has_value());
        volume::local::file_header header;
        header.network = net.layer().ledger().trust().network();
        header.volume = net.record("v").id;
        header.term = term;
        volume::local::log log({&disk, where, net.account().wrapping}, header, volume::local::records_at + 2000);
        for (std::uint64_t n = 1; n <= entries; ++n) REQUIRE(log.append(n, entry(n)).has_value());
        REQUIRE(journals(disk).size() == entries / 2);
        for (const auto& path : journals(disk)) REQUIRE(disk.rename(path, path + ".lost").has_value());
    }
    static bytes entry(std::uint64_t n) {
        volume::entry_header head;
        head.name = {term, n};
        head.first = {n};
        head.payload.push_back({{1}, static_cast<std::uint32_t>(n * 1000), 1000});
        volume::change_record what;
        what.edits.push_back(volume::write_edit{1, n * 1000, {{{1}, static_cast<std::uint32_t>(n * 1000), 1000}}});
        if (n == entries) what.edits.push_back(volume::share_edit{1, 2, 1000, 1000, 2000});
        head.changes.push_back(wire::encode(what));
        auto out = wire::encode(head);
        append(out, bytes(1000, static_cast<std::byte>(n)));
        return out;
    }
    static std::string path(std::uint64_t first) { return where + "/" + volume::local::file_name(term, first) + ".lost"; }

    [[nodiscard]] volume::lost_data data(const volume::lost_journal& j, os::file_system* on = nullptr) { return {net.account(), where, j, on ? on : &disk}; }
    volume::lost_journal read(os::file_system* on = nullptr) {
        auto out = volume::read_lost(net.account(), net.layer().ledger().trust().network(), net.record("v").id, where, on ? on : &disk);
        if (!out) FAIL(out.error().message());
        REQUIRE(out->size() == 1);
        CHECK(out->front().term == term);
        return std::move(out->front());
    }
};

}  // namespace

TEST_CASE("a journal that was set aside tells what was written where") {
    set_aside_journal of;
    const auto lost = of.read(of.disk);
    REQUIRE(lost.has_value());
    REQUIRE(lost->size() == 1);
    const auto& j = lost->front();
    CHECK(j.damage.empty());
    CHECK(j.entries >= 6);
    CHECK(j.keys >= 5);
    CHECK(j.last.value - j.first.value + 1 >= 6);
    CHECK(told(of.data(j), j, 1, 15'000, 3000) == "0gg");
    CHECK(told(of.data(j), j, 1, 18'000, 12'000) == "hhhiiijjjkkk");
    CHECK(told(of.data(j), j, 1, 30'000, 1000) == "-");
    CHECK(told(of.data(j), j, 2, 0, 3000) == "hhh");
    CHECK(told(of.data(j), j, 3, 0, 3000) == "???");
    CHECK(told(of.data(j), j, 4, 7'000'000, 1000) == "0");
}

TEST_CASE("of what a block volume's journal tells a volume is made, and nothing else is in it") {
    set_aside_journal of;
    const auto lost = of.read(of.disk);
    REQUIRE(lost.has_value());
    bytes stream;
    const auto into = [&](byte_view data) -> result<void> {
        stream.insert(stream.end(), data.begin(), data.end());
        return {};
    };
    auto record = of.net.record("v");
    auto data = of.data(lost->front());
    CHECK(client::export_lost(record, lost->front(), data, into).error().code == errc::unsupported);
    record.type = ledger::volume_type::block;
    record.size = 25'600;  // the rest is past the device
    const auto missing = client::export_lost(record, lost->front(), data, into);
    REQUIRE(missing.has_value());
    CHECK(missing->elsewhere == 0);
    CHECK(missing->past_end == 30'000 - record.size);
    std::size_t at = 0;
    client::diff::reader in([&](byte_span out) -> result<std::size_t> {
        const auto length = std::min(out.size(), stream.size() - at);
        std::copy_n(stream.begin() + static_cast<std::ptrdiff_t>(at), length, out.begin());
        at += length;
        return length;
    });
    const auto head = in.begin();
    REQUIRE(head.has_value());
    CHECK(head->to_size == record.size);
    CHECK_FALSE(head->from.has_value());
    bytes device(record.size, std::byte{0});
    for (;;) {
        const auto next = in.next();
        if (!next) FAIL(next.error().message());
        if (!*next) break;
        const auto* piece = std::get_if<client::diff::data>(&**next);
        REQUIRE(piece != nullptr);
        std::copy(piece->content.begin(), piece->content.end(), device.begin() + static_cast<std::ptrdiff_t>(piece->offset));
    }
    for (std::size_t i = 15'000; i < device.size(); ++i) {
        const auto expected = i < 16'000 ? std::byte{0} : static_cast<std::byte>(i / 3000 + 1);
        if (device[i] != expected) FAIL("at " << i);
    }
}

TEST_CASE("what was written past the end of a volume that was shrunk since is counted as left out") {
    lost_files of;
    const auto into = [](byte_view) -> result<void> { return {}; };
    auto record = of.net.record("v");
    auto j = of.read();
    record.size = 4'500;  // 2500 bytes of data lie past it
    auto data = of.data(j);
    const auto some = client::export_lost(record, j, data, into);
    REQUIRE(some.has_value());
    CHECK(some->past_end == 2'500);
    CHECK(some->elsewhere == 0);
    REQUIRE(of.disk.flip(of.path(1), 20));  // what was shared is elsewhere now, in a blob that is no device
    j = of.read();
    record.size = 512;
    auto rest = of.data(j);
    const auto all = client::export_lost(record, j, rest, into);
    REQUIRE(all.has_value());
    CHECK(all->past_end == 4'000);
    CHECK(all->elsewhere == 0);
}

TEST_CASE("what is torn off, turned or thrown into a journal that was set aside is not taken for what was written") {
    set_aside_journal of;
    const auto whole = of.read_with(of.content);
    REQUIRE(whole.size() == 1);
    std::uint64_t before = 0;
    for (std::size_t size = 0; size < std::min<std::size_t>(of.content.size(), 48 * KiB); size += 1009) {
        const auto torn = of.read_with(byte_view(of.content).first(size));
        REQUIRE(torn.size() == 1);
        CHECK(torn.front().entries >= before);
        CHECK(torn.front().entries <= whole.front().entries);
        before = torn.front().entries;
        if (torn.front().entries == 0) CHECK((!torn.front().damage.empty() || size >= volume::local::records_at));
    }
    for (std::size_t at = 0; at < std::min<std::size_t>(of.content.size(), 48 * KiB); at += 1511) {
        auto turned = of.content;
        turned[at] ^= std::byte{0x40};
        const auto read = of.read_with(turned);
        REQUIRE(read.size() == 1);
        CHECK(read.front().entries <= whole.front().entries);
        if (read.front().entries == whole.front().entries) CHECK(told(of.data(read.front()), read.front(), 1, 18'000, 12'000) == "hhhiiijjjkkk");
        else CHECK((!read.front().damage.empty() || read.front().entries + 1 == whole.front().entries));  // of the last one: torn
    }
    bytes garbage(20'000);
    seeded_random(7).fill(garbage);
    const auto nothing = of.read_with(garbage);
    REQUIRE(nothing.size() == 1);
    CHECK(nothing.front().entries == 0);
    CHECK_FALSE(nothing.front().damage.empty());
    // Another volume's.
    of.net.create_volume("w", ledger::volume_type::filesystem);
    const auto alien = volume::read_lost(of.net.account(), of.net.layer().ledger().trust().network(), of.net.record("w").id, where, &of.disk);
    REQUIRE(alien.has_value());
    REQUIRE(alien->size() == 1);
    CHECK(alien->front().entries == 0);
    CHECK(alien->front().damage.find("another volume") != std::string::npos);
}

TEST_CASE("a file of a journal that was set aside and does not open is told as what is missing") {
    lost_files of;
    const auto whole = of.read();
    CHECK(whole.damage.empty());
    CHECK(whole.files.size() == 3);
    CHECK(told(of.data(whole), whole, 1, 1000, 6000) == "bcdefg");
    CHECK(told(of.data(whole), whole, 2, 1000, 2000) == "bc");
    SECTION("the first: the others are read") {
        REQUIRE(of.disk.flip(of.path(1), 20));
        const auto j = of.read();
        CHECK(j.files.size() == 3);
        CHECK(j.entries == 4);
        CHECK(j.first == sequence_number{3});
        CHECK(told(of.data(j), j, 1, 1000, 6000) == "--defg");
        CHECK(told(of.data(j), j, 2, 1000, 2000) == "??");
        CHECK(j.damage.find("checksum") != std::string::npos);
        CHECK(j.damage.find("entries 1 to 2 are missing") != std::string::npos);
    }
    SECTION("the first opens, and none of its records") {
        REQUIRE(of.disk.flip(of.path(1), volume::local::records_at + 100));
        const auto j = of.read();
        CHECK(j.entries == 4);
        CHECK(j.damage.find("entries 1 to 2 are missing") != std::string::npos);
    }
    SECTION("the first two") {
        REQUIRE(of.disk.flip(of.path(1), 20));
        REQUIRE(of.disk.flip(of.path(3), 20));
        const auto j = of.read();
        CHECK(j.entries == 2);
        CHECK(told(of.data(j), j, 1, 1000, 6000) == "----fg");
        CHECK(j.damage.find("entries 1 to 4 are missing") != std::string::npos);
    }
    SECTION("one in between: what follows it may stand on what is missing") {
        REQUIRE(of.disk.flip(of.path(3), 20));
        const auto j = of.read();
        CHECK(j.files.size() == 3);
        CHECK(j.entries == 2);
        CHECK(told(of.data(j), j, 1, 1000, 6000) == "bc----");
        CHECK(j.damage.find("entries 3 and on are missing") != std::string::npos);
    }
    SECTION("the last") {
        REQUIRE(of.disk.flip(of.path(5), 20));
        const auto j = of.read();
        CHECK(j.entries == 4);
        CHECK(j.damage.find("entries 5 and on are missing") != std::string::npos);
    }
    SECTION("all") {
        for (const std::uint64_t first : {1, 3, 5}) REQUIRE(of.disk.flip(of.path(first), 20));
        const auto j = of.read();
        CHECK(j.entries == 0);
        CHECK(j.ranges.empty());
        CHECK_FALSE(j.damage.empty());
    }
}

TEST_CASE("a journal that was set aside is read in pieces, also past a gap in a file") {
    lost_files of;
    test::watched_disk disk(of.disk);
    const auto j = of.read(&disk);
    CHECK(of.disk.open(of.path(1), os::open_mode::read).value()->size().value() > 1 * MiB);  // zeros ahead
    CHECK(told(of.data(j, &disk), j, 1, 1000, 6000) == "bcdefg");
    CHECK(disk.largest <= 256 * KiB);
    // A record far behind what does not open is found in whatever piece its head is.
    const crypto::secret_key secret(bytes(32, std::byte{7}));
    for (const std::uint64_t at : {std::uint64_t{16}, 256 * KiB - 48, 256 * KiB - 32, 256 * KiB - 16, 256 * KiB, 700 * KiB}) {
        volume::local::file_header header;
        header.term = {9};
        auto file = volume::local::encode_header(header);
        file.resize(file.size() + at);
        CHECK_FALSE(volume::local::parse_file(secret, file).value().damaged);
        volume::local::record_sealer sealer(volume::local::file_key(secret, header.salt), header.salt);
        append(file, sealer.seal(2, bytes(100)));
        CHECK(volume::local::parse_file(secret, file).value().damaged);
    }
}

TEST_CASE("what a disk does not give of a journal that was set aside is told as missing") {
    lost_files of;
    of.disk.fail_at(0, errc::io);  // the list
    CHECK_FALSE(volume::read_lost(of.net.account(), of.net.layer().ledger().trust().network(), of.net.record("v").id, where, &of.disk).has_value());
    for (std::uint64_t at = 1; at < 60; ++at) {
        of.disk.fail_at(at, errc::io);
        const auto j = of.read();
        if (!of.disk.fault_met()) break;
        CHECK(j.entries <= of.entries);
        CHECK_FALSE(j.damage.empty());
    }
    of.disk.no_faults();
    const auto j = of.read();
    auto data = of.data(j);
    REQUIRE(of.disk.flip(of.path(1), volume::local::records_at + 100));
    bytes out(1000);
    CHECK(data.read(j.ranges.front(), 0, out).error().code == errc::corrupt);
}

TEST_CASE("a disk that fails never acknowledges: the miners do, or the flush fails") {
    const bool miners = GENERATE(true, false);
    memory_network net(impatient());
    net.create_volume("v", ledger::volume_type::filesystem);
    faulty_disk disk;
    auto v = opened(net, small(disk));
    write_synced(*v, 0, 3);
    disk.fail_at(0, miners ? errc::no_space : errc::io);
    if (!miners) net.hold_appends(true);
    REQUIRE(put(*v, 3).has_value());
    const auto synced = v->sync();
    CHECK(disk.fault_met());
    CHECK(synced.has_value() == miners);
    if (miners) CHECK(v->durable_remotely() == v->applied());
    net.hold_appends(false);
    for (int i = 0; i < 60 && !v->sync(); ++i) {}
    write_synced(*v, 4, 8);
    CHECK(v->durable_remotely() == v->applied());
    power_cut(net, v, disk, 0, 5);
    v = opened(net, small(disk));
    CHECK(prefix(*v, 8) == 8);
}

TEST_CASE("wherever the process dies at its disk, what it acknowledged is there") {
    for (std::uint64_t at = 0; at < 14; ++at) {
        memory_network net(impatient());
        net.create_volume("v", ledger::volume_type::filesystem);
        faulty_disk disk;
        auto v = opened(net, small(disk));
        net.hold_appends(true);
        disk.die_at(at);
        std::uint64_t acknowledged = 0, written = 0;
        for (; written < 8; ++written) {
            REQUIRE(put(*v, written).has_value());
            if (!v->sync()) break;
            acknowledged = written + 1;
        }
        net.crash(at % 3);
        v.reset();
        disk.crash(at);
        net.hold_appends(false);
        v = opened(net, small(disk));
        CHECK(prefix(*v, 8) >= acknowledged);
        CHECK(set_aside(disk) == 0);
    }
}

TEST_CASE("the local journal runs ahead of the miners by so many bytes, and so long, and no further") {
    memory_network net(impatient());
    net.create_volume("v", ledger::volume_type::filesystem);
    faulty_disk disk;
    auto how = small(disk);
    const bool by_age = GENERATE(false, true);
    if (by_age) how.local_age = 100ms;
    else how.local_bytes = 64 * KiB;
    auto v = opened(net, how);
    net.hold_appends(true);
    std::uint64_t acknowledged = 0;
    result<void> synced;
    for (; acknowledged < 200; ++acknowledged) {
        REQUIRE(put(*v, acknowledged).has_value());
        synced = v->sync();
        if (!synced) break;
        if (by_age) std::this_thread::sleep_for(20ms);
    }
    REQUIRE_FALSE(synced.has_value());
    CHECK(synced.error().code == errc::timeout);
    CHECK(acknowledged >= 1);
    CHECK(acknowledged <= 30);
    net.hold_appends(false);
    for (int i = 0; i < 60 && !v->sync(); ++i) {}
    REQUIRE(v->sync().has_value());
    write_synced(*v, acknowledged + 1, acknowledged + 40);
    CHECK(prefix(*v, 300) == acknowledged + 40);
}

TEST_CASE("snapshots, checkpoints and a clean end wait for the miners") {
    memory_network net(impatient());
    net.create_volume("v", ledger::volume_type::filesystem);
    faulty_disk disk;
    auto v = opened(net, small(disk));
    net.hold_appends(true);
    write_synced(*v, 0, 4);
    const auto root = net.record("v").head.sequence;
    SECTION("a snapshot") {
        CHECK(v->create_snapshot("s").error().code == errc::timeout);
        net.hold_appends(false);
        REQUIRE(checkpointed_at_last(*v));
        const auto s = net.open_snapshot("v", "s");
        REQUIRE(s.has_value());
        CHECK(prefix(**s, 4) == 4);
    }
    SECTION("a checkpoint") {
        CHECK_FALSE(v->checkpoint().has_value());
        CHECK(net.record("v").head.sequence == root);
        net.hold_appends(false);
        REQUIRE(checkpointed_at_last(*v));
        CHECK(net.record("v").head.sequence == v->applied());
        write_synced(*v, 4, 9);
        power_cut(net, v, disk, 0, 1);
        v = opened(net, small(disk));
        CHECK(prefix(*v, 9) == 9);
    }
    SECTION("the end") {
        const auto closed = v->close();
        REQUIRE_FALSE(closed.has_value());
        CHECK(closed.error().what.find(where) != std::string::npos);
        v.reset();
        net.crash(0);
        net.hold_appends(false);
        v = opened(net, small(disk));
        CHECK(prefix(*v, 4) == 4);
        REQUIRE(v->close().has_value());
        CHECK(journals(disk).empty());
    }
}

TEST_CASE("roots between local entries let go of what they hold, and of nothing else") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::filesystem);
    faulty_disk disk;
    auto v = opened(net, small(disk));
    std::uint64_t written = 0;
    for (std::uint64_t round = 0; round < 6; ++round) {
        write_synced(*v, written, written + 7);
        REQUIRE(v->checkpoint().has_value());
        net.hold_appends(round % 2 == 0);
        write_synced(*v, written + 7, written + 7 + round);
        written += 7 + round;
        power_cut(net, v, disk, round, round);
        net.hold_appends(false);
        v = opened(net, small(disk));
        CHECK(prefix(*v, written) == written);
        CHECK(set_aside(disk) == 0);
    }
}

TEST_CASE("files of the local journal go when the miners have what is in them") {
    faulty_disk disk;
    REQUIRE(disk.make_directories(where).has_value());
    const crypto::secret_key secret(bytes(32, std::byte{7}));
    volume::local::file_header header;
    header.term = {2};
    volume::local::log log({&disk, where, secret}, header, 64 * KiB);
    for (std::uint64_t i = 1; i <= 40; ++i) REQUIRE(log.append(i, bytes(10 * KiB, std::byte{1})).has_value());
    CHECK(journals(disk).size() > 5);
    log.stored(39);
    CHECK(journals(disk).size() == 1);
    REQUIRE(log.clear_stored().has_value());
    CHECK(journals(disk).size() == 1);
    log.stored(40);
    REQUIRE(log.clear_stored().has_value());
    CHECK(journals(disk).empty());
    REQUIRE(log.append(41, bytes(10, std::byte{1})).has_value());
    CHECK(journals(disk) == std::vector<std::string>{where + "/" + volume::local::file_name({2}, 41)});
}

TEST_CASE("a header that was never finished is nothing, one that rotted is not") {
    volume::local::file_header header;
    header.term = {9};
    const crypto::secret_key secret(bytes(32, std::byte{7}));
    auto file = volume::local::encode_header(header);
    CHECK(volume::local::parse_file(secret, file).value().entries.empty());
    file[20] ^= std::byte{1};
    CHECK(volume::local::parse_file(secret, file).error().code == errc::not_found);
    CHECK(volume::local::parse_file(secret, {}).error().code == errc::not_found);
    append(file, bytes(100, std::byte{1}));
    CHECK(volume::local::parse_file(secret, file).error().code == errc::corrupt);
    CHECK(volume::local::is_file_name(volume::local::file_name({9}, 77)));
    CHECK_FALSE(volume::local::is_file_name(volume::local::file_name({9}, 77) + ".lost"));
}
