#include "format.hpp"
#include "support/memory_volume.hpp"
#include "support/fs_sound.hpp"

#include <core/base/random.hpp>
#include <core/wire/codec.hpp>
#include <fs/filesystem.hpp>

#include <catch2/catch.hpp>

#include <chrono>
#include <map>
#include <thread>

using namespace cess;
using namespace cess::fs;

namespace {

constexpr std::int64_t hour = 3600, day = 86400;

template <class T>
int number_of(const answer<T>& a) {
    return a ? 0 : a.error().number;
}

struct mounted {
    testing::memory_volume volume;
    std::unique_ptr<filesystem> files;
    timestamp now{1'780'000'000, 5};  // 2026-05-28 20:26:40

    explicit mounted(std::uint32_t days = 7) {
        reopen();
        REQUIRE(files->trash.set_days(days).has_value());
    }
    void reopen(caller mounter = {77, 88}) {
        files.reset();
        settings how;
        how.count_quotas = how.expire_trash = false;
        how.clock = [this] { return now; };
        how.root_owner = mounter;
        files = std::move(filesystem::open(volume, &volume, how).value());
    }
    inode_number make(inode_number in, const std::string& name, std::uint32_t mode) {
        new_inode what;
        what.mode = mode;
        const auto made = files->creation.make(in, name, what).value();
        files->lookups.forget(made.ino, 1);
        return made.ino;
    }
    inode_number file(const std::string& name, const std::string& text = "text", inode_number in = root_inode) {
        const auto ino = make(in, name, S_IFREG | 0644);
        auto f = files->files.open(ino, true, false).value();
        REQUIRE(files->files.write(*f, 0, as_view(text), false).has_value());
        files->files.release(std::move(f));
        return ino;
    }
    std::string read(inode_number ino) {
        auto f = files->files.open(ino, false, false).value();
        bytes out(100);
        const auto n = files->files.read(*f, 0, out).value();
        files->files.release(std::move(f));
        return to_string(byte_view(out).first(n));
    }
    int unlink(const std::string& name, inode_number in = root_inode) { return number_of(files->removal.unlink(in, name)); }
    int rename(inode_number from, const std::string& name, inode_number to, const std::string& new_name) {
        return number_of(files->renaming.rename(from, name, to, new_name, rename_mode::replace));
    }
    std::vector<listed_entry> list(inode_number in) { return files->listings.list(in, entry_cookie{2}, 100000, false).value(); }
    std::vector<std::string> names(inode_number in) {
        std::vector<std::string> out;
        for (const auto& e : list(in)) out.push_back(e.name);
        return out;
    }
    std::vector<std::string> trash() {  // HOUR/NAME of all that is in it
        std::vector<std::string> out;
        if (!files->trash.exists()) return out;
        for (const auto& h : list(trash_inode))
            for (const auto& e : list(h.ino)) out.push_back(h.name + "/" + e.name);
        return out;
    }
    inode_number now_in_trash() { return list(trash_inode).back().ino; }
    void expire() {
        while (files->trash.expire().value()) {}
    }
    attributes at(inode_number ino) { return files->lookups.get_attributes(ino).value(); }
};

std::string entry(inode_number in, inode_number ino, const std::string& name, const std::string& when = "2026-05-28-20") {
    return when + "/" + std::to_string(in.value) + "-" + std::to_string(ino.value) + "-" + name;
}

using strings = std::vector<std::string>;

}  // namespace

TEST_CASE("without a trash, what is deleted is gone") {
    mounted m(0);
    CHECK(!m.files->trash.exists());
    CHECK(m.files->trash.days() == 0);
    m.file("a");
    CHECK(m.unlink("a") == 0);
    CHECK(m.volume.blob_count() == 0);
    CHECK(m.trash().empty());
}

TEST_CASE("what loses its last name is in the trash, whole, and can be brought back") {
    mounted m;
    const auto d = m.make(root_inode, "d", S_IFDIR | 0711);
    const auto a = m.file("a", "kept", d);
    const auto before = m.at(a);
    m.now.seconds += 3 * hour;
    CHECK(m.unlink("a", d) == 0);
    CHECK(m.names(d).empty());
    CHECK(number_of(m.files->removal.remove_directory(root_inode, "d")) == 0);
    CHECK(m.names(root_inode).empty());
    CHECK(m.at(root_inode).nlink == 2);
    const strings both{entry(d, a, "a", "2026-05-28-23"), entry(root_inode, d, "d", "2026-05-28-23")};
    CHECK(m.trash() == both);
    m.reopen();
    CHECK(m.trash() == both);
    CHECK(m.read(a) == "kept");
    CHECK(m.at(a).nlink == 1);
    CHECK(m.at(a).mtime == before.mtime);

    const auto hour_now = m.now_in_trash();
    CHECK(m.at(hour_now).nlink == 3);
    CHECK(m.rename(hour_now, m.names(hour_now)[1], root_inode, "d2") == 0);
    CHECK(m.rename(hour_now, m.names(hour_now)[0], d, "a") == 0);
    CHECK(m.trash().empty());
    CHECK(m.at(hour_now).nlink == 2);
    CHECK(m.at(d).mode == (S_IFDIR | 0711));
    CHECK(m.at(root_inode).nlink == 3);
    CHECK(m.read(m.list(d)[0].ino) == "kept");
    CHECK(m.files->lookups.lookup(d, "..").value()->ino == root_inode);
}

TEST_CASE("what a rename replaces is in the trash") {
    mounted m;
    const auto old = m.file("a", "old"), fresh = m.file("b", "new");
    CHECK(m.rename(root_inode, "b", root_inode, "a") == 0);
    CHECK(m.trash() == strings{entry(root_inode, old, "a")});
    CHECK(m.read(old) == "old");
    const auto d = m.make(root_inode, "d", S_IFDIR | 0755), e = m.make(root_inode, "e", S_IFDIR | 0755);
    CHECK(m.rename(root_inode, "d", root_inode, "e") == 0);
    CHECK(m.trash() == strings{entry(root_inode, old, "a"), entry(root_inode, e, "e")});
    CHECK(m.at(root_inode).nlink == 3);
    CHECK(m.names(root_inode) == strings{"a", "e"});
    CHECK(m.at(d).nlink == 2);

    // From the trash over what is there: one comes and one goes, in one directory of the trash.
    CHECK(m.rename(m.now_in_trash(), m.names(m.now_in_trash())[0], root_inode, "a") == 0);
    CHECK(m.read(old) == "old");
    CHECK(m.trash() == strings{entry(root_inode, e, "e"), entry(root_inode, fresh, "a")});
    CHECK(m.list(m.now_in_trash()).size() == 2);
    m.reopen();
    CHECK(m.trash() == strings{entry(root_inode, e, "e"), entry(root_inode, fresh, "a")});
    CHECK(m.at(m.now_in_trash()).nlink == 3);
}

TEST_CASE("only the last of several names goes to the trash") {
    mounted m;
    const auto ino = m.file("a");
    REQUIRE(m.files->creation.link(ino, root_inode, "b").has_value());
    CHECK(m.unlink("a") == 0);
    CHECK(m.trash().empty());
    CHECK(m.at(ino).nlink == 1);
    CHECK(m.unlink("b") == 0);
    CHECK(m.trash() == strings{entry(root_inode, ino, "b")});
}

TEST_CASE("what is deleted in the trash is gone") {
    mounted m;
    m.file("a");
    const auto open = m.file("b");
    CHECK(m.unlink("a") == 0);
    CHECK(m.unlink("b") == 0);
    m.make(root_inode, "d", S_IFDIR | 0755);
    CHECK(number_of(m.files->removal.remove_directory(root_inode, "d")) == 0);
    REQUIRE(m.files->lookups.lookup(m.now_in_trash(), m.names(m.now_in_trash())[1]).value()->ino == open);
    const auto hour_now = m.now_in_trash();
    CHECK(number_of(m.files->removal.remove_directory(trash_inode, m.names(trash_inode)[0])) == ENOTEMPTY);
    for (const auto& e : m.list(hour_now))
        CHECK(number_of(S_ISDIR(e.type) ? m.files->removal.remove_directory(hour_now, e.name) : m.files->removal.unlink(hour_now, e.name)) == 0);
    CHECK(m.volume.blob_count() == 1);  // somebody has it open
    CHECK(m.read(open) == "text");
    m.files->lookups.forget(open, 1);
    CHECK(m.volume.blob_count() == 0);
    CHECK(number_of(m.files->removal.remove_directory(trash_inode, m.names(trash_inode)[0])) == 0);
    CHECK(m.names(trash_inode).empty());
    m.file("a");
    CHECK(m.unlink("a") == 0);  // into a new directory of the same hour
    CHECK(m.trash().size() == 1);
}

TEST_CASE("a deletion into the trash is one change") {
    for (const bool replaces : {false, true}) {
        mounted m;
        m.file("before");
        CHECK(m.unlink("before") == 0);  // the hour's directory is there
        const auto a = m.file("a"), b = m.file("b");
        REQUIRE(m.volume.sync().has_value());
        CHECK((replaces ? m.rename(root_inode, "b", root_inode, "a") : m.unlink("a")) == 0);
        CHECK(m.volume.volatile_changes() == 1);
        m.volume.crash_to(0);
        m.reopen();
        CHECK(m.names(root_inode) == strings{"a", "b"});
        CHECK(m.trash().size() == 1);
        CHECK(m.at(b).nlink == 1);
        CHECK(m.at(a).nlink == 1);
    }
}

TEST_CASE("a refused deletion leaves the name, and nothing in the trash") {
    mounted m;
    m.file("before");
    CHECK(m.unlink("before") == 0);
    m.file("a");
    m.volume.fail_at(1, errc::no_space);
    CHECK(m.unlink("a") == ENOSPC);
    CHECK(m.names(root_inode) == strings{"a"});
    CHECK(m.trash().size() == 1);
    CHECK(m.unlink("a") == 0);
    CHECK(m.trash().size() == 2);
}

TEST_CASE("the trash keeps things for its days, and an hour at most longer") {
    mounted m(2);
    for (int i = 0; i < 700; ++i) m.file("f" + std::to_string(i));
    for (int i = 0; i < 700; ++i) REQUIRE(m.unlink("f" + std::to_string(i)) == 0);
    m.now.seconds += hour;
    const auto late = m.file("late");
    CHECK(m.unlink("late") == 0);
    CHECK(m.list(trash_inode).size() == 2);
    m.now.seconds = 1'780'000'000 + 2 * day;
    m.expire();
    CHECK(m.trash().size() == 701);
    m.now.seconds += hour - 26 * 60 - 40;  // 21:00:00
    std::size_t steps = 0;
    while (m.files->trash.expire().value()) ++steps;
    CHECK(steps == 3);
    CHECK(m.trash() == strings{entry(root_inode, late, "late", "2026-05-28-21")});
    CHECK(m.volume.blob_count() == 1);
    CHECK(m.volume.scan(as_view("o"), {}, 10)->empty());
    m.reopen();
    CHECK(m.files->trash.days() == 2);
    m.now.seconds += hour;
    m.expire();
    CHECK(m.names(trash_inode).empty());
    CHECK(m.volume.blob_count() == 0);
}

TEST_CASE("what expires is told of, each name once, and nothing that somebody else removed") {
    mounted m(1);
    std::vector<std::string> told;
    m.files->set_name_removed([&](inode_number directory, const std::string& name, inode_number ino) {
        told.push_back(std::to_string(directory.value) + " " + name + " " + std::to_string(ino.value));
    });
    const auto a = m.file("a"), b = m.file("b");
    const auto d = m.make(root_inode, "d", S_IFDIR | 0755);
    for (const auto* name : {"a", "b"}) CHECK(m.unlink(name) == 0);
    REQUIRE(m.files->removal.remove_directory(root_inode, "d").has_value());
    const auto h = m.now_in_trash();
    const auto name_of = [](std::string_view name, inode_number ino) { return "1-" + std::to_string(ino.value) + "-" + std::string(name); };
    REQUIRE(m.files->removal.unlink(h, name_of("b", b)).has_value());
    CHECK(told.empty());
    const auto hour_name = m.names(trash_inode).back();
    REQUIRE(m.files->trash.set_days(0).has_value());
    m.expire();
    const auto in_hour = std::to_string(h.value) + " ";
    CHECK(told == strings{in_hour + name_of("a", a) + " " + std::to_string(a.value), in_hour + name_of("d", d) + " " + std::to_string(d.value),
                          "2 " + hour_name + " " + std::to_string(h.value)});
    m.files->set_name_removed({});
    REQUIRE(m.files->trash.set_days(1).has_value());
    m.file("c");
    CHECK(m.unlink("c") == 0);
    REQUIRE(m.files->trash.set_days(0).has_value());
    m.expire();
    CHECK(told.size() == 3);
}

TEST_CASE("what expires and has another name is not told of: the kernel would take it for gone") {
    mounted m(1);
    int told = 0;
    m.files->set_name_removed([&](inode_number, const std::string&, inode_number) { ++told; });
    const auto a = m.file("a");
    CHECK(m.unlink("a") == 0);
    REQUIRE(m.files->creation.link(a, root_inode, "kept").has_value());
    REQUIRE(m.files->trash.set_days(0).has_value());
    m.expire();
    CHECK(told == 1);  // the hour
    CHECK(m.names(root_inode).back() == "kept");
}

TEST_CASE("a trash that is turned off empties itself, and can be turned on again") {
    mounted m;
    m.file("a");
    CHECK(m.unlink("a") == 0);
    REQUIRE(m.files->trash.set_days(0).has_value());
    m.file("b");
    CHECK(m.unlink("b") == 0);
    CHECK(m.trash().size() == 1);
    m.expire();
    CHECK(m.names(trash_inode).empty());
    CHECK(m.volume.blob_count() == 0);
    REQUIRE(m.files->trash.set_days(1).has_value());
    m.file("c");
    CHECK(m.unlink("c") == 0);
    CHECK(m.trash().size() == 1);
}

TEST_CASE("expiry happens by itself") {
    testing::memory_volume volume;
    timestamp now{1'780'000'000, 0};
    settings how;
    how.clock = [&] { return now; };
    {
        auto files = std::move(filesystem::open(volume, &volume, how).value());
        REQUIRE(files->trash.set_days(1).has_value());
        new_inode what;
        what.mode = S_IFREG | 0644;
        files->lookups.forget(files->creation.make(root_inode, "a", what).value().ino, 1);
        REQUIRE(files->removal.unlink(root_inode, "a").has_value());
    }
    now.seconds += 3 * day;
    const auto files = std::move(filesystem::open(volume, &volume, how).value());
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!files->listings.list(trash_inode, entry_cookie{2}, 1, false).value().empty()) {
        REQUIRE(std::chrono::steady_clock::now() < until);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

TEST_CASE("the trash is its owner's, and out of the tree's sight") {
    mounted m;
    const auto a = m.file("a");
    CHECK(m.unlink("a") == 0);
    CHECK(m.names(root_inode).empty());
    for (const auto ino : {trash_inode, m.now_in_trash()}) {
        CHECK(m.at(ino).mode == (S_IFDIR | 0700));
        CHECK(m.at(ino).uid == 77);
        CHECK(m.at(ino).is_trash);
        CHECK(m.files->trash.holds(ino).value());
    }
    CHECK(!m.at(a).is_trash);
    CHECK(!m.at(root_inode).is_trash);
    CHECK(!m.files->trash.holds(root_inode).value());
    const auto d = m.make(root_inode, "d", S_IFDIR | 0755);
    CHECK(!m.files->trash.holds(d).value());
    CHECK(number_of(m.files->removal.remove_directory(root_inode, "d")) == 0);
    CHECK(m.files->trash.holds(d).value());
    CHECK(m.files->lookups.lookup(trash_inode, "..").value()->ino == root_inode);
}

TEST_CASE("each change of the trash has a time of its own, by which the kernel knows what it listed") {
    mounted m;
    auto last = m.at(trash_inode).mtime;
    m.file("a");
    CHECK(m.unlink("a") == 0);
    CHECK(m.at(trash_inode).mtime > last);
    last = m.at(m.now_in_trash()).mtime;
    m.file("b");
    CHECK(m.unlink("b") == 0);
    CHECK(m.at(m.now_in_trash()).mtime > last);
}

TEST_CASE("long names are cut in the trash") {
    mounted m;
    const std::string name(255, 'n');
    const auto a = m.file(name);
    CHECK(m.unlink(name) == 0);
    CHECK(m.names(m.now_in_trash())[0] == ("1-" + std::to_string(a.value) + "-" + name).substr(0, 255));
}

TEST_CASE("what is in the trash counts in its quota until it is gone") {
    mounted m(1);
    const auto d = m.make(root_inode, "d", S_IFDIR | 0755);
    REQUIRE(m.files->quotas.set(d, {1000, 10}).has_value());
    while (m.files->quotas.count().value()) {}
    m.file("a", std::string(600, 'a'), d);
    CHECK(m.unlink("a", d) == 0);
    testing::require_sound(m.volume);
    CHECK(m.files->quotas.get(d).value()->bytes == 600);
    // Back within the quota's tree by a rename; elsewhere it would be counted wrongly.
    CHECK(m.rename(m.now_in_trash(), m.names(m.now_in_trash())[0], root_inode, "a") == EXDEV);
    CHECK(m.rename(m.now_in_trash(), m.names(m.now_in_trash())[0], d, "a") == 0);
    CHECK(m.unlink("a", d) == 0);
    m.now.seconds += 2 * day;
    m.expire();
    CHECK(m.files->quotas.get(d).value()->bytes == 0);
    CHECK(m.files->quotas.get(d).value()->files == 1);
    testing::require_sound(m.volume);

    // A directory takes its quota along.
    CHECK(number_of(m.files->removal.remove_directory(root_inode, "d")) == 0);
    CHECK(m.files->quotas.next({}).value()->directory.starts_with("/.trash/2026-05-30-20/1-"));
    m.now.seconds += 2 * day;
    m.expire();
    CHECK(!m.files->quotas.next({}).value());
}

TEST_CASE("the days are an attribute of the root, and the name is free to be taken only before") {
    mounted m(0);
    const auto get = [&] { return to_string(m.files->xattrs.get(root_inode, trash_attribute).value()); };
    CHECK(get() == "0");
    CHECK(m.files->xattrs.list(root_inode).value().empty());
    m.file(".trash");
    CHECK(number_of(m.files->xattrs.set(root_inode, trash_attribute, as_view("3"), xattr_mode::any)) == EEXIST);
    CHECK(m.unlink(".trash") == 0);
    REQUIRE(m.files->xattrs.set(root_inode, trash_attribute, as_view("3"), xattr_mode::any).has_value());
    CHECK(get() == "3");
    m.reopen();
    CHECK(get() == "3");
    for (const auto* const wrong : {"", "x", "3x", "-1", "36501", "99999999999999999999"})
        CHECK(number_of(m.files->xattrs.set(root_inode, trash_attribute, as_view(wrong), xattr_mode::any)) == EINVAL);
    const auto a = m.file("a");
    CHECK(number_of(m.files->xattrs.set(a, trash_attribute, as_view("3"), xattr_mode::any)) == EOPNOTSUPP);
    CHECK(number_of(m.files->xattrs.get(a, trash_attribute)) == ENODATA);
    REQUIRE(m.files->xattrs.remove(root_inode, trash_attribute).has_value());
    CHECK(get() == "0");
}

namespace {

// Every inode has the names that it counts, in the tree or in the trash, and every directory the entries.
void check_names(testing::memory_volume& volume) {
    constexpr std::size_t everything = 100000;
    std::map<std::uint64_t, std::vector<std::uint64_t>> parents;
    std::map<std::uint64_t, std::uint64_t> entries, directories;
    const auto rows = volume.scan(as_view("d"), {}, everything).value();
    for (const auto& row : rows) {
        const auto in = format::last_number(byte_view(row.key).first(9)).value();
        const auto e = wire::decode<format::dirent_record>(row.value).value();
        parents[e.ino.value].push_back(in);
        ++entries[in];
        if (S_ISDIR(e.type)) ++directories[in];
    }
    CHECK(volume.scan(as_view("l"), {}, everything).value().size() == rows.size());
    CHECK(volume.scan(as_view("o"), {}, everything).value().empty());
    for (const auto& row : volume.scan(as_view("i"), {}, everything).value()) {
        const auto ino = format::last_number(row.key).value();
        const auto r = wire::decode<format::inode_record>(row.value).value();
        CAPTURE(ino);
        if (!r.is_directory()) {
            CHECK((r.nlink > 0 && r.nlink == parents[ino].size()));
            continue;
        }
        CHECK(r.entries == entries[ino]);
        CHECK(r.nlink == 2 + directories[ino]);
        if (ino == root_inode.value || ino == trash_inode.value) CHECK(parents[ino].empty());
        else CHECK(parents[ino] == std::vector<std::uint64_t>{r.parent.value});
    }
}

class random_life {
public:
    random_life(mounted& in, std::uint64_t seed) : m(in), m_random(seed) {}

    void step() {
        const auto from = directory(), to = directory();
        const auto name = this->name(), other = this->name();
        switch (m_random.below(8)) {
            case 0: (void)make(from, name, S_IFREG | 0644); break;
            case 1: (void)make(from, name, S_IFDIR | 0755); break;
            case 2:
            case 3: (void)m.unlink(name, from); break;
            case 4: (void)m.files->removal.remove_directory(from, name); break;
            case 5: (void)m.rename(from, name, to, other); break;
            case 6: link(from, name, to, other); break;
            case 7: touch_trash(to, other); break;
        }
    }
    void crash() {
        if (m_random.below(2) == 0) REQUIRE(m.volume.sync().has_value());
        for (std::uint64_t i = m_random.below(5); i > 0; --i) step();
        m.files.reset();
        m.volume.crash(m_random);
        m.reopen();
    }
    void pass_time() { m.now.seconds += static_cast<std::int64_t>(m_random.below(7200)); }

private:
    std::string name() { return std::string(1, static_cast<char>('a' + m_random.below(5))); }
    inode_number directory() {
        auto at = root_inode;
        for (std::uint64_t depth = m_random.below(3); depth > 0; --depth)
            for (const auto& e : m.list(at))
                if (S_ISDIR(e.type) && m_random.below(2) == 0) {
                    at = e.ino;
                    break;
                }
        return at;
    }
    bool make(inode_number in, const std::string& name, std::uint32_t mode) {
        new_inode what;
        what.mode = mode;
        const auto made = m.files->creation.make(in, name, what);
        if (made) m.files->lookups.forget(made->ino, 1);
        return made.has_value();
    }
    void link(inode_number from, const std::string& name, inode_number to, const std::string& other) {
        const auto found = m.files->lookups.lookup(from, name);
        if (!found || !*found) return;
        if (const auto linked = m.files->creation.link((*found)->ino, to, other)) m.files->lookups.forget(linked->ino, 1);
        m.files->lookups.forget((*found)->ino, 1);
    }
    void touch_trash(inode_number to, const std::string& name) {
        const auto hours = m.list(trash_inode);
        if (hours.empty()) return;
        const auto in = hours[m_random.below(hours.size())];
        const auto all = m.list(in.ino);
        if (all.empty()) return (void)m.files->removal.remove_directory(trash_inode, in.name);
        const auto& e = all[m_random.below(all.size())];
        if (m_random.below(3) > 0) (void)m.rename(in.ino, e.name, to, name);
        else if (S_ISDIR(e.type)) (void)m.files->removal.remove_directory(in.ino, e.name);
        else (void)m.unlink(e.name, in.ino);
    }

    mounted& m;
    seeded_random m_random;
};

}  // namespace

TEST_CASE("through random deletions, restorations and crashes every inode keeps its names") {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        mounted m(1);
        REQUIRE(m.volume.sync().has_value());
        random_life life(m, seed);
        for (int round = 0; round < 12; ++round) {
            for (int i = 0; i < 40; ++i) life.step();
            life.pass_time();
            if (round % 4 == 3) m.expire();
            life.crash();
            check_names(m.volume);
        }
        m.now.seconds += 3 * day;
        m.expire();
        CHECK(m.names(trash_inode).empty());
        check_names(m.volume);
    }
}

TEST_CASE("threads delete into one trash while it expires") {
    mounted m(1);
    std::vector<std::thread> threads;
    std::atomic<int> failed{0};
    constexpr int each = 300;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            new_inode what;
            what.mode = S_IFREG | 0644;
            for (int i = 0; i < each; ++i) {
                const auto name = std::to_string(t) + "-" + std::to_string(i);
                const auto made = m.files->creation.make(root_inode, name, what);
                if (!made || !m.files->removal.unlink(root_inode, name)) ++failed;
                if (made) m.files->lookups.forget(made->ino, 1);
            }
        });
    threads.emplace_back([&] {
        for (std::uint32_t i = 0; i < 300; ++i) {  // its directory goes while they look for it
            if (!m.files->trash.set_days(i % 2)) ++failed;
            if (!m.files->trash.expire()) ++failed;
        }
    });
    for (auto& t : threads) t.join();
    CHECK(failed == 0);
    CHECK(m.names(root_inode).empty());
    CHECK(m.at(root_inode).nlink == 2);
    check_names(m.volume);
    REQUIRE(m.files->trash.set_days(0).has_value());
    m.expire();
    CHECK(m.names(trash_inode).empty());
    CHECK(m.at(trash_inode).nlink == 2);
    m.reopen();
    CHECK(m.names(trash_inode).empty());
}

