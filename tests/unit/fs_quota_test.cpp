#include "support/memory_volume.hpp"
#include "support/fs_sound.hpp"

#include <fs/filesystem.hpp>

#include <catch2/catch.hpp>

#include <chrono>
#include <thread>

using namespace cess;
using namespace cess::fs;

namespace {

template <class T>
int number_of(const answer<T>& a) {
    return a ? 0 : a.error().number;
}

struct mounted {
    testing::memory_volume volume;
    std::unique_ptr<filesystem> files;

    mounted() { reopen(); }
    void reopen(settings how = {}) {
        files.reset();
        how.count_quotas = false;
        auto opened = filesystem::open(volume, &volume, how);
        REQUIRE(opened.has_value());
        files = std::move(*opened);
    }
    answer<attributes> try_make(inode_number in, const std::string& name, std::uint32_t mode) {
        new_inode what;
        what.mode = mode;
        auto made = files->creation.make(in, name, what);
        if (made) files->lookups.forget(made->ino, 1);
        return made;
    }
    inode_number directory(inode_number in, const std::string& name) { return try_make(in, name, S_IFDIR | 0755).value().ino; }
    inode_number file(inode_number in, const std::string& name) { return try_make(in, name, S_IFREG | 0644).value().ino; }
    int write(inode_number ino, std::uint64_t offset, std::size_t n) {
        auto f = files->files.open(ino, true, false).value();
        const auto done = files->files.write(*f, offset, bytes(n, std::byte{1}), false);
        files->files.release(std::move(f));
        return number_of(done);
    }
    int rename(inode_number from, const std::string& name, inode_number to, const std::string& new_name, rename_mode how = rename_mode::replace) {
        return number_of(files->renaming.rename(from, name, to, new_name, how));
    }
    int link(inode_number ino, inode_number in, const std::string& name) {
        const auto linked = files->creation.link(ino, in, name);
        if (linked) files->lookups.forget(ino, 1);
        return number_of(linked);
    }
    // Counting is over when it returns.
    void limit(inode_number in, quota_limits to) {
        REQUIRE(files->quotas.set(in, to).has_value());
        count();
    }
    void count() {
        while (files->quotas.count().value()) {}
        testing::require_sound(volume);
    }
    quota use_of(inode_number in) {
        const auto found = files->quotas.get(in).value();
        REQUIRE(found.has_value());
        return *found;
    }
};

// A tree of directories, files, hard links and holes.
void grow(mounted& m, inode_number in, int depth, seeded_random& random) {
    for (int i = 0; i < 6; ++i) {
        const auto ino = m.file(in, "f" + std::to_string(i));
        m.write(ino, random.below(3) * 10000, random.below(500) + 1);
        if (random.below(3) == 0) m.link(ino, in, "l" + std::to_string(i));
    }
    for (int i = 0; depth > 0 && i < 3; ++i) grow(m, m.directory(in, "d" + std::to_string(i)), depth - 1, random);
}

}  // namespace

TEST_CASE("a quota's bytes are used up to the last and then refused, and what goes gives back") {
    mounted m;
    const auto d = m.directory(root_inode, "d");
    m.limit(d, {1000, 0});
    const auto a = m.file(d, "a");
    CHECK(m.write(a, 0, 1000) == 0);
    CHECK(m.use_of(d).bytes == 1000);
    CHECK(m.write(a, 1000, 1) == EDQUOT);
    CHECK(m.write(a, 500, 500) == 0);  // nothing new
    CHECK(m.files->lookups.get_attributes(a)->size == 1000);
    attribute_change cut;
    cut.size = 900;
    REQUIRE(m.files->attributes.set(a, cut).has_value());
    CHECK(m.write(a, 5000, 100) == 0);  // holes are free
    CHECK(m.use_of(d).bytes == 1000);
    {
        auto f = m.files->files.open(a, true, false).value();
        CHECK(m.files->files.allocate(*f, 0, 900, {}).has_value());  // all of it is there
        CHECK(number_of(m.files->files.allocate(*f, 0, 901, {})) == EDQUOT);
        CHECK(m.files->files.allocate(*f, 0, 400, {.keep_size = true, .punch_hole = true}).has_value());
        CHECK(m.use_of(d).bytes == 600);
        CHECK(number_of(m.files->files.copy(*f, 400, *f, 10000, 500)) == EDQUOT);
        CHECK(m.files->files.copy(*f, 400, *f, 10000, 400).has_value());
        CHECK(m.files->files.copy(*f, 0, *f, 10000, 200).has_value());  // a hole over bytes
        CHECK(m.use_of(d).bytes == 800);
        m.files->files.release(std::move(f));
    }
    testing::require_sound(m.volume);
    const auto outside = m.file(root_inode, "outside");
    CHECK(m.write(outside, 0, 5000) == 0);
    CHECK(m.files->files.open(a, true, true).has_value());
    CHECK(m.use_of(d).bytes == 0);
}

