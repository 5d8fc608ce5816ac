#include "acl.hpp"
#include "format.hpp"
#include "support/acl_values.hpp"
#include "support/memory_volume.hpp"

#include <core/wire/codec.hpp>
#include <fs/check.hpp>
#include <fs/filesystem.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::fs;

namespace {

// A small tree with one of everything, to break.
struct tree {
    testing::memory_volume volume;
    std::unique_ptr<filesystem> files;
    inode_number a, sub, deep, file, other, link, orphan, quota;

    tree() {
        settings how;
        how.count_quotas = false;
        files = std::move(filesystem::open(volume, &volume, how).value());
        a = make(root_inode, "a", S_IFDIR | 0755);
        sub = make(a, "sub", S_IFDIR | 0755);
        deep = make(sub, "deep", S_IFDIR | 0755);
        file = make(a, "file", S_IFREG | 0640);
        other = make(a, "other", S_IFREG | 0600);
        link = make(a, "link", S_IFLNK | 0777, "file");
        orphan = make(a, "orphan", S_IFREG | 0600);
        quota = make(root_inode, "quota", S_IFDIR | 0755);
        write(file, 0, 10000);
        write(file, 1 << 20, 5000);
        REQUIRE(files->creation.link(file, sub, "second").has_value());
        REQUIRE(files->removal.unlink(a, "orphan").has_value());
        REQUIRE(files->xattrs.set(file, "user.one", as_view("1"), xattr_mode::any).has_value());
        REQUIRE(files->quotas.set(quota, {1 << 30, 100}).has_value());
        while (files->quotas.count().value()) {}
        write(make(make(quota, "inside", S_IFDIR | 0755), "counted", S_IFREG | 0644), 0, 3000);
    }
    inode_number make(inode_number in, std::string_view name, std::uint32_t mode, std::string_view target = {}) {
        new_inode what;
        what.mode = mode;
        what.target = target;
        return files->creation.make(in, name, what).value().ino;
    }
    void write(inode_number ino, std::uint64_t offset, std::size_t size) {
        auto opened = std::move(files->files.open(ino, true, false).value());
        REQUIRE(files->files.write(*opened, offset, bytes(size, std::byte{1}), false).has_value());
        files->files.release(std::move(opened));
    }
    template <class Record>
    Record load(bytes key) {
        return wire::decode<Record>(volume.get(key).value().value()).value();
    }
    void put(bytes key, bytes value) {
        cess::volume::change change;
        change.put(std::move(key), std::move(value));
        REQUIRE(volume.apply(change).has_value());
    }
    void erase(bytes key) {
        cess::volume::change change;
        change.erase(std::move(key));
        REQUIRE(volume.apply(change).has_value());
    }
    template <class Record, class Edit>
    void edit(bytes key, Edit&& how) {
        auto record = load<Record>(key);
        how(record);
        put(std::move(key), wire::encode(record));
    }
    void edit_inode(inode_number ino, const std::function<void(format::inode_record&)>& how) {
        edit<format::inode_record>(format::inode_key(ino), how);
    }
    format::dirent_record entry(inode_number directory, std::string_view name) {
        return load<format::dirent_record>(format::dirent_key(directory, name));
    }
    bytes listing(inode_number directory, std::string_view name) { return format::listing_key(directory, entry(directory, name).cookie); }

    std::vector<std::string> flaws(volume::reader& of, std::size_t window) {
        std::vector<std::string> out;
        check_settings how;
        how.window = window;
        const auto done = check(of, [&](const flaw& f) {
            CHECK_FALSE(f.repair.empty());
            out.push_back(f.what);
        }, how);
        REQUIRE(done.has_value());
        CHECK(done->flaws == out.size());
        return out;
    }
    // The same whatever the window is.
    std::vector<std::string> flaws() {
        auto out = flaws(volume, 1 << 16);
        for (const std::size_t window : {1, 2, 3, 7}) {
            INFO("window " << window);
            auto again = flaws(volume, window);
            std::sort(again.begin(), again.end());
            auto sorted = out;
            std::sort(sorted.begin(), sorted.end());
            CHECK(again == sorted);
        }
        return out;
    }
    std::string number(inode_number ino) { return std::to_string(ino.value); }
};

using lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a sound filesystem has no flaw, and all of it is counted") {
    tree t;
    CHECK(t.flaws() == lines());
    const auto done = check(t.volume, [](const flaw&) {}).value();
    CHECK(done.inodes == 11);
    CHECK(done.entries == 10);
    CHECK(done.orphans == 1);
    CHECK(done.quotas == 1);
    CHECK(done.bytes == 18000);
    testing::memory_volume empty;
    CHECK(t.flaws(empty, 10) == lines());
}

