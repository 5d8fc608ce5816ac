#include "support/memory_volume.hpp"

#include <fs/filesystem.hpp>

#include <catch2/catch.hpp>

#include <set>
#include <thread>

using namespace cess;
using namespace cess::fs;

namespace {

struct mounted {
    testing::memory_volume volume;
    std::unique_ptr<filesystem> files;
    timestamp now{1000, 0};

    mounted() { reopen(); }
    void reopen(settings how = {}, const kernel_state& held = {}) {
        files.reset();
        how.clock = [this] { return now; };
        auto opened = filesystem::open(volume, &volume, how, held);
        REQUIRE(opened.has_value());
        files = std::move(*opened);
    }
    attributes make(const std::string& name, std::uint32_t mode, inode_number in = root_inode, caller by = {}) {
        new_inode what;
        what.mode = mode;
        what.by = by;
        const auto made = files->creation.make(in, name, what);
        REQUIRE(made.has_value());
        return *made;
    }
    inode_number file(const std::string& name) { return make(name, S_IFREG | 0644).ino; }
    std::unique_ptr<open_file> open(inode_number ino) {
        auto opened = files->files.open(ino, true, false);
        REQUIRE(opened.has_value());
        return std::move(*opened);
    }
    void write(inode_number ino, std::uint64_t offset, const std::string& text) {
        auto f = open(ino);
        REQUIRE(files->files.write(*f, offset, as_view(text), false).has_value());
        files->files.release(std::move(f));
    }
    std::string read(inode_number ino, std::size_t n = 4096) {
        auto f = open(ino);
        bytes out(n);
        const auto got = files->files.read(*f, 0, out);
        REQUIRE(got.has_value());
        files->files.release(std::move(f));
        return to_string(byte_view(out).first(*got));
    }
    attributes at(inode_number ino) {
        const auto found = files->lookups.get_attributes(ino);
        REQUIRE(found.has_value());
        return *found;
    }
    std::vector<std::string> names(inode_number directory = root_inode) {
        std::vector<std::string> out;
        const auto entries = files->listings.list(directory, {}, 100000, false);
        REQUIRE(entries.has_value());
        for (const auto& e : *entries) out.push_back(e.name);
        return out;
    }
};

template <class T>
int number_of(const answer<T>& a) {
    return a ? 0 : a.error().number;
}

}  // namespace

TEST_CASE("an empty volume becomes an empty filesystem, once") {
    mounted m;
    CHECK(m.names() == std::vector<std::string>{".", ".."});
    m.file("a");
    m.reopen();
    CHECK(m.names() == std::vector<std::string>{".", "..", "a"});
    CHECK(m.at(root_inode).mode == (S_IFDIR | 0755));
}

TEST_CASE("a number and its generation are never given out twice, whatever a crash forgets") {
    mounted m;
    std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 5; ++i) {
            const auto made = m.make(std::to_string(round) + "-" + std::to_string(i), S_IFREG | 0644);
            CHECK(seen.emplace(made.ino.value, made.generation).second);
        }
        m.volume.crash_to(0);
        m.reopen();
        m.make("kept" + std::to_string(round), S_IFREG | 0644);
        REQUIRE(m.volume.sync().has_value());
    }
}

TEST_CASE("an unlinked file lives until the kernel forgets it, and then leaves nothing") {
    mounted m;
    const auto ino = m.file("a");
    m.write(ino, 0, "still here");
    REQUIRE(m.files->removal.unlink(root_inode, "a").has_value());
    CHECK(m.at(ino).nlink == 0);
    CHECK(m.read(ino) == "still here");
    CHECK(m.volume.blob_count() == 1);
    m.files->lookups.forget(ino, 1);
    CHECK(m.volume.blob_count() == 0);
    CHECK(number_of(m.files->lookups.get_attributes(ino)) == ESTALE);
}