TEST_CASE("a quota's files are inodes of any kind, its directory among them") {
    mounted m;
    const auto d = m.directory(root_inode, "d");
    m.limit(d, {0, 4});
    const auto sub = m.directory(d, "sub");
    m.file(sub, "a");
    m.file(sub, "b");
    CHECK(number_of(m.try_make(sub, "c", S_IFREG | 0644)) == EDQUOT);
    CHECK(number_of(m.try_make(d, "c", S_IFLNK | 0777)) == ENOENT);  // wrong anyway
    CHECK(m.link(m.files->lookups.lookup(sub, "a").value()->ino, d, "another name") == 0);
    REQUIRE(m.files->removal.unlink(sub, "b").has_value());
    CHECK(number_of(m.try_make(sub, "c", S_IFREG | 0644)) == 0);
    CHECK(m.use_of(d).files == 4);
    testing::require_sound(m.volume);
}

TEST_CASE("an unlinked file counts until it is forgotten, also by a crash") {
    mounted m;
    const auto d = m.directory(root_inode, "d");
    m.limit(d, {1000, 10});
    for (const bool crash : {false, true}) {
        const auto ino = m.file(d, "a");
        REQUIRE(m.files->lookups.lookup(d, "a").has_value());
        CHECK(m.write(ino, 0, 700) == 0);
        REQUIRE(m.files->removal.unlink(d, "a").has_value());
        CHECK(m.use_of(d).bytes == 700);
        CHECK(m.use_of(d).files == 2);
        if (crash) m.volume.crash_to(m.volume.volatile_changes()), m.reopen();
        else m.files->lookups.forget(ino, 1);
        CHECK(m.use_of(d).bytes == 0);
        CHECK(m.use_of(d).files == 1);
    }
}

TEST_CASE("a refused change takes nothing of a quota") {
    mounted m;
    const auto d = m.directory(root_inode, "d");
    m.limit(d, {1000, 10});
    const auto a = m.file(d, "a");
    m.volume.fail_at(1, errc::no_space);
    CHECK(m.write(a, 0, 100) == ENOSPC);
    m.volume.fail_at(1, errc::no_space);
    CHECK(number_of(m.try_make(d, "b", S_IFREG | 0644)) == ENOSPC);
    CHECK(m.use_of(d).bytes == 0);
    CHECK(m.use_of(d).files == 2);
    testing::require_sound(m.volume);
}

TEST_CASE("names do not go from one quota's tree to another, and within one they do") {
    mounted m;
    const auto d = m.directory(root_inode, "d"), e = m.directory(root_inode, "e"), sub = m.directory(d, "sub");
    m.limit(d, {1000, 0});
    m.limit(e, {1000, 0});
    const auto a = m.file(d, "a");
    m.file(root_inode, "b");
    CHECK(m.rename(d, "a", e, "a") == EXDEV);
    CHECK(m.rename(d, "a", root_inode, "a") == EXDEV);
    CHECK(m.rename(root_inode, "b", d, "b") == EXDEV);
    CHECK(m.rename(root_inode, "b", d, "a", rename_mode::exchange) == EXDEV);
    CHECK(m.rename(d, "sub", root_inode, "sub") == EXDEV);
    CHECK(m.link(a, e, "a") == EXDEV);
    CHECK(m.link(a, root_inode, "a") == EXDEV);
    CHECK(m.link(a, sub, "a") == 0);
    CHECK(m.rename(d, "a", sub, "b") == 0);
    CHECK(m.rename(d, "sub", d, "other") == 0);
    CHECK(m.rename(root_inode, "d", root_inode, "moved") == 0);  // with its quota
    CHECK(m.rename(root_inode, "moved", e, "moved") == EXDEV);
    CHECK(m.use_of(d).files == 3);
    testing::require_sound(m.volume);
}