TEST_CASE("the check finds entries that lead nowhere, elsewhere, or to what they say they do not") {
    tree t;
    SECTION("to no inode") {
        t.erase(format::inode_key(t.other));
        CHECK(t.flaws() == lines{"directory " + t.number(t.a) + ": \"other\" leads to inode " + t.number(t.other) + ", which does not exist"});
    }
    SECTION("of another kind") {
        const auto key = t.listing(t.a, "other");
        t.edit<format::dirent_record>(format::dirent_key(t.a, "other"), [](auto& r) { r.type = S_IFDIR; });
        t.edit<format::listing_record>(key, [](auto& r) { r.type = S_IFDIR; });
        CHECK(t.flaws() == lines{"directory " + t.number(t.a) + ": \"other\" says another kind of file than inode " + t.number(t.other) + " is",
                                 "directory " + t.number(t.a) + ": counts 3 links, for 2 directories in it"});
    }
    SECTION("not listed") {
        t.erase(t.listing(t.a, "link"));
        CHECK(t.flaws() == lines{"directory " + t.number(t.a) + ": \"link\" is a name, and is not listed",
                                 "inode " + t.number(t.link) + ": no name leads to it, and it is not queued for deletion"});
    }
    SECTION("only listed") {
        t.erase(format::dirent_key(t.a, "other"));
        CHECK(t.flaws() == lines{"directory " + t.number(t.a) + ": \"other\" is listed, and is no name"});
    }
    SECTION("listed twice") {
        t.put(format::listing_key(t.a, t.entry(t.a, "other").cookie.next()), t.volume.get(t.listing(t.a, "file")).value().value());
        t.edit_inode(t.a, [](auto& r) { r.next_cookie.value += 10; });
        const auto found = t.flaws();
        CHECK(std::find(found.begin(), found.end(), "directory " + t.number(t.a) + ": \"file\" is listed twice") != found.end());
    }
    SECTION("listed as another inode") {
        t.edit<format::dirent_record>(format::dirent_key(t.a, "other"), [&](auto& r) { r.ino = t.link; });
        CHECK(t.flaws() == lines{"directory " + t.number(t.a) + ": \"other\" leads elsewhere in the listing"});
    }
    SECTION("at a place that was never given out") {
        t.edit_inode(t.sub, [](auto& r) { r.next_cookie.value -= 1; });
        CHECK(t.flaws() == lines{"directory " + t.number(t.sub) + ": \"second\" has place 4 in the listing, which was never given out"});
    }
    SECTION("that cannot be read") {
        t.put(t.listing(t.a, "sub"), to_bytes("?"));
        CHECK(t.flaws() == lines{"directory " + t.number(t.a) + ": a row of its listing does not decode",
                                 "directory " + t.number(t.a) + ": counts 3 links, for 0 directories in it",
                                 "directory " + t.number(t.sub) + ": no name leads to it, and it is not queued for deletion"});
    }
    SECTION("of what is no directory") {
        t.put(format::dirent_key(t.other, "x"), wire::encode(t.entry(t.a, "other")));
        t.put(format::listing_key(t.other, {t.entry(t.a, "other").cookie}), wire::encode(format::listing_record{t.file, S_IFREG, "x"}));
        t.edit_inode(t.file, [](auto& r) { ++r.nlink; });
        CHECK(t.flaws() == lines{"inode " + t.number(t.other) + ": is no directory, and names are in it"});
    }
}

TEST_CASE("the check counts links, entries and attributes again") {
    tree t;
    SECTION("links of a file") {
        t.edit_inode(t.file, [](auto& r) { r.nlink = 3; });
        CHECK(t.flaws() == lines{"inode " + t.number(t.file) + ": counts 3 links, 2 names lead to it"});
    }
    SECTION("links of a directory") {
        t.edit_inode(t.a, [](auto& r) { r.nlink = 2; });
        CHECK(t.flaws() == lines{"directory " + t.number(t.a) + ": counts 2 links, for 1 directories in it"});
    }
    SECTION("entries") {
        t.edit_inode(t.deep, [](auto& r) { r.entries = 1; });
        CHECK(t.flaws() == lines{"directory " + t.number(t.deep) + ": counts 1 entries, there are 0"});
    }
    SECTION("extended attributes") {
        t.edit_inode(t.file, [](auto& r) { r.xattrs = 2; });
        CHECK(t.flaws() == lines{"inode " + t.number(t.file) + ": counts 2 extended attributes, there are 1"});
    }
}