TEST_CASE("an unlinked file lives on in a filesystem that is opened with what the kernel holds") {
    mounted m;
    const auto kept = m.file("kept"), left = m.file("left");
    m.write(kept, 0, "still here");
    REQUIRE(m.files->lookups.lookup(root_inode, "kept").has_value());  // twice
    m.files->lookups.forget(left, 1);
    const auto held = m.files->held();
    REQUIRE(held.inodes == std::vector<held_inode>{{kept, 2}});
    REQUIRE(m.files->removal.unlink(root_inode, "kept").has_value());
    m.reopen({}, held);
    CHECK(m.files->held() == held);
    CHECK(m.at(kept).nlink == 0);
    CHECK(m.read(kept) == "still here");
    m.files->lookups.forget(kept, 1);
    CHECK(m.at(kept).nlink == 0);
    m.files->lookups.forget(kept, 1);
    CHECK(number_of(m.files->lookups.get_attributes(kept)) == ESTALE);
    CHECK(m.volume.blob_count() == 0);
}

TEST_CASE("an unlinked open file is reclaimed by the mount after a crash") {
    mounted m;
    m.write(m.file("a"), 0, "data");
    REQUIRE(m.files->removal.unlink(root_inode, "a").has_value());
    CHECK(m.volume.blob_count() == 1);
    m.volume.crash_to(m.volume.volatile_changes());
    m.reopen();
    CHECK(m.volume.blob_count() == 0);
    CHECK(m.volume.scan(as_view("o"), {}, 10)->empty());
}

TEST_CASE("a file without a name takes no new one") {
    mounted m;
    const auto ino = m.file("a");
    REQUIRE(m.files->removal.unlink(root_inode, "a").has_value());
    CHECK(number_of(m.files->creation.link(ino, root_inode, "b")) == ENOENT);
}

TEST_CASE("nothing can be made in a removed directory") {
    mounted m;
    const auto d = m.make("d", S_IFDIR | 0755).ino;
    REQUIRE(m.files->removal.remove_directory(root_inode, "d").has_value());
    new_inode what;
    what.mode = S_IFREG | 0644;
    CHECK(number_of(m.files->creation.make(d, "x", what)) == ENOENT);
    CHECK(m.at(root_inode).nlink == 2);
}

TEST_CASE("names are checked for length and for what cannot be a name") {
    mounted m;
    new_inode what;
    what.mode = S_IFREG | 0644;
    CHECK(number_of(m.files->creation.make(root_inode, std::string(255, 'n'), what)) == 0);
    CHECK(number_of(m.files->creation.make(root_inode, std::string(256, 'n'), what)) == ENAMETOOLONG);
    for (const std::string wrong : {"", ".", "..", "a/b"}) CHECK(number_of(m.files->creation.make(root_inode, wrong, what)) == EINVAL);
    CHECK(number_of(m.files->lookups.lookup(root_inode, std::string(10000, 'n'))) == ENAMETOOLONG);
}

TEST_CASE("a directory cannot be moved into itself") {
    mounted m;
    const auto a = m.make("a", S_IFDIR | 0755).ino;
    const auto b = m.make("b", S_IFDIR | 0755, a).ino;
    CHECK(number_of(m.files->renaming.rename(root_inode, "a", b, "c", rename_mode::replace)) == EINVAL);
    CHECK(number_of(m.files->renaming.rename(root_inode, "a", a, "c", rename_mode::replace)) == EINVAL);
    CHECK(number_of(m.files->renaming.rename(a, "b", root_inode, "a", rename_mode::replace)) == ENOTEMPTY);
    CHECK(number_of(m.files->renaming.rename(a, "b", root_inode, "a", rename_mode::exchange)) == EINVAL);
}

TEST_CASE("a name that a rename replaces keeps its place in the listing") {
    mounted m;
    for (const char* name : {"a", "b", "c"}) m.file(name);
    REQUIRE(m.files->renaming.rename(root_inode, "c", root_inode, "a", rename_mode::replace).has_value());
    CHECK(m.names() == std::vector<std::string>{".", "..", "a", "b"});
}