TEST_CASE("a quota lies neither within another's tree nor above it") {
    mounted m;
    const auto d = m.directory(root_inode, "d"), sub = m.directory(d, "sub"), deep = m.directory(sub, "deep");
    m.limit(sub, {1000, 0});
    for (const auto wrong : {root_inode, d, deep}) CHECK(number_of(m.files->quotas.set(wrong, {1, 1})) == EBUSY);
    CHECK(number_of(m.files->quotas.set(m.file(root_inode, "a"), {1, 1})) == ENOTDIR);
    m.limit(sub, {});
    REQUIRE(m.files->quotas.set(d, {1, 1}).has_value());
    CHECK(number_of(m.files->quotas.set(deep, {1, 1})) == EBUSY);  // counted yet or not
    m.count();
    CHECK(m.use_of(d).files == 3);
    CHECK(number_of(m.files->quotas.set(deep, {1, 1})) == EBUSY);
}

TEST_CASE("a quota goes with its directory, and a new one counts again what an old one had") {
    mounted m;
    const auto d = m.directory(root_inode, "d");
    m.file(d, "a");
    m.limit(d, {1000, 0});
    m.limit(d, {});
    CHECK_FALSE(m.files->quotas.get(d)->has_value());
    CHECK(m.write(m.file(d, "b"), 0, 5000) == 0);
    m.limit(d, {1000, 0});
    CHECK(m.use_of(d).bytes == 5000);
    CHECK(m.use_of(d).files == 3);
    for (const char* name : {"a", "b"}) REQUIRE(m.files->removal.unlink(d, name).has_value());
    REQUIRE(m.files->removal.remove_directory(root_inode, "d").has_value());
    CHECK(m.volume.scan(as_view("q"), {}, 10)->empty());
    CHECK_FALSE(m.files->quotas.next({})->has_value());
}

TEST_CASE("quotas are listed by their paths, and survive a remount") {
    mounted m;
    const auto d = m.directory(root_inode, "d"), e = m.directory(d, "e f"), g = m.directory(root_inode, "g");
    m.limit(e, {1000, 0});
    m.limit(g, {0, 7});
    m.reopen();
    const auto first = m.files->quotas.next({}).value().value();
    CHECK(first.directory == "/d/e f");
    CHECK(first.what.limits.bytes == 1000);
    const auto second = m.files->quotas.next(first.project).value().value();
    CHECK(second.directory == "/g");
    CHECK(second.what.limits.files == 7);
    CHECK_FALSE(m.files->quotas.next(second.project)->has_value());
}

TEST_CASE("statfs within a quota's tree tells the quota") {
    mounted m;
    const auto d = m.directory(root_inode, "d"), sub = m.directory(d, "sub");
    m.limit(d, {100 * MiB, 50});
    CHECK(m.write(m.file(sub, "a"), 0, 1000) == 0);
    const auto s = m.files->lookups.free_space(sub).value();
    CHECK(s.total == 100 * MiB);
    CHECK(s.free == 100 * MiB - 1000);
    CHECK(s.available == s.free);
    CHECK(s.files_total == 50);
    CHECK(s.files_free == 47);
    m.volume.set_network_free(1 * MiB);
    CHECK(m.files->lookups.free_space(sub)->free == s.free);
    CHECK(m.files->lookups.free_space(sub)->available == 1 * MiB);
    CHECK(m.files->lookups.free_space(root_inode)->files_total == 0);
}