TEST_CASE("the check finds what nothing leads to, and orphans that are not queued") {
    tree t;
    SECTION("a lost file") {
        t.erase(t.listing(t.a, "other"));
        t.erase(format::dirent_key(t.a, "other"));
        t.edit_inode(t.a, [](auto& r) { --r.entries; });
        CHECK(t.flaws() == lines{"inode " + t.number(t.other) + ": no name leads to it, and it is not queued for deletion"});
    }
    SECTION("an orphan that nobody will delete") {
        t.erase(format::orphan_key(t.orphan));
        CHECK(t.flaws() == lines{"inode " + t.number(t.orphan) + ": has no name and is not queued for deletion"});
    }
    SECTION("a file in the queue that has a name") {
        t.put(format::orphan_key(t.other), {});
        CHECK(t.flaws() == lines{"inode " + t.number(t.other) + ": is queued for deletion and counts 1 links"});
    }
    SECTION("what belongs to no inode") {
        t.put(format::orphan_key({999}), {});
        t.put(format::xattr_key({999}, "user.x"), {});
        t.put(format::symlink_key({999}), to_bytes("x"));
        cess::volume::change change;
        change.write(999, 0, as_view("data"));
        REQUIRE(t.volume.apply(change).has_value());
        CHECK(t.flaws() == lines{"inode 999: does not exist, but has extended attributes, a link's target, the mark of an orphan, data"});
    }
    SECTION("a wrong parent") {
        t.edit_inode(t.deep, [&](auto& r) { r.parent = t.a; });
        CHECK(t.flaws() == lines{"directory " + t.number(t.deep) + ": its parent is " + t.number(t.a) + ", and its name in " + t.number(t.sub)});
    }
    SECTION("directories below themselves") {
        // "sub" moves from "a" into its own child.
        const auto moved = t.entry(t.a, "sub");
        t.erase(t.listing(t.a, "sub"));
        t.erase(format::dirent_key(t.a, "sub"));
        t.edit_inode(t.a, [](auto& r) { --r.entries, --r.nlink; });
        t.put(format::dirent_key(t.deep, "sub"), wire::encode(format::dirent_record{t.sub, S_IFDIR, entry_cookie{3}}));
        t.put(format::listing_key(t.deep, entry_cookie{3}), wire::encode(format::listing_record{t.sub, S_IFDIR, "sub"}));
        t.edit_inode(t.deep, [](auto& r) { ++r.entries, ++r.nlink, r.next_cookie.value = 4; });
        t.edit_inode(t.sub, [&](auto& r) { r.parent = t.deep; });
        CHECK(moved.ino == t.sub);
        CHECK(t.flaws() == lines{"directory " + t.number(std::min(t.sub, t.deep)) + ": stands below itself"});
    }
    SECTION("no root") {
        t.erase(format::inode_key(root_inode));
        const auto found = t.flaws();
        CHECK(std::find(found.begin(), found.end(), "there is no root directory") != found.end());
    }
}