TEST_CASE("entries that stay are listed once while others come and go") {
    mounted m;
    for (int i = 0; i < 2000; ++i) m.file("stay" + std::to_string(i));
    std::multiset<std::string> seen;
    entry_cookie after;
    for (int round = 0;; ++round) {
        const auto part = m.files->listings.list(root_inode, after, 100, false);
        REQUIRE(part.has_value());
        if (part->empty()) break;
        for (const auto& e : *part) {
            seen.insert(e.name);
            after = e.cookie;
        }
        if (round < 10) {
            m.file("new" + std::to_string(round));
            if (round > 0) REQUIRE(m.files->removal.unlink(root_inode, "new" + std::to_string(round - 1)).has_value());
            REQUIRE(m.files->renaming.rename(root_inode, "stay0", root_inode, "stay0", rename_mode::replace).has_value());
        }
    }
    for (int i = 0; i < 2000; ++i) CHECK(seen.count("stay" + std::to_string(i)) == 1);
}

TEST_CASE("a listing's references keep its inodes until they are given back") {
    mounted m;
    const auto ino = m.file("a");
    m.files->lookups.forget(ino, 1);
    const auto listed = m.files->listings.list(root_inode, {}, 100, true);
    REQUIRE(listed.has_value());
    REQUIRE(m.files->removal.unlink(root_inode, "a").has_value());
    CHECK(m.at(ino).nlink == 0);
    m.files->lookups.forget(ino, 1);
    CHECK(number_of(m.files->lookups.get_attributes(ino)) == ESTALE);
}

TEST_CASE("setgid directories pass on their group, and their habit to directories") {
    mounted m;
    const auto d = m.make("d", S_IFDIR | 02755, root_inode, {7, 70}).ino;
    CHECK(m.make("f", S_IFREG | 0644, d, {1, 2}).gid == 70);
    const auto sub = m.make("s", S_IFDIR | 0755, d, {1, 2});
    CHECK(sub.gid == 70);
    CHECK((sub.mode & S_ISGID) != 0);
}

TEST_CASE("a change of owner and an unprivileged write take setuid and setgid away") {
    mounted m;
    const auto ino = m.make("a", S_IFREG | 06755).ino;
    attribute_change owner;
    owner.uid = 5;
    CHECK((m.files->attributes.set(ino, owner)->mode & 07777) == 0755);
    attribute_change mode;
    mode.mode = 06755;
    REQUIRE(m.files->attributes.set(ino, mode).has_value());
    auto f = m.open(ino);
    REQUIRE(m.files->files.write(*f, 0, as_view("x"), false).has_value());
    CHECK((m.at(ino).mode & 07777) == 06755);
    REQUIRE(m.files->files.write(*f, 0, as_view("x"), true).has_value());
    CHECK((m.at(ino).mode & 07777) == 0755);
    m.files->files.release(std::move(f));
}