TEST_CASE("who writes through the kernel's cache is stopped while the quota does not allow it") {
    mounted m;
    std::vector<inode_number> told;
    settings how;
    how.attributes_changed = [&](inode_number ino) { told.push_back(ino); };
    m.reopen(how);
    const auto d = m.directory(root_inode, "d");
    m.limit(d, {1000, 0});
    const auto ino = m.file(d, "a");
    auto f = m.files->files.open(ino, true, false).value();
    CHECK(number_of(m.files->files.write(*f, 0, bytes(1500), false)) == EDQUOT);
    CHECK(told == std::vector<inode_number>{ino});
    CHECK(number_of(m.files->files.check_room(*f)) == EDQUOT);
    CHECK(m.files->lookups.get_attributes(ino)->full);
    REQUIRE(m.files->quotas.set(d, {1500, 0}).has_value());
    CHECK(m.files->files.check_room(*f).has_value());
    CHECK_FALSE(m.files->lookups.get_attributes(ino)->full);
    REQUIRE(m.files->files.write(*f, 0, bytes(1500), false).has_value());
    const auto late = m.file(d, "b");
    auto g = m.files->files.open(late, true, false).value();
    CHECK(told.back() == late);
    CHECK(number_of(m.files->files.check_room(*g)) == EDQUOT);  // before it wrote anything
    m.files->files.release(std::move(g));
    g = m.files->files.open(ino, true, false).value();
    CHECK(m.files->files.check_room(*g).has_value());  // may write over what it has
    m.files->files.release(std::move(g));
    m.files->files.release(std::move(f));
}

TEST_CASE("who may also read is told of a refused write once, and not of a quota that is merely full") {
    mounted m;
    const auto d = m.directory(root_inode, "d");
    m.limit(d, {1000, 0});
    CHECK(m.write(m.file(d, "filler"), 0, 1000) == 0);
    auto f = m.files->files.open(m.file(d, "a"), true, false).value();
    f->reads = true;
    CHECK(m.files->files.check_room(*f).has_value());
    CHECK(number_of(m.files->files.write(*f, 0, bytes(10), false)) == EDQUOT);
    CHECK(number_of(m.files->files.check_room(*f)) == EDQUOT);
    CHECK(m.files->files.check_room(*f).has_value());
    m.files->files.release(std::move(f));
}

TEST_CASE("what one writer had no room for hinders no later one") {
    mounted m;
    const auto d = m.directory(root_inode, "d");
    m.limit(d, {1000, 0});
    const auto ino = m.file(d, "a");
    CHECK(m.write(ino, 0, 900) == 0);
    auto f = m.files->files.open(ino, true, false).value();
    CHECK(number_of(m.files->files.write(*f, 900, bytes(500), false)) == EDQUOT);
    CHECK(number_of(m.files->files.check_room(*f)) == EDQUOT);
    m.files->files.release(std::move(f));
    f = m.files->files.open(ino, true, false).value();
    CHECK(m.files->files.check_room(*f).has_value());
    m.files->files.release(std::move(f));
}

TEST_CASE("several quotas are counted in turn") {
    mounted m;
    const std::pair<const char*, int> trees[] = {{"long", 2000}, {"short", 700}};  // each many steps long
    for (const auto& [name, entries] : trees) {
        const auto top = m.directory(root_inode, name);
        for (int i = 0; i < entries; ++i) m.file(top, "f" + std::to_string(i));
        REQUIRE(m.files->quotas.set(top, {0, 10000}).has_value());
    }
    const auto is_counted = [&](const char* name) { return !m.use_of(m.files->lookups.lookup(root_inode, name).value()->ino).counting; };
    while (!is_counted("short")) REQUIRE(m.files->quotas.count().value());
    CHECK_FALSE(is_counted("long"));
    m.count();
}

TEST_CASE("quotas are set and read as extended attributes that are not listed") {
    mounted m;
    const auto d = m.directory(root_inode, "d");
    auto& x = m.files->xattrs;
    const auto get = [&](const std::string& name) { return to_string(x.get(d, "cess.quota." + name).value()); };
    CHECK(number_of(x.get(d, "cess.quota.max_bytes")) == ENODATA);
    CHECK(number_of(x.set(d, "cess.quota.max_bytes", as_view("1000"), xattr_mode::any)) == 0);
    CHECK(number_of(x.set(d, "cess.quota.max_files", as_view("5"), xattr_mode::create)) == 0);
    CHECK(number_of(x.set(d, "cess.quota.max_files", as_view("5"), xattr_mode::create)) == EEXIST);
    CHECK(get("state") == "counting");
    m.count();
    CHECK(get("state") == "counted");
    CHECK(get("max_bytes") == "1000");
    CHECK(get("max_files") == "5");
    CHECK(get("bytes") == "0");
    CHECK(get("files") == "1");
    CHECK(get("after.0").ends_with(" 0 1000 1 5 counted /d"));
    CHECK(x.list(d)->empty());
    for (const char* wrong : {"", "-1", "1K", "99999999999999999999"}) CHECK(number_of(x.set(d, "cess.quota.max_bytes", as_view(wrong), xattr_mode::any)) == EINVAL);
    CHECK(number_of(x.set(d, "cess.quota.bytes", as_view("1"), xattr_mode::any)) == EOPNOTSUPP);
    CHECK(number_of(x.set(d, "cess.other", as_view("1"), xattr_mode::any)) == EOPNOTSUPP);
    CHECK(number_of(x.remove(d, "cess.quota.max_bytes")) == 0);
    CHECK(number_of(x.remove(d, "cess.quota.max_bytes")) == ENODATA);
    CHECK(get("max_files") == "5");
    CHECK(number_of(x.remove(d, "cess.quota.max_files")) == 0);
    CHECK_FALSE(m.files->quotas.get(d)->has_value());
}

