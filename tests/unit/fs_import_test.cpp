#include "import/file_places.hpp"
#include "support/acl_values.hpp"
#include "support/fs_sound.hpp"
#include "support/memory_layer.hpp"

#include <core/crypto/crypto.hpp>
#include <fs/export.hpp>
#include <fs/filesystem.hpp>
#include <fs/import.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::fs;

namespace {

stream_source source_of(const std::string& text) {
    return [&text](std::uint64_t offset, byte_span out) -> result<std::size_t> {
        const auto n = offset >= text.size() ? 0 : std::min<std::size_t>(out.size(), text.size() - offset);
        std::copy_n(as_view(text).begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(offset, text.size())), n, out.begin());
        return n;
    };
}

std::string text_of(volume::reader& of, const std::string& name, const std::string& snapshot = {}) {
    std::string out;
    const auto done = export_metadata(of, {name, snapshot}, [&](std::string_view line) -> result<void> {
        out += line;
        return {};
    });
    REQUIRE(done.has_value());
    return out;
}

// What a filesystem is, whoever holds it: all lines but the first and the last.
std::string body_of(const std::string& text) {
    const auto first = text.find('\n') + 1;
    return text.substr(first, text.rfind('\n', text.size() - 2) + 1 - first);
}

// The same stream with one text in another's place, and without the hash, which would not be right any more.
std::string edited(std::string text, std::string_view from, std::string_view to) {
    const auto at = text.find(from);
    REQUIRE(at != text.npos);
    text.replace(at, from.size(), to);
    const auto hash = text.rfind(",\"sha256\"");
    return hash == text.npos ? text : text.substr(0, hash) + "}\n";
}

// A filesystem on the real engine, and clones of its snapshots.
struct volumes {
    support::memory_network network;
    std::unique_ptr<volume::volume> home;
    std::unique_ptr<filesystem> files;
    int clones = 0;

    volumes() {
        network.create_volume("home", ledger::volume_type::filesystem);
        home = std::move(network.open("home").value());
        files = open(*home);
    }
    static std::unique_ptr<filesystem> open(volume::volume& in) {
        settings how;
        how.count_quotas = false;
        return std::move(filesystem::open(in, &in, how).value());
    }
    inode_number make(inode_number in, std::string_view name, std::uint32_t mode, std::string_view target = {}) {
        new_inode what;
        what.mode = mode;
        what.target = target;
        what.by = {10, 20};
        what.rdev = S_ISCHR(mode) ? 0x103 : 0;
        return files->creation.make(in, name, what).value().ino;
    }
    void write(inode_number ino, std::uint64_t offset, std::size_t size, char with) {
        auto opened = std::move(files->files.open(ino, true, false).value());
        REQUIRE(files->files.write(*opened, offset, bytes(size, static_cast<std::byte>(with)), false).has_value());
        files->files.release(std::move(opened));
    }
    void snapshot(const std::string& name) {
        REQUIRE(home->create_snapshot(name).has_value());
        REQUIRE(home->checkpoint().has_value());
    }
    std::unique_ptr<volume::volume> clone(const std::string& of) {
        const auto name = "clone" + std::to_string(++clones);
        REQUIRE(network.clone("home", of, name).has_value());
        return std::move(network.open(name).value());
    }
};

std::string read(volume::reader& of, inode_number ino, std::uint64_t offset, std::size_t size) {
    bytes out(size);
    REQUIRE(of.read(ino.value, offset, out).has_value());
    return to_string(out);
}

// One of everything; `f` has a hole and a second name.
struct everything : volumes {
    inode_number d, f;

    everything() {
        d = make(root_inode, "d", S_IFDIR | 02750);
        f = make(d, "file", S_IFREG | 0640);
        make(d, "link", S_IFLNK | 0777, "to \"\xc3\xa4\"\n");
        make(d, "null", S_IFCHR | 0666);
        make(d, "fifo", S_IFIFO | 0666);
        write(f, 0, 5000, 'a');
        write(f, 100'000, 5000, 'b');
        REQUIRE(files->creation.link(f, root_inode, "\xff").has_value());
        REQUIRE(files->xattrs.set(f, "user.a", as_view("text"), xattr_mode::any).has_value());
        REQUIRE(files->xattrs.set(f, "user.b", as_view(std::string_view("\0\x01", 2)), xattr_mode::any).has_value());
        using testing::owner, testing::user, testing::owning_group, testing::mask, testing::other;
        const auto list = testing::value_of({owner(6), user(1000, 4), owning_group(4), mask(4), other(0)});
        REQUIRE(files->xattrs.set(f, testing::access_name, list, xattr_mode::any).has_value());
        REQUIRE(files->quotas.set(d, {1'000'000, 0}).has_value());
        while (files->quotas.count().value()) {}
        const auto gone = make(root_inode, "gone", S_IFREG | 0600);
        write(gone, 0, 10, 'g');
        REQUIRE(files->trash.set_days(3).has_value());
        REQUIRE(files->removal.unlink(root_inode, "gone").has_value());
    }
};

}  // namespace