TEST_CASE("the check compares records with the data that is there") {
    tree t;
    SECTION("allocated bytes") {
        t.edit_inode(t.file, [](auto& r) { r.allocated += 1; });
        CHECK(t.flaws() == lines{"inode " + t.number(t.file) + ": counts 15001 bytes of data, there are 15000"});
    }
    SECTION("the end of the data") {
        t.edit_inode(t.file, [](auto& r) { r.data_end -= 1; });
        CHECK(t.flaws() == lines{"inode " + t.number(t.file) + ": has data up to 1053576, past 1053575 as its record says"});
    }
    SECTION("past the size") {
        t.edit_inode(t.file, [](auto& r) { r.size = 100; });
        CHECK(t.flaws() == lines{"inode " + t.number(t.file) + ": has data up to 1053576, past its size 100"});
    }
    SECTION("a size that no file has") {
        t.edit_inode(t.file, [](auto& r) { r.size = file_size_max + 1; });
        CHECK(t.flaws() == lines{"inode " + t.number(t.file) + ": its size " + std::to_string(file_size_max + 1) + " is too large"});
    }
    SECTION("of what is no file") {
        cess::volume::change change;
        change.write(t.sub.value, 0, as_view("data"));
        REQUIRE(t.volume.apply(change).has_value());
        CHECK(t.flaws() == lines{"inode " + t.number(t.sub) + ": has data and is no file"});
    }
    SECTION("in segments that are gone") {
        struct view final : cess::volume::reader {  // that knows no segment at all
            explicit view(testing::memory_volume& on) : of(on) {}
            testing::memory_volume& of;
            const ledger::volume_record& record() const noexcept override { return of.record(); }
            bool writable() const noexcept override { return false; }
            result<std::optional<bytes>> get(byte_view key) override { return of.get(key); }
            result<std::vector<cess::volume::key_value>> scan(byte_view p, byte_view f, std::size_t n) override { return of.scan(p, f, n); }
            result<void> read(cess::volume::blob_id b, std::uint64_t o, byte_span out) override { return of.read(b, o, out); }
            result<std::vector<cess::volume::range>> map(cess::volume::blob_id b, std::uint64_t o, std::uint64_t n) override { return of.map(b, o, n); }
            result<std::vector<cess::volume::located_range>> locate(cess::volume::blob_id b, std::uint64_t o, std::uint64_t e, std::size_t n) override {
                return of.locate(b, o, e, n);
            }
            result<std::vector<cess::volume::blob_id>> blobs(cess::volume::blob_id from, std::size_t n) override { return of.blobs(from, n); }
            cess::volume::usage usage_now() override { return of.usage_now(); }
        } lost(t.volume);
        const auto found = t.flaws(lost, 100);
        CHECK(found.size() == 2);
        CHECK(found.front() == "inode " + t.number(t.file) + ": its bytes from 0 on are in a segment that the volume does not know");
    }
    SECTION("a link's target") {
        t.put(format::symlink_key(t.link), to_bytes("longer"));
        CHECK(t.flaws() == lines{"inode " + t.number(t.link) + ": is a symbolic link of size 4 with a target of 6"});
        t.erase(format::symlink_key(t.link));
        CHECK(t.flaws() == lines{"inode " + t.number(t.link) + ": is a symbolic link without a target"});
    }
    SECTION("a target of another inode") {
        t.put(format::symlink_key(t.other), to_bytes("file"));
        CHECK(t.flaws() == lines{"inode " + t.number(t.other) + ": has a link's target and is none"});
    }
}

TEST_CASE("the check finds access control lists that are none, or contradict the mode") {
    using testing::owner, testing::user, testing::owning_group, testing::mask, testing::other;
    tree t;
    const auto &access = testing::access_name, &inherited = testing::default_name;
    const auto named = testing::value_of({owner(6), user(1000, 4), owning_group(4), mask(4), other(0)});
    REQUIRE(t.files->xattrs.set(t.file, access, named, xattr_mode::any).has_value());
    REQUIRE(t.files->xattrs.set(t.a, inherited, named, xattr_mode::any).has_value());
    REQUIRE(t.flaws() == lines());
    SECTION("not decoded") {
        t.put(format::xattr_key(t.file, access), to_bytes("nonsense"));
        CHECK(t.flaws() == lines{"inode " + t.number(t.file) + ": its access ACL is not valid"});
        t.put(format::xattr_key(t.a, inherited), to_bytes("nonsense"));
        CHECK(t.flaws().size() == 2);
    }
    SECTION("contradicts") {
        t.edit_inode(t.file, [](auto& r) { r.mode ^= 0700; });
        CHECK(t.flaws() == lines{"inode " + t.number(t.file) + ": its access ACL contradicts its mode"});
    }
    SECTION("not in the record") {
        t.edit_inode(t.file, [](auto& r) { r.acls = 0; });
        CHECK(t.flaws() == lines{"inode " + t.number(t.file) + ": its record says no access ACL, and there is one"});
    }
    SECTION("only in the record") {
        t.edit_inode(t.sub, [](auto& r) { r.acls = 2; });
        CHECK(t.flaws() == lines{"inode " + t.number(t.sub) + ": its record says default ACL, and there is none"});
    }
}