TEST_CASE("what was below a directory is counted while it changes, across crashes and to the last inode") {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        INFO("seed " << seed);
        seeded_random random(seed);
        mounted m;
        const auto top = m.directory(root_inode, "top");
        grow(m, root_inode, 1, random);
        grow(m, top, 3, random);
        std::vector<inode_number> directories;
        const auto look = [&](auto& self, inode_number in) -> void {
            directories.push_back(in);
            for (const auto& e : m.files->listings.list(in, {2}, 1000, false).value())
                if (S_ISDIR(e.type)) self(self, e.ino);
        };
        look(look, root_inode);
        REQUIRE(m.files->quotas.set(top, {1, 1}).has_value());
        REQUIRE(m.volume.sync().has_value());
        bool more = true;
        for (int i = 0; i < 2000 && (more || i < 100); ++i) {
            const auto from = directories[random.below(directories.size())], to = random.below(2) == 0 ? from : directories[random.below(directories.size())];
            const auto name = std::string(1, "fld"[random.below(3)]) + std::to_string(random.below(6)), other = std::string(1, "fld"[random.below(3)]) + std::to_string(random.below(6));
            switch (random.below(8)) {
                case 0: (void)m.rename(from, name, to, other, static_cast<rename_mode>(random.below(3))); break;
                case 1: (void)m.rename(from, name, to, name + "x"); break;
                case 2: (void)m.files->removal.unlink(from, name); break;
                case 3: (void)m.try_make(from, other, S_IFREG | 0644); break;
                case 4: (void)m.try_make(from, other, S_IFDIR | 0755); break;
                case 5:
                    if (const auto found = m.files->lookups.lookup(from, name); found && *found) {
                        if (S_ISREG((*found)->mode)) (void)m.write((*found)->ino, random.below(9000), 300), (void)m.link((*found)->ino, to, other);
                        m.files->lookups.forget((*found)->ino, 1);
                    }
                    break;
                case 6:
                    if (random.below(20) == 0) m.volume.crash(random), m.reopen();
                    break;
                default: more = m.files->quotas.count().value();
            }
            REQUIRE_NOTHROW(testing::require_sound(m.volume));
        }
        m.count();
        CHECK_FALSE(m.use_of(top).counting);
        CHECK(m.use_of(top).files > 20);
    }
}

TEST_CASE("what a quota left that ended while it was counting is swept") {
    mounted m;
    seeded_random random(1);
    grow(m, root_inode, 2, random);
    REQUIRE(m.files->quotas.set(root_inode, {1, 1}).has_value());
    REQUIRE(m.files->quotas.count().value());
    REQUIRE_FALSE(m.volume.scan(as_view("u"), {}, 10)->empty());
    REQUIRE(m.files->quotas.set(root_inode, {}).has_value());
    m.reopen();
    m.count();
    CHECK(m.volume.scan(as_view("u"), {}, 10)->empty());
    m.limit(root_inode, {0, 100000});
    CHECK(m.use_of(root_inode).files == m.volume.scan(as_view("i"), {}, 100000)->size());
}

TEST_CASE("a directory of many entries is counted in parts") {
    mounted m;
    const auto d = m.directory(root_inode, "d");
    for (int i = 0; i < 1000; ++i) m.file(d, std::to_string(i));
    REQUIRE(m.files->quotas.set(d, {0, 1}).has_value());
    REQUIRE(m.files->quotas.count().value());
    CHECK(m.use_of(d).files < 1001);
    m.count();
    CHECK(m.use_of(d).files == 1001);
}