TEST_CASE("times beyond 2038 and before 1970 keep their nanoseconds") {
    mounted m;
    const auto ino = m.file("a");
    attribute_change times;
    times.mtime = timestamp{5'000'000'000, 123'456'789};
    times.atime = timestamp{-5, 1};
    REQUIRE(m.files->attributes.set(ino, times).has_value());
    m.reopen();
    CHECK(m.at(ino).mtime == *times.mtime);
    CHECK(m.at(ino).atime == *times.atime);
}

TEST_CASE("access times move as relatime, noatime and strictatime say") {
    mounted m;
    const auto ino = m.file("a");
    m.write(ino, 0, "x");
    m.now = {2000, 0};
    m.read(ino);
    CHECK(m.at(ino).atime == timestamp{2000, 0});
    m.now = {3000, 0};
    m.read(ino);
    CHECK(m.at(ino).atime == timestamp{2000, 0});
    m.now = {2000 + 24 * 3600, 0};
    m.read(ino);
    CHECK(m.at(ino).atime == m.now);
    settings how;
    how.atime = access_times::never;
    m.reopen(how);
    m.now = {900000, 0};
    m.read(ino);
    CHECK(m.at(ino).atime < m.now);
    how.atime = access_times::strict;
    m.reopen(how);
    for (const timestamp now : {timestamp{900001, 0}, timestamp{900001, 1}, timestamp{900002, 0}}) {
        m.now = now;
        m.read(ino);
        CHECK(m.at(ino).atime == now);
    }
}

TEST_CASE("who asked for O_NOATIME moves no access time") {
    mounted m;
    const auto ino = m.file("a");
    m.write(ino, 0, "x");
    m.now = {2000, 0};
    auto f = m.open(ino);
    f->keeps_access_time = true;
    std::byte out{};
    REQUIRE(m.files->files.read(*f, 0, {&out, 1}).has_value());
    CHECK(m.at(ino).atime < m.now);
    f->keeps_access_time = false;
    REQUIRE(m.files->files.read(*f, 0, {&out, 1}).has_value());
    CHECK(m.at(ino).atime == m.now);
    m.files->files.release(std::move(f));
}

TEST_CASE("holes are seen by seek and by the count of blocks") {
    mounted m;
    const auto ino = m.file("a");
    m.write(ino, 1 * MiB, "data");
    CHECK(m.at(ino).size == 1 * MiB + 4);
    CHECK(m.at(ino).allocated == 4);
    auto f = m.open(ino);
    CHECK(*m.files->files.seek(*f, 0, true) == 1 * MiB);
    CHECK(*m.files->files.seek(*f, 0, false) == 0);
    CHECK(*m.files->files.seek(*f, 1 * MiB, false) == 1 * MiB + 4);
    CHECK(number_of(m.files->files.seek(*f, 1 * MiB + 4, true)) == ENXIO);
    REQUIRE(m.files->files.allocate(*f, 1 * MiB, 4, {.keep_size = true, .punch_hole = true}).has_value());
    CHECK(m.at(ino).allocated == 0);
    CHECK(number_of(m.files->files.seek(*f, 0, true)) == ENXIO);
    m.files->files.release(std::move(f));
}

TEST_CASE("a copied range keeps its holes, takes no bytes, and goes its own way") {
    mounted m;
    constexpr std::uint64_t far = 3 * GiB;
    const auto from = m.file("from"), to = m.file("to");
    m.write(from, 4096, "first");
    m.write(from, far, "last");
    auto source = m.open(from), target = m.open(to);
    CHECK(m.files->files.copy(*source, 0, *target, 0, file_size_max / 2).value() == far + 4);
    CHECK(m.at(to).size == far + 4);
    CHECK(m.at(to).allocated == 9);
    CHECK(m.files->files.seek(*target, 0, true).value() == m.files->files.seek(*source, 0, true).value());
    CHECK(m.files->files.seek(*target, 8192, true).value() == far);
    m.write(from, 4096, "other");
    CHECK(m.read(to, 8192).substr(4096) == "first" + std::string(4091, '\0'));
    CHECK(m.files->files.copy(*source, far + 4, *target, 0, 1).value() == 0);
    m.files->files.release(std::move(source));
    m.files->files.release(std::move(target));
}

TEST_CASE("seek asks the kernel for its dirty pages while somebody writes the file") {
    mounted m;
    const auto ino = m.file("a");
    int asked = 0;
    auto f = m.open(ino);
    m.files->set_write_back([&](inode_number of) {
        CHECK(of == ino);
        ++asked;
        CHECK(m.files->files.write(*f, 0, as_view("late"), false).has_value());
        return answer<void>();
    });
    CHECK(*m.files->files.seek(*f, 0, false) == 4);
    CHECK(asked == 1);
    m.files->files.release(std::move(f));
}

TEST_CASE("a rename over a name brings the dirty pages of the file that is still being written") {
    mounted m;
    m.file("old");
    const auto ino = m.file("new");
    auto f = m.open(ino);
    int asked = 0;
    m.files->set_write_back([&](inode_number) {
        ++asked;
        return answer<void>();
    });
    REQUIRE(m.files->renaming.rename(root_inode, "new", root_inode, "old", rename_mode::replace).has_value());
    CHECK(asked == 1);
    m.files->files.release(std::move(f));
}

TEST_CASE("files reach past 16 TiB, and no further than offsets do") {
    mounted m;
    const auto ino = m.file("a");
    m.write(ino, 20 * TiB, "far");
    CHECK(m.at(ino).size == 20 * TiB + 3);
    auto f = m.open(ino);
    CHECK(number_of(m.files->files.write(*f, file_size_max, as_view("x"), false)) == EFBIG);
    attribute_change size;
    size.size = file_size_max + 1;
    CHECK(number_of(m.files->attributes.set(ino, size)) == EFBIG);
    m.files->files.release(std::move(f));
}

TEST_CASE("what truncate cut off reads as zeros when the file grows again") {
    mounted m;
    const auto ino = m.file("a");
    m.write(ino, 0, "secret");
    attribute_change size;
    size.size = 2;
    REQUIRE(m.files->attributes.set(ino, size).has_value());
    size.size = 6;
    REQUIRE(m.files->attributes.set(ino, size).has_value());
    CHECK(m.read(ino) == std::string("se\0\0\0\0", 6));
}

TEST_CASE("extended attributes keep to their names, sizes and modes") {
    mounted m;
    const auto ino = m.file("a");
    auto& x = m.files->xattrs;
    CHECK(number_of(x.get(ino, "user.a")) == ENODATA);
    CHECK(number_of(x.set(ino, "user.a", as_view("1"), xattr_mode::replace)) == ENODATA);
    CHECK(number_of(x.set(ino, "user.a", as_view("1"), xattr_mode::create)) == 0);
    CHECK(number_of(x.set(ino, "user.a", as_view("1"), xattr_mode::create)) == EEXIST);
    CHECK(number_of(x.set(ino, "nonsense", as_view("1"), xattr_mode::any)) == EOPNOTSUPP);
    CHECK(number_of(x.set(ino, "user.big", bytes(65537), xattr_mode::any)) == E2BIG);
    CHECK(number_of(x.set(ino, "trusted.t", bytes(65536, std::byte{1}), xattr_mode::any)) == 0);
    CHECK(*x.list(ino) == std::string("trusted.t\0user.a\0", 17));
    REQUIRE(m.files->removal.unlink(root_inode, "a").has_value());
    m.files->lookups.forget(ino, 1);
    CHECK(m.volume.scan(as_view("x"), {}, 10)->empty());
}

TEST_CASE("a list of extended attributes never outgrows what listxattr can give") {
    mounted m;
    const auto ino = m.file("a");
    int last = 0, count = 0;
    while (last == 0 && count < 2000) {
        auto name = "user." + std::to_string(count++);
        name.resize(250, 'n');
        last = number_of(m.files->xattrs.set(ino, name, as_view("v"), xattr_mode::any));
    }
    CHECK(last == ENOSPC);
    CHECK(m.files->xattrs.list(ino)->size() <= 65536);
}

TEST_CASE("who writes through the kernel's cache is stopped while what was refused does not fit") {
    mounted m;
    std::vector<inode_number> told;
    settings how;
    how.attributes_changed = [&](inode_number ino) { told.push_back(ino); };
    m.reopen(how);
    const auto ino = m.file("a");
    auto writer = m.open(ino);
    auto reader = *m.files->files.open(ino, false, false);
    CHECK(m.files->files.check_room(*writer).has_value());
    m.volume.set_network_free(100);
    m.volume.fail_at(1, errc::no_space);
    CHECK(number_of(m.files->files.write(*writer, 0, bytes(1000), false)) == ENOSPC);
    CHECK(told == std::vector<inode_number>{ino});
    CHECK(number_of(m.files->files.check_room(*writer)) == ENOSPC);
    CHECK(number_of(m.files->files.check_room(*writer)) == ENOSPC);
    CHECK(m.files->files.check_room(*reader).has_value());
    m.volume.set_network_free(1000);
    CHECK(m.files->files.check_room(*writer).has_value());
    CHECK(m.files->files.write(*writer, 0, bytes(1000), false).has_value());
    CHECK(told.size() == 1);
    m.files->files.release(std::move(reader));
    m.files->files.release(std::move(writer));
}

TEST_CASE("a refused change leaves everything as it was") {
    mounted m;
    const auto ino = m.file("a");
    m.write(ino, 0, "before");
    const auto was = m.at(ino);
    const auto root_was = m.at(root_inode);
    auto f = m.open(ino);
    const auto refuse_next = [&] { m.volume.fail_at(1, errc::no_space); };
    refuse_next();
    CHECK(number_of(m.files->files.write(*f, 3, as_view("after it"), false)) == ENOSPC);
    refuse_next();
    CHECK(number_of(m.files->removal.unlink(root_inode, "a")) == ENOSPC);
    refuse_next();
    CHECK(number_of(m.files->renaming.rename(root_inode, "a", root_inode, "b", rename_mode::replace)) == ENOSPC);
    refuse_next();
    CHECK(number_of(m.files->creation.link(ino, root_inode, "b")) == ENOSPC);
    m.files->files.release(std::move(f));
    CHECK(m.at(ino).size == was.size);
    CHECK(m.at(ino).nlink == 1);
    CHECK(m.at(root_inode).mtime == root_was.mtime);
    CHECK(m.names() == std::vector<std::string>{".", "..", "a"});
    CHECK(m.read(ino) == "before");
}

TEST_CASE("every fsync tells that changes were lost, and nothing more is taken") {
    mounted m;
    const auto lost = m.file("lost");
    REQUIRE(m.volume.sync().has_value());
    auto f = m.open(lost);
    REQUIRE(m.files->files.write(*f, 0, as_view("gone"), false).has_value());
    m.volume.break_down();
    CHECK(number_of(m.files->sync_all()) == EIO);
    CHECK(number_of(m.files->sync_all()) == EIO);
    CHECK(number_of(m.files->files.write(*f, 0, as_view("x"), false)) == EROFS);
    m.files->files.release(std::move(f));
}

TEST_CASE("attributes that are set to what they are make no change") {
    mounted m;
    const auto ino = m.file("a");
    REQUIRE(m.files->renaming.rename(root_inode, "a", root_inode, "b", rename_mode::replace).has_value());
    const auto was = m.volume.applied();
    attribute_change stamped;
    stamped.ctime = m.now;  // what the kernel sends after a rename
    CHECK(m.files->attributes.set(ino, stamped)->ctime == m.now);
    CHECK(m.volume.applied() == was);
    stamped.ctime = timestamp{m.now.seconds + 1, 0};
    CHECK(m.files->attributes.set(ino, stamped)->ctime == *stamped.ctime);
    CHECK(m.at(ino).ctime == *stamped.ctime);
    CHECK(m.volume.applied() > was);
}

TEST_CASE("a snapshot is read and refuses every change") {
    mounted m;
    const auto ino = m.file("a");
    m.write(ino, 0, "as it was");
    m.files.reset();
    auto opened = filesystem::open(m.volume, nullptr, {});
    REQUIRE(opened.has_value());
    auto& fs = **opened;
    CHECK_FALSE(fs.writable());
    new_inode what;
    what.mode = S_IFREG | 0644;
    CHECK(number_of(fs.creation.make(root_inode, "b", what)) == EROFS);
    CHECK(number_of(fs.removal.unlink(root_inode, "a")) == EROFS);
    CHECK(number_of(fs.files.open(ino, true, false)) == EROFS);
    CHECK(number_of(fs.attributes.set(ino, {})) == EROFS);
    CHECK(number_of(fs.xattrs.set(ino, "user.a", as_view("1"), xattr_mode::any)) == EROFS);
    auto f = fs.files.open(ino, false, false);
    REQUIRE(f.has_value());
    bytes out(100);
    CHECK(*fs.files.read(**f, 0, out) == 9);
    fs.files.release(std::move(*f));
}

TEST_CASE("a snapshot of a volume that was never mounted is an empty directory") {
    testing::memory_volume volume;
    auto opened = filesystem::open(volume, nullptr, {});
    REQUIRE(opened.has_value());
    CHECK((*opened)->listings.list(root_inode, {}, 10, false)->size() == 2);
}

TEST_CASE("a filesystem does not open on records that are not its own") {
    testing::memory_volume volume;
    volume::change change;
    change.put(to_bytes("s"), to_bytes("rubbish"));
    REQUIRE(volume.apply(change).has_value());
    CHECK_FALSE(filesystem::open(volume, &volume, {}).has_value());
}

TEST_CASE("operations by many threads keep the tree whole") {
    mounted m;
    settings small;
    small.inode_cache = 32;
    m.reopen(small);
    inode_number directories[3];
    for (int i = 0; i < 3; ++i) directories[i] = m.make("d" + std::to_string(i), S_IFDIR | 0755).ino;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            seeded_random random(static_cast<std::uint64_t>(t) + 1);
            auto& fs = *m.files;
            for (int i = 0; i < 3000; ++i) {
                const auto in = directories[random.below(3)], to = directories[random.below(3)];
                const auto name = std::to_string(random.below(8)), other = std::to_string(random.below(8));
                new_inode what;
                what.mode = random.below(4) == 0 ? S_IFDIR | 0755 : S_IFREG | 0644;
                switch (random.below(6)) {
                    case 0:
                        if (const auto made = fs.creation.make(in, name, what)) fs.lookups.forget(made->ino, 1);
                        break;
                    case 1: (void)fs.removal.unlink(in, name); break;
                    case 2: (void)fs.removal.remove_directory(in, name); break;
                    case 3: (void)fs.renaming.rename(in, name, to, other, static_cast<rename_mode>(random.below(3))); break;
                    case 4:
                        if (const auto found = fs.lookups.lookup(in, name); found && *found) {
                            if (auto f = fs.files.open((*found)->ino, true, false)) {
                                (void)fs.files.write(**f, random.below(100), as_view("data"), false);
                                fs.files.release(std::move(*f));
                            }
                            if (const auto linked = fs.creation.link((*found)->ino, to, other)) fs.lookups.forget(linked->ino, 1);
                            fs.lookups.forget((*found)->ino, 1);
                        }
                        break;
                    default: (void)fs.listings.list(in, {}, 100, false);
                }
            }
        });
    }
    for (auto& t : threads) t.join();
    // Every entry leads to an inode, links are counted right, and nothing is left over.
    std::map<std::uint64_t, std::uint32_t> links;
    std::size_t directories_seen = 1;
    std::vector<inode_number> todo{root_inode};
    while (!todo.empty()) {
        const auto directory = todo.back();
        todo.pop_back();
        const auto listed = m.files->listings.list(directory, {}, 1000, false);
        REQUIRE(listed.has_value());
        std::uint32_t below = 2;
        for (const auto& e : *listed) {
            if (e.cookie <= entry_cookie{2}) continue;
            const auto found = m.files->lookups.lookup(directory, e.name);
            REQUIRE((found && *found && (*found)->ino == e.ino));
            m.files->lookups.forget(e.ino, 1);
            if (S_ISDIR(e.type)) {
                ++below;
                ++directories_seen;
                todo.push_back(e.ino);
            } else {
                ++links[e.ino.value];
            }
        }
        CHECK(m.at(directory).nlink == below);
    }
    for (const auto& [ino, n] : links) CHECK(m.at(inode_number{ino}).nlink == n);
    for (int i = 0; i < 3; ++i) m.files->lookups.forget(directories[i], 1);
    CHECK(m.volume.scan(as_view("i"), {}, 100000)->size() == links.size() + directories_seen);
    CHECK(m.volume.scan(as_view("o"), {}, 100000)->empty());
}