TEST_CASE("the check counts quotas again, and sees who is in another's tree") {
    tree t;
    const auto row = t.volume.scan(format::quota_prefix(), {}, 1).value().front();
    SECTION("bytes") {
        t.edit<format::quota_record>(row.key, [](auto& r) { r.bytes += 1; });
        CHECK(t.flaws() == lines{"quota of directory " + t.number(t.quota) + ": counts 3001 bytes, its files have 3000"});
    }
    SECTION("files") {
        t.edit<format::quota_record>(row.key, [](auto& r) { r.files = 0; });
        CHECK(t.flaws() == lines{"quota of directory " + t.number(t.quota) + ": counts 0 files, there are 3"});
    }
    SECTION("missed") {
        const auto inside = t.entry(t.quota, "inside").ino;
        t.edit_inode(inside, [](auto& r) { r.project = {}; });
        t.edit<format::quota_record>(row.key, [](auto& r) { --r.files; });
        const auto found = t.flaws();
        REQUIRE(found.size() == 1);
        CHECK(found.front() == "inode " + t.number(inside) + ": is counted by another quota than directory " + t.number(t.quota) + ", or by none");
    }
    SECTION("without its directory") {
        t.edit<format::quota_record>(row.key, [&](auto& r) { r.root = t.sub; });
        const auto found = t.flaws();
        CHECK(found.back() == "quota of directory " + t.number(t.sub) + ": that directory does not begin it");
    }
}

TEST_CASE("what was deleted into the trash is sound, and the trash's own rows are checked") {
    tree t;
    REQUIRE(t.files->trash.set_days(7).has_value());
    const auto inside = t.files->lookups.lookup(t.quota, "inside").value()->ino;
    REQUIRE(t.files->removal.unlink(inside, "counted").has_value());  // a quota goes on counting it
    REQUIRE(t.files->removal.remove_directory(t.quota, "inside").has_value());
    REQUIRE(t.files->removal.unlink(t.a, "other").has_value());
    CHECK(t.flaws() == lines());
    SECTION("a row that does not decode") {
        t.put(format::trash_key(), to_bytes("?"));
        CHECK(t.flaws() == lines{"the trash's record does not decode"});
    }
    SECTION("no row") {
        t.erase(format::trash_key());
        CHECK(t.flaws() == lines{"the trash has no record"});
    }
    SECTION("another place") {
        t.edit_inode(trash_inode, [&](auto& r) { r.parent = t.a; });
        CHECK(t.flaws() == lines{"inode 2: is not the trash that it should be"});
    }
    SECTION("no directory") {
        const auto hours = t.files->listings.list(trash_inode, entry_cookie{2}, 10, false).value();
        REQUIRE(hours.size() == 1);
        t.erase(format::inode_key(trash_inode));
        const auto found = t.flaws();
        CHECK(std::find(found.begin(), found.end(), "the trash has no directory, inode 2") != found.end());
    }
}

TEST_CASE("the check finds rows that do not decode, and numbers that were never given out") {
    tree t;
    SECTION("an inode") {
        t.put(format::inode_key(t.other), to_bytes("?"));
        CHECK(t.flaws() == lines{"inode " + t.number(t.other) + ": its record does not decode"});
    }
    SECTION("an entry") {
        t.put(format::dirent_key(t.a, "other"), to_bytes("?"));
        CHECK(t.flaws() == lines{"directory " + t.number(t.a) + ": \"other\": its entry does not decode"});
    }
    SECTION("a mode of no kind") {
        t.edit_inode(t.orphan, [](auto& r) { r.mode = 0644; });
        CHECK(t.flaws().front() == "inode " + t.number(t.orphan) + ": its mode is of no kind of file");
    }
    SECTION("the superblock's end") {
        t.edit<format::superblock>(format::superblock_key(), [&](auto& r) { r.next = t.quota; });
        CHECK(t.flaws().size() == 3);
        t.erase(format::superblock_key());
        CHECK(t.flaws() == lines{"there is no superblock that decodes"});
    }
    SECTION("snapshots' numbers") {
        t.put(format::snapshot_key({}), wire::encode(format::snapshot_record{{3}}));
        t.put(format::snapshot_key({10}), wire::encode(format::snapshot_record{{1}}));
        t.put(format::snapshot_key({11}), wire::encode(format::snapshot_record{{2}}));
        CHECK(t.flaws() == lines());
        t.put(format::snapshot_key({12}), wire::encode(format::snapshot_record{{3}}));
        t.put(format::snapshot_key({13}), wire::encode(format::snapshot_record{{2}}));
        CHECK(t.flaws() == lines{"snapshot of change 12: its number was never given out", "snapshot of change 13: has the number of that of change 11"});
    }
    SECTION("rows of no kind") {
        t.put(to_bytes("zzz"), {});
        CHECK(t.flaws() == lines{"a row \"zzz\" is of no known kind"});
        t.erase(to_bytes("zzz"));
        t.put(to_bytes("i12"), {});
        CHECK(t.flaws() == lines{"a row \"i12\" names no inode"});
    }
}