TEST_CASE("what was exported is imported as it was, and is sound") {
    everything e;
    e.snapshot("kept");
    const auto text = text_of(*e.network.open_snapshot("home", "kept").value(), "home", "kept");
    const auto to = e.clone("kept");
    const auto done = import_metadata(*to, source_of(text));
    REQUIRE(done.has_value());
    CHECK(done->moved == 0);
    CHECK(done->bytes == 10'010);
    CHECK(body_of(text_of(*to, "home")) == body_of(text));
    CHECK_NOTHROW(testing::require_sound(*to));
    CHECK(read(*to, e.f, 100'000, 3) == "bbb");
    const auto again = volumes::open(*to);
    new_inode what;
    what.mode = S_IFREG | 0600;
    CHECK(again->creation.make(root_inode, "new", what).value().ino > e.f);
    CHECK_NOTHROW(testing::require_sound(*to));
}

TEST_CASE("an import brings back what was deleted and renamed since, wherever its bytes are named now") {
    everything e;
    const auto big = e.make(root_inode, "big", S_IFREG | 0600);
    for (std::uint64_t i = 0; i < 5000; ++i) e.write(big, i * 8192, 100, static_cast<char>('a' + i % 26));
    e.snapshot("before");
    const auto text = text_of(*e.network.open_snapshot("home", "before").value(), "home", "before");
    // The same bytes under other files: half of the large one, and the rest behind a megabyte of another.
    const auto half = e.make(root_inode, "half", S_IFREG | 0600), rest = e.make(root_inode, "rest", S_IFREG | 0600);
    const auto copy = [&](inode_number from, std::uint64_t at, std::uint64_t size, inode_number to, std::uint64_t offset) {
        auto source = std::move(e.files->files.open(from, false, false).value());
        auto target = std::move(e.files->files.open(to, true, false).value());
        REQUIRE(e.files->files.copy(*source, at, *target, offset, size).has_value());
        e.files->files.release(std::move(source));
        e.files->files.release(std::move(target));
    };
    copy(big, 0, 2500 * 8192, half, 0);
    copy(big, 2500 * 8192, 2500 * 8192, rest, 1 << 20);
    REQUIRE(e.files->trash.set_days(0).has_value());
    REQUIRE(e.files->removal.unlink(root_inode, "big").has_value());
    e.files->lookups.forget(big, 1);
    e.write(e.make(root_inode, "later", S_IFREG | 0600), 0, 9000, 'z');
    e.snapshot("after");
    const auto to = e.clone("after");
    const auto done = import_metadata(*to, source_of(text));
    REQUIRE(done.has_value());
    CHECK(done->moved == 1);
    CHECK(body_of(text_of(*to, "home")) == body_of(text));
    CHECK_NOTHROW(testing::require_sound(*to));
    CHECK(read(*to, big, 4999 * 8192, 2) == std::string(2, static_cast<char>('a' + 4999 % 26)));
    CHECK(to->blobs(std::uint64_t{1} << 62, 1).value().empty());
}

TEST_CASE("ranges that are looked for by many walks are all found") {
    everything e;
    const auto one = e.make(root_inode, "one", S_IFREG | 0600), two = e.make(root_inode, "two", S_IFREG | 0600);
    e.write(one, 0, 100'000, '1');
    e.snapshot("kept");
    const auto to = e.clone("kept");
    const stream_source nothing;
    importing::file_extents extents(nothing);
    importing::file_places places(*to, 3);
    extents.begin();
    const auto there = to->places(one.value, 0, 100'000, 10).value();
    REQUIRE(there.size() == 1);
    for (std::uint64_t i = 0; i < 10; ++i) {  // backwards, and overlapping each other
        auto piece = there.front();
        piece.offset = i * 20'000;
        piece.at += (9 - i) * 10'000;
        piece.length = i == 0 ? 10'000 : 15'000;
        extents.add(piece, 0);
    }
    REQUIRE(places.prepare(two, extents).has_value());
    REQUIRE(places.end_prepare().has_value());
    REQUIRE(places.settle(two, extents).has_value());
    REQUIRE(places.end_settle().has_value());
    CHECK(places.moved() == 1);
    CHECK(read(*to, two, 9 * 20'000 + 14'999, 1) == "1");
    const auto now = to->places(two.value, 0, 1'000'000, 100).value();
    std::uint64_t mapped = 0;
    for (const auto& each : now) mapped += each.length;
    CHECK(mapped == 10'000 + 9 * 15'000);
    CHECK(now.front().at == there.front().at + 90'000);
    CHECK(to->blobs(0, 10).value() == std::vector<volume::blob_id>{two.value});  // what the stream does not have is gone
}

TEST_CASE("an import whose bytes no file names any more says which") {
    everything e;
    const auto text = text_of(*e.home, "home");
    e.write(e.f, 0, 5000, 'x');
    e.snapshot("after");
    const auto to = e.clone("after");
    const auto done = import_metadata(*to, source_of(text));
    REQUIRE_FALSE(done.has_value());
    CHECK(done.error().code == errc::not_found);
    CHECK_THAT(done.error().what, Catch::Contains("inode " + std::to_string(e.f.value) + " from 0"));
}

TEST_CASE("a stream that was edited on purpose is imported, and its quotas are counted again") {
    everything e;
    e.snapshot("kept");
    const auto text = text_of(*e.home, "home");
    auto changed = edited(text, R"("mode":"2750","uid":10)", R"("mode":"0755","uid":77)");
    changed = edited(changed, R"("name":"fifo")", R"("name":"pipe")");
    const auto used = changed.find("\"bytes\":10000");
    REQUIRE(used != changed.npos);
    changed.replace(used, 13, "\"bytes\":99999");
    const auto to = e.clone("kept");
    const auto done = import_metadata(*to, source_of(changed));
    REQUIRE(done.has_value());
    const auto now = volumes::open(*to);
    CHECK(now->lookups.lookup(e.d, "pipe").has_value());
    CHECK(now->lookups.get_attributes(e.d)->uid == 77);
    CHECK(now->quotas.get(e.d).value()->bytes == 10'000);
}

TEST_CASE("a stream that describes no filesystem is refused") {
    everything e;
    e.snapshot("kept");
    const auto text = text_of(*e.home, "home");
    const auto refused = [&](std::string_view from, std::string_view to, const std::string& why) {
        INFO(from);
        const auto done = import_metadata(*e.clone("kept"), source_of(edited(text, from, to)));
        REQUIRE_FALSE(done.has_value());
        CHECK_THAT(done.error().what, Catch::Contains(why));
    };
    refused(R"("name":"fifo")", R"("name":"null")", "twice");
    refused(R"("name":"fifo","inode":7)", R"("name":"fifo","inode":70)", "no inode 70");
    refused(R"("name":"fifo","inode":7)", R"("name":"fifo","inode":4)", "counts 2 links, 3 names");
    refused(R"("name":"d","inode":3)", R"("name":"d","inode":4)", "no sound filesystem");
    refused(R"("parent":1,"project")", R"("parent":3,"project")", "no sound filesystem");
    refused(R"("trash":2,"days":3)", R"("trash":3,"days":3)", "trash is not 2");
}

namespace {

const std::string some_times = R"("atime":"1.000000000","mtime":"1.000000000","ctime":"1.000000000","btime":"-1.000000001","generation":1)";
const std::string head = R"({"format":"cess filesystem metadata","version":1,"volume":"home","id":"00000000000000000000000000000000"})" "\n";
const std::string root = R"({"inode":1,"type":"directory","mode":"0755","uid":0,"gid":0,"nlink":2,"size":0,)" + some_times + R"(,"parent":1})" "\n";
const std::string file = R"({"inode":3,"type":"file","mode":"0600","uid":0,"gid":0,"nlink":1,"size":100,"allocated":10,)" + some_times + "}\n";
const std::string extent = R"({"of":3,"offset":0,"length":10,"lineage":"00000000000000000000000000000000","segment":1,"at":0})" "\n";

std::string end_of(const std::string& before, int inodes, int entries, int xattrs, int extents, int quotas = 0) {
    return before + R"({"end":true,"inodes":)" + std::to_string(inodes) + ",\"entries\":" + std::to_string(entries) + ",\"xattrs\":" + std::to_string(xattrs) +
           ",\"extents\":" + std::to_string(extents) + ",\"quotas\":" + std::to_string(quotas) + ",\"sha256\":\"" + crypto::sha256(as_view(before)).hex() + "\"}\n";
}

std::string why_not(const std::string& text) {
    const auto done = check_stream(source_of(text));
    return done ? "" : done.error().what;
}

}  // namespace

TEST_CASE("a stream that is torn, or damaged in any byte, is refused") {
    const auto whole = end_of(head + root + R"({"in":1,"name":"f","inode":3})" "\n" + file + R"({"of":3,"xattr":"user.x","value":"v"})" "\n" + extent, 2, 1, 1, 1);
    REQUIRE(why_not(whole) == "");
    for (std::size_t n = 0; n < whole.size(); ++n) {
        INFO(n);
        CHECK_THAT(why_not(whole.substr(0, n)), Catch::Contains("not complete"));
    }
    for (std::size_t n = 0; n < whole.size(); ++n) {
        for (const unsigned char flip : {1, 0x80}) {
            auto damaged = whole;
            damaged[n] = static_cast<char>(static_cast<unsigned char>(damaged[n]) ^ flip);
            INFO(n << ": " << damaged[n]);
            CHECK(why_not(damaged) != "");
        }
    }
    CHECK_THAT(why_not(whole + whole), Catch::Contains("comes after the end"));
    CHECK_THAT(why_not(whole + "x"), Catch::Contains("ends within a line"));
}

TEST_CASE("lines that stand where they must not are refused") {
    const std::string name = R"({"in":1,"name":"f","inode":3})" "\n", attribute = R"({"of":3,"xattr":"user.x","value":"v"})" "\n";
    const std::string quota = R"({"quota":9,"directory":1,"max_bytes":1,"max_files":0,"bytes":0,"files":0})" "\n";
    CHECK_THAT(why_not(root), Catch::Contains("not the header"));
    CHECK_THAT(why_not(head + head), Catch::Contains("out of order"));
    CHECK_THAT(why_not(head + root + root), Catch::Contains("twice"));
    CHECK_THAT(why_not(head + file + root), Catch::Contains("10 bytes allocated") || Catch::Contains("out of order"));
    CHECK_THAT(why_not(head + root + quota), Catch::Contains("out of order"));
    CHECK_THAT(why_not(head + quota + quota), Catch::Contains("twice"));
    CHECK_THAT(why_not(head + name), Catch::Contains("out of order"));
    CHECK_THAT(why_not(head + root + attribute), Catch::Contains("another inode"));
    CHECK_THAT(why_not(head + file + attribute + attribute), Catch::Contains("twice"));
    CHECK_THAT(why_not(head + file + extent + attribute), Catch::Contains("out of order"));
    CHECK_THAT(why_not(head + file + extent + extent), Catch::Contains("overlaps"));
    CHECK_THAT(why_not(end_of(head + file, 1, 0, 0, 0)), Catch::Contains("extents of 0"));
    CHECK_THAT(why_not(end_of(head + root, 2, 0, 0, 0)), Catch::Contains("counts other lines"));
    CHECK_THAT(why_not(head + std::string(2 * MiB, ' ') + "\n"), Catch::Contains("more than 1"));
}

TEST_CASE("lines of a wrong form are refused") {
    const auto refused = [](const std::string& line) {
        INFO(line.substr(0, 200));
        CHECK_FALSE(importing::parse_line(line).has_value());
    };
    for (const auto& name : {"", ".", "..", "a/b", "\\u0000"}) refused(std::string(R"({"in":1,"name":")") + name + R"(","inode":3})");
    refused(R"({"in":1,"name":")" + std::string(256, 'n') + R"(","inode":3})");
    refused(R"({"in":1,"name_hex":"2f","inode":3})");
    refused(R"({"in":1,"name_hex":"6","inode":3})");
    refused(R"({"in":1,"name":"a","name_hex":"61","inode":3})");
    refused(R"({"in":1,"name":"a","name":"b","inode":3})");
    refused(R"({"in":1,"name":"a","inode":3,"more":1})");
    refused(R"({"in":1,"name":"a","inode":0})");
    refused(R"({"in":1,"name":"a","inode":-3})");
    refused(R"({"in":1,"name":"a","inode":3.5})");
    refused(R"({"in":1,"name":"a","inode":9223372036854775808})");
    refused(R"({"of":1,"xattr":"system.other","value":""})");
    refused(R"({"of":1,"xattr":"system.posix_acl_access","value":"x","acl":"u::rw-"})");
    refused(R"({"of":1,"offset":0,"length":0,"lineage":"00000000000000000000000000000000","segment":1,"at":0})");
    refused(R"({"of":1,"offset":0,"length":2,"lineage":"00000000000000000000000000000000","segment":1,"at":33554431})");
    refused(R"({"of":1,"offset":0,"length":2,"lineage":"0000","segment":1,"at":0})");
    for (const auto& text : {"", "null", "1", "[]", "{}", "{", "\"x\"", "{\"end\":false}", "\xff", "{\"a\":[[[[]]]]}"}) refused(text);
    refused(std::string(100'000, '['));
    refused(R"({"format":"cess filesystem metadata","version":2,"volume":"home","id":"00000000000000000000000000000000"})");
}