TEST_CASE("all of the trash is one user's, whoever mounts") {
    mounted m;
    m.reopen({5, 6});
    m.file("a");
    REQUIRE(m.unlink("a") == 0);
    const auto hours = m.list(trash_inode);
    REQUIRE(hours.size() == 1);
    const auto at = m.files->lookups.get_attributes(hours[0].ino).value();
    CHECK(at.uid == 77);
    CHECK(at.gid == 88);
}

TEST_CASE("no quota begins in the trash, where a full one would hinder deleting") {
    mounted m;
    m.file("a");
    REQUIRE(m.unlink("a") == 0);
    CHECK(number_of(m.files->quotas.set(trash_inode, {1 << 20, 1})) == EPERM);
    CHECK(number_of(m.files->quotas.set(m.list(trash_inode)[0].ino, {1 << 20, 1})) == EPERM);
    CHECK(number_of(m.files->quotas.set(root_inode, {1 << 20, 10})) == 0);
}

TEST_CASE("what cannot be removed from the trash hinders nothing else from going") {
    mounted m;
    const auto d = m.make(root_inode, "d", S_IFDIR | 0755);
    m.file("a");
    REQUIRE(m.files->removal.remove_directory(root_inode, "d").has_value());
    REQUIRE(m.unlink("a") == 0);
    m.make(d, "late", S_IFREG | 0644);  // no mount lets anybody
    m.now.seconds += 8 * day;
    CHECK(number_of(m.files->trash.expire()) == ENOTEMPTY);
    CHECK(m.trash().size() == 1);
}