TEST_CASE("names that move between reading a directory and counting it are counted where they are") {
    mounted m;
    const auto top = m.directory(root_inode, "top"), sub = m.directory(top, "sub");
    for (const char* name : {"leaves", "moves", "goes", "stays"}) m.file(top, name);
    m.file(sub, "comes");
    REQUIRE(m.files->quotas.set(top, {0, 100}).has_value());
    m.volume.after_scan('l', [&] {
        CHECK(m.rename(top, "leaves", root_inode, "left") == 0);
        CHECK(m.rename(top, "moves", top, "moved") == 0);
        CHECK(m.rename(sub, "comes", top, "moves") == EXDEV);  // from where nothing is counted yet
        m.file(top, "new");
        CHECK(m.rename(top, "new", top, "moves") == 0);  // a name that is about to be counted
        CHECK(m.files->removal.unlink(top, "goes").has_value());
    });
    REQUIRE(m.files->quotas.count().value());
    testing::require_sound(m.volume);
    m.count();
    testing::require_sound(m.volume);
    CHECK(m.use_of(top).files == 6);
}

TEST_CASE("no directory enters or leaves a tree while that is being counted") {
    mounted m;
    const auto top = m.directory(root_inode, "top"), sub = m.directory(top, "sub"), inner = m.directory(sub, "inner");
    const auto other = m.directory(root_inode, "other"), limited = m.directory(other, "limited");
    m.limit(limited, {1000, 0});
    REQUIRE(m.files->quotas.set(top, {1000, 0}).has_value());
    CHECK(m.rename(root_inode, "other", sub, "other") == EXDEV);  // would bring a quota
    CHECK(m.rename(other, "limited", sub, "limited") == EXDEV);
    CHECK(m.rename(sub, "inner", root_inode, "inner") == EXDEV);
    CHECK(m.rename(sub, "inner", other, "limited", rename_mode::exchange) == EXDEV);
    CHECK(m.rename(sub, "inner", sub, "renamed") == 0);
    CHECK(m.rename(root_inode, "top", other, "top") == 0);  // the whole tree
    m.count();
    CHECK(m.use_of(top).files == 3);
    CHECK(m.files->lookups.get_attributes(inner).has_value());
    CHECK(m.rename(other, "top", limited, "top") == EXDEV);
}

TEST_CASE("a thread counts while others change the tree") {
    mounted m;
    const auto top = m.directory(root_inode, "top"), other = m.directory(root_inode, "other");
    for (int i = 0; i < 240; ++i) m.file(top, "stays" + std::to_string(i));
    for (int i = 0; i < 8; ++i) m.file(top, "f" + std::to_string(i));
    m.files.reset();
    auto opened = filesystem::open(m.volume, &m.volume, {});
    REQUIRE(opened.has_value());
    m.files = std::move(*opened);
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&, t] {
            seeded_random own(static_cast<std::uint64_t>(t) + 100);
            auto& fs = *m.files;
            new_inode what;
            what.mode = S_IFREG | 0644;
            for (int i = 0; i < 4000; ++i) {
                const auto in = own.below(2) == 0 ? top : other, to = own.below(2) == 0 ? top : other;
                const auto name = "f" + std::to_string(own.below(8)), next = "f" + std::to_string(own.below(8));
                if (const auto made = fs.creation.make(in, name, what)) {
                    if (auto f = fs.files.open(made->ino, true, false)) {
                        (void)fs.files.write(**f, own.below(100), as_view("data"), false);
                        fs.files.release(std::move(*f));
                    }
                    fs.lookups.forget(made->ino, 1);
                }
                (void)fs.renaming.rename(in, name, to, next, static_cast<rename_mode>(own.below(3)));
                if (own.below(3) == 0) (void)fs.removal.unlink(to, next);
                if (t == 0 && i % 50 == 10) (void)fs.quotas.set(top, {1 * GiB, 0});
                if (t == 0 && i % 50 == 40 && i < 3900) (void)fs.quotas.set(top, {});
            }
        });
    }
    for (auto& t : threads) t.join();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (m.use_of(top).counting && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    CHECK_FALSE(m.use_of(top).counting);
    m.files.reset();
    CHECK_NOTHROW(testing::require_sound(m.volume));
}
