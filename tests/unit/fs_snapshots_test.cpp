#include "mount_tree.hpp"
#include "support/memory_volume.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <map>
#include <set>
#include <thread>

using namespace cess;
using namespace cess::fs;

namespace {

// Snapshots of a volume in memory. Open ones are counted, may be bounded, and can be made to wait.
class memory_snapshots final : public snapshot_source {
public:
    explicit memory_snapshots(testing::memory_volume& of) : m_of(of) {}

    result<std::vector<volume::snapshot_info>> list() override {
        std::vector<volume::snapshot_info> out;
        {
            const std::lock_guard lock(m_mutex);
            for (const auto& [name, data] : m_all) out.push_back({name, 1000, data->record().head.sequence});
        }
        if (++listed == 1 && list_gate.valid()) list_gate.wait();
        return out;
    }
    result<std::shared_ptr<volume::reader>> open(const std::string& name) override {
        ++opened;
        if (gate.valid()) gate.wait();
        const std::lock_guard lock(m_mutex);
        const auto it = m_all.find(name);
        if (it == m_all.end()) return error(errc::not_found, name);
        if (open_now == room) return error(errc::exhausted, "no memory");
        ++open_now;
        return std::shared_ptr<volume::reader>(it->second.get(), [this, keep = it->second](volume::reader*) { --open_now; });
    }
    result<void> create(const std::string& name) override {
        volume::change one;  // as the engine does: a snapshot is a change of its own
        one.put(to_bytes("snapshot"), to_bytes(name));
        TRY(const auto at, m_of.apply(one));
        (void)at;
        const std::lock_guard lock(m_mutex);
        if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") != name.npos) return error(errc::invalid, name);
        if (!m_all.emplace(name, m_of.frozen()).second) return error(errc::exists, name);
        ++made;
        return {};
    }
    result<void> remove(const std::string& name) override {
        const std::lock_guard lock(m_mutex);
        if (name == cloned) return error(errc::busy, name);
        m_all.erase(name);
        return {};
    }

    std::string cloned;
    int room = 1000;
    std::atomic<int> opened{0}, open_now{0}, listed{0}, made{0};
    std::shared_future<void> gate, list_gate;  // of opening; of the first list

private:
    testing::memory_volume& m_of;
    std::mutex m_mutex;
    std::map<std::string, std::shared_ptr<testing::memory_volume>> m_all;
};

struct shown {
    testing::memory_volume volume;
    memory_snapshots source{volume};
    std::unique_ptr<filesystem> files;
    std::unique_ptr<mount_tree> tree;

    shown() { mount(); }
    void mount(bool read_only = false, std::size_t open_max = 3, const kernel_state& held = {}) {
        tree.reset();
        files.reset();
        auto opened = filesystem::open(volume, &volume, {}, held);
        REQUIRE(opened.has_value());
        files = std::move(*opened);
        tree = std::make_unique<mount_tree>(*files);
        tree->show(source, {}, open_max, read_only);
    }
    answer<attributes> make(inode_number in, const std::string& name, std::uint32_t mode) {
        new_inode what;
        what.mode = mode;
        return tree->make(in, name, what);
    }
    attributes find(inode_number in, const std::string& name) {
        const auto found = tree->lookup(in, name);
        INFO(name << " errno " << (found ? 0 : found.error().number));
        REQUIRE((found && *found));
        return **found;
    }
    inode_number snapshot(const std::string& name) { return find(snapshots_directory, name).ino; }
    void take(const std::string& name) { REQUIRE(make(snapshots_directory, name, S_IFDIR | 0755).has_value()); }
    void write(const std::string& name, const std::string& text) {
        auto ino = tree->lookup(root_inode, name);
        REQUIRE(ino.has_value());
        const auto at = *ino ? (*ino)->ino : make(root_inode, name, S_IFREG | 0644)->ino;
        auto file = tree->open(at, true, true, false);
        REQUIRE(file.has_value());
        REQUIRE(tree->write(**file, 0, as_view(text), false).has_value());
    }
    std::string read(inode_number ino) {
        auto file = tree->open(ino, false, false, false);
        REQUIRE(file.has_value());
        return read(**file);
    }
    std::string read(mounted_file& file) {
        bytes out(100);
        const auto n = tree->read(file, 0, out);
        REQUIRE(n.has_value());
        return to_string(byte_view(out).first(*n));
    }
    std::vector<std::string> names(inode_number directory) {
        std::vector<std::string> out;
        const auto entries = tree->list(directory, {}, 1000, false);
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

TEST_CASE("a number says which snapshot and which inode it is of, and no two are equal") {
    std::set<std::uint64_t> seen{snapshots_directory.value};
    for (const std::uint64_t n : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{4097}, snapshot_number_end.value - 1})
        for (const std::uint64_t ino : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{4999}, snapshot_inode_end.value - 1}) {
            const auto at = outward({n}, {ino});
            CHECK(seen.insert(at.value).second);
            CHECK(is_aside(at));
            CHECK(inward(at).snapshot.value == n);
            CHECK(inward(at).ino.value == ino);
            CHECK(is_snapshot_root(at) == (ino == 1));
        }
    CHECK(inward({77}).snapshot.value == 0);
    CHECK(inward({77}).ino.value == 77);
    CHECK_FALSE(is_snapshot_root(snapshots_directory));
    CHECK(inward(snapshots_directory).snapshot.value == 0);
}

TEST_CASE("a snapshot's number is kept, and after a crash and a deletion not given out again") {
    testing::memory_volume volume;
    const auto numbers_of = [&](const std::vector<sequence_number>& all, bool keep = true) {
        auto files = filesystem::open(volume, &volume, {});
        REQUIRE(files.has_value());
        const auto out = (*files)->number_snapshots(all, keep);
        REQUIRE(out.has_value());
        volume.crash_to(0);
        return *out;
    };
    using numbers = std::vector<snapshot_number>;
    CHECK(numbers_of({{10}, {20}}) == numbers{{1}, {2}});
    CHECK(numbers_of({{20}}) == numbers{{2}});
    CHECK(numbers_of({{20}, {30}}) == numbers{{2}, {3}});
    CHECK(numbers_of({}) == numbers{});
    CHECK(numbers_of({{40}}, false) == numbers{{4}});  // a read-only mount changes nothing
    CHECK(numbers_of({{50}, {60}}) == numbers{{4}, {5}});
    CHECK(volume.scan(as_view("n"), {}, 100)->size() == 3);  // nothing is left of those that are gone
}

TEST_CASE("every snapshot is entered as it was, whatever becomes of the head") {
    shown m;
    m.write("a", "one");
    m.take("first");
    m.write("a", "two");
    m.write("b", "new");
    m.take("second");
    REQUIRE(m.tree->unlink(root_inode, "a").has_value());
    CHECK(m.names(snapshots_directory) == std::vector<std::string>{".", "..", "first", "second"});
    CHECK(m.read(m.find(m.snapshot("first"), "a").ino) == "one");
    CHECK(m.read(m.find(m.snapshot("second"), "a").ino) == "two");
    CHECK(m.names(m.snapshot("first")) == std::vector<std::string>{".", "..", "a"});
    CHECK(m.names(m.snapshot("second")) == std::vector<std::string>{".", "..", "a", "b"});
    CHECK(m.names(root_inode) == std::vector<std::string>{".", "..", "b"});
    CHECK(m.find(snapshots_directory, "first").ctime.seconds == 1000);
    CHECK(m.find(m.snapshot("first"), "..").ino == snapshots_directory);
    CHECK(m.find(snapshots_directory, "..").ino == root_inode);
    CHECK(m.tree->list(m.snapshot("first"), {}, 10, false)->at(1).ino == snapshots_directory);
}

TEST_CASE("the directory of snapshots is found by its name, not listed, and the name is reserved") {
    shown m;
    m.write("a", "text");
    CHECK(m.names(root_inode) == std::vector<std::string>{".", "..", "a"});
    const auto there = m.find(root_inode, ".snapshots");
    CHECK(there.ino == snapshots_directory);
    CHECK(there.is_directory());
    CHECK(number_of(m.make(root_inode, ".snapshots", S_IFDIR | 0755)) == EEXIST);
    CHECK(number_of(m.make(root_inode, ".snapshots", S_IFREG | 0644)) == EEXIST);
    CHECK(number_of(m.tree->link(m.find(root_inode, "a").ino, root_inode, ".snapshots")) == EEXIST);
    CHECK(number_of(m.tree->unlink(root_inode, ".snapshots")) == EISDIR);
    CHECK(number_of(m.tree->remove_directory(root_inode, ".snapshots")) == EPERM);
    CHECK(number_of(m.tree->rename(root_inode, "a", root_inode, ".snapshots", rename_mode::replace)) == EPERM);
    CHECK(number_of(m.tree->rename(root_inode, ".snapshots", root_inode, "b", rename_mode::replace)) == EPERM);
    const auto inner = m.make(root_inode, "d", S_IFDIR | 0755)->ino;
    CHECK(m.make(inner, ".snapshots", S_IFREG | 0644).has_value());  // elsewhere it is a name as any other
}

TEST_CASE("an entry of that name from before wins") {
    shown m;
    m.tree = std::make_unique<mount_tree>(*m.files);
    const auto old = m.make(root_inode, ".snapshots", S_IFREG | 0644);
    REQUIRE(old.has_value());
    m.mount();
    CHECK(m.find(root_inode, ".snapshots").ino == old->ino);
    CHECK(m.tree->unlink(root_inode, ".snapshots").has_value());
    CHECK(number_of(m.tree->get_attributes(snapshots_directory)) == ESTALE);
}

TEST_CASE("snapshots are read-only, and nothing passes between trees") {
    shown m;
    m.write("a", "text");
    m.take("s");
    const auto root = m.snapshot("s"), a = m.find(root, "a").ino, live = m.find(root_inode, "a").ino;
    CHECK(a != live);
    CHECK(number_of(m.make(root, "b", S_IFREG | 0644)) == EROFS);
    CHECK(number_of(m.tree->unlink(root, "a")) == EROFS);
    CHECK(number_of(m.tree->rename(root, "a", root, "b", rename_mode::replace)) == EROFS);
    CHECK(number_of(m.tree->rename(root, "a", root_inode, "b", rename_mode::replace)) == EXDEV);
    CHECK(number_of(m.tree->rename(root_inode, "a", root, "b", rename_mode::replace)) == EXDEV);
    CHECK(number_of(m.tree->link(a, root_inode, "b")) == EXDEV);
    CHECK(number_of(m.tree->open(a, true, false, false)) == EROFS);
    CHECK(number_of(m.tree->set_attributes(a, {})) == EROFS);
    CHECK(number_of(m.tree->set_xattr(a, "user.x", as_view("v"), xattr_mode::any, false)) == EROFS);
    CHECK(number_of(m.make(snapshots_directory, "file", S_IFREG | 0644)) == EPERM);
    CHECK(number_of(m.tree->set_attributes(snapshots_directory, {})) == EPERM);
    auto from = m.tree->open(a, false, false, false);
    auto to = m.tree->open(live, true, false, false);
    REQUIRE((from && to));
    CHECK(number_of(m.tree->copy(**from, 0, **to, 0, 4)) == EXDEV);
}

TEST_CASE("taking and deleting snapshots answers what mkdir and rmdir should") {
    shown m;
    m.take("s");
    CHECK(number_of(m.make(snapshots_directory, "s", S_IFDIR | 0755)) == EEXIST);
    CHECK(number_of(m.make(snapshots_directory, "No Name", S_IFDIR | 0755)) == EINVAL);
    CHECK(number_of(m.make(snapshots_directory, std::string(300, 'x'), S_IFDIR | 0755)) == ENAMETOOLONG);
    CHECK(number_of(m.tree->remove_directory(snapshots_directory, "none")) == ENOENT);
    m.source.cloned = "s";
    CHECK(number_of(m.tree->remove_directory(snapshots_directory, "s")) == EBUSY);
    m.source.cloned.clear();
    m.mount(true);
    CHECK(number_of(m.make(snapshots_directory, "t", S_IFDIR | 0755)) == EROFS);
    CHECK(number_of(m.tree->remove_directory(snapshots_directory, "s")) == EROFS);
    m.mount();
    CHECK(m.tree->remove_directory(snapshots_directory, "s").has_value());
    CHECK_FALSE(*m.tree->lookup(snapshots_directory, "s"));
}

TEST_CASE("what the kernel holds back is written back before a snapshot is taken") {
    shown m;
    m.write("a", "old");
    m.tree->snapshots()->set_write_back_all([&] { m.write("a", "dirty"); });
    m.take("s");
    CHECK(m.read(m.find(m.snapshot("s"), "a").ino) == "dirty");
}

TEST_CASE("numbers are the same after a remount, and differ between all trees") {
    shown m;
    for (int i = 0; i < 30; ++i) m.write("f" + std::to_string(i), "x");
    std::map<std::string, std::uint64_t> before;
    const auto walk = [&] {
        std::map<std::string, std::uint64_t> numbers;
        for (const std::string name : {"one", "two", "three", "four", "five"}) {
            const auto root = m.snapshot(name);
            numbers[name] = root.value;
            for (int i = 0; i < 30; ++i) numbers[name + "/" + std::to_string(i)] = m.find(root, "f" + std::to_string(i)).ino.value;
        }
        return numbers;
    };
    for (const std::string name : {"one", "two", "three", "four", "five"}) m.take(name);
    before = walk();
    std::set<std::uint64_t> all{snapshots_directory.value, root_inode.value};
    for (const auto& [name, n] : before) CHECK(all.insert(n).second);
    for (int i = 0; i < 30; ++i) CHECK(all.insert(m.find(root_inode, "f" + std::to_string(i)).ino.value).second);
    m.mount();
    CHECK(walk() == before);
}

TEST_CASE("a few are open at once, and who is closed is opened again by the number of its inode") {
    shown m;
    std::vector<inode_number> files;
    for (int i = 0; i < 20; ++i) {
        m.write("a", std::to_string(i));
        m.take("s" + std::to_string(i));
        files.push_back(m.find(m.snapshot("s" + std::to_string(i)), "a").ino);
        CHECK(m.source.open_now <= 3);
    }
    for (int i = 0; i < 20; ++i) CHECK(m.read(files[static_cast<std::size_t>(i)]) == std::to_string(i));
    CHECK(m.source.open_now == 3);
    const int before = m.source.opened;
    for (int i = 0; i < 20; ++i) CHECK(m.tree->get_attributes(m.snapshot("s" + std::to_string(i))).has_value());
    CHECK(m.source.opened == before);  // what stat(2) of a snapshot's root shows is remembered
}

TEST_CASE("an open file keeps its snapshot open; with too many of them no other is entered, until one is closed") {
    shown m;
    std::vector<inode_number> inodes;
    for (int i = 0; i < 4; ++i) {
        m.write("a", std::to_string(i));
        m.take("s" + std::to_string(i));
        inodes.push_back(m.find(m.snapshot("s" + std::to_string(i)), "a").ino);
    }
    std::vector<std::unique_ptr<mounted_file>> open;
    for (std::size_t i = 0; i < 3; ++i) open.push_back(std::move(*m.tree->open(inodes[i], false, false, false)));
    CHECK(number_of(m.tree->open(inodes[3], false, false, false)) == ENFILE);
    CHECK(m.read(*open[0]) == "0");
    open.pop_back();
    CHECK(m.read(inodes[3]) == "3");
    CHECK(m.read(*open[0]) == "0");
    CHECK(m.source.open_now == 3);
}

TEST_CASE("where memory is short, fewer are open") {
    shown m;
    m.source.room = 1;
    m.write("a", "x");
    for (const std::string name : {"one", "two"}) m.take(name);
    const auto one = m.find(m.snapshot("one"), "a").ino;
    CHECK(m.read(m.find(m.snapshot("two"), "a").ino) == "x");
    auto held = m.tree->open(one, false, false, false);
    REQUIRE(held.has_value());
    CHECK(number_of(m.tree->lookup(m.snapshot("two"), "a")) == ENFILE);
}

TEST_CASE("a snapshot that was deleted while it is in use is stale, and its name free for another") {
    shown m;
    m.write("a", "old");
    m.take("s");
    const auto root = m.snapshot("s"), a = m.find(root, "a").ino;
    auto held = m.tree->open(a, false, false, false);
    REQUIRE(held.has_value());
    REQUIRE(m.tree->remove_directory(snapshots_directory, "s").has_value());
    bytes out(10);
    CHECK(number_of(m.tree->read(**held, 0, out)) == ESTALE);
    CHECK(number_of(m.tree->get_attributes(root)) == ESTALE);
    CHECK(number_of(m.tree->get_attributes(a)) == ESTALE);
    CHECK(number_of(m.tree->lookup(root, "a")) == ESTALE);
    CHECK(number_of(m.tree->list(root, {}, 10, false)) == ESTALE);
    m.tree->forget(a, 1);
    held->reset();
    CHECK(m.source.open_now == 0);
    m.write("a", "new");
    m.take("s");
    CHECK(m.snapshot("s") != root);
    CHECK(m.read(m.find(m.snapshot("s"), "a").ino) == "new");
    CHECK(number_of(m.tree->get_attributes(a)) == ESTALE);
}

TEST_CASE("the head goes on while a snapshot is being opened, which happens once for all who ask") {
    shown m;
    m.write("a", "x");
    m.take("s");
    const auto s = m.tree->list(snapshots_directory, {}, 10, false)->at(2).ino;
    std::promise<void> go;
    m.source.gate = go.get_future().share();
    std::vector<std::thread> who;
    std::atomic<int> found{0};
    for (int i = 0; i < 4; ++i) who.emplace_back([&] { found += m.tree->lookup(s, "a").has_value(); });
    while (m.source.opened == 0) std::this_thread::yield();
    m.write("b", "meanwhile");
    CHECK(m.read(m.find(root_inode, "b").ino) == "meanwhile");
    CHECK(m.find(root_inode, ".snapshots").ino == snapshots_directory);
    m.tree->forget(s, 1);
    CHECK(found == 0);
    go.set_value();
    for (auto& t : who) t.join();
    CHECK(found == 4);
    CHECK(m.source.opened == 1);
}

TEST_CASE("a snapshot that is taken while others ask which there are is not missed") {
    shown m;
    std::promise<void> go;
    m.source.list_gate = go.get_future().share();
    std::thread asks([&] { (void)m.tree->list(snapshots_directory, {}, 10, false); });
    while (m.source.listed == 0) std::this_thread::yield();
    int taken = -1;
    std::thread takes([&] { taken = number_of(m.make(snapshots_directory, "s", S_IFDIR | 0755)); });
    while (m.source.made == 0) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // it waits for those that ask by now
    go.set_value();
    asks.join();
    takes.join();
    CHECK(taken == 0);
    CHECK(m.names(snapshots_directory) == std::vector<std::string>{".", "..", "s"});
}

TEST_CASE("a mount that is cut off closes what files still hold open") {
    static auto* const never_released = new std::vector<mounted_file*>;  // like the kernel's: nobody destroys them
    shown m;
    m.write("a", "x");
    for (const std::string name : {"kept", "deleted"}) {
        m.take(name);
        never_released->push_back(m.tree->open(m.find(m.snapshot(name), "a").ino, false, false, false)->release());
    }
    REQUIRE(m.tree->remove_directory(snapshots_directory, "deleted").has_value());
    CHECK(m.source.open_now == 2);
    m.tree.reset();
    CHECK(m.source.open_now == 0);
}

TEST_CASE("files in snapshots that another process had open are read on, or are stale if theirs was deleted") {
    shown m;
    m.write("a", "old");
    m.take("kept");
    m.take("deleted");
    m.write("a", "new");
    std::vector<held_file> held;
    for (const std::string name : {"kept", "deleted"}) {
        held_file each;
        each.handle = held.size() + 1;
        each.ino = m.find(m.snapshot(name), "a").ino;
        held.push_back(each);
    }
    held.push_back({});
    held.back().ino = m.find(root_inode, "a").ino;
    held.back().writes = held.back().reads = held.back().keeps_access_time = true;
    REQUIRE(m.tree->remove_directory(snapshots_directory, "deleted").has_value());
    m.mount();
    const int before = m.source.opened;
    std::vector<std::unique_ptr<mounted_file>> files;
    for (const auto& each : held) {
        auto file = m.tree->reopen(each);
        REQUIRE(file.has_value());
        files.push_back(std::move(*file));
    }
    CHECK(m.source.opened == before);  // that waits until they are used
    CHECK(m.tree->check_room(*files[1]).has_value());
    CHECK(number_of(m.tree->copy(*files[0], 0, *files[2], 0, 3)) == EXDEV);
    CHECK(m.read(*files[0]) == "old");
    bytes out(10);
    CHECK(number_of(m.tree->read(*files[1], 0, out)) == ESTALE);
    CHECK(number_of(m.tree->seek(*files[1], 0, true)) == ESTALE);
    CHECK(m.read(*files[2]) == "new");
    CHECK(m.tree->write(*files[2], 0, as_view("old"), false).has_value());
    CHECK((files[2]->file->reads && files[2]->file->keeps_access_time));
    m.tree->forget(held[0].ino, 7);  // of which this process has told the kernel nothing
    CHECK(m.read(held[0].ino) == "old");
    files.clear();
}

TEST_CASE("numbers of snapshots that are this mount's only are the next process', too") {
    shown m;
    m.mount(true);
    for (const std::string name : {"one", "two"}) REQUIRE(m.source.create(name).has_value());
    const auto two = m.snapshot("two");
    const auto held = m.files->held();
    REQUIRE(m.source.remove("one").has_value());
    REQUIRE(m.source.create("three").has_value());
    m.mount(true, 3, held);
    CHECK(m.snapshot("two") == two);
    CHECK(m.snapshot("three") != two);
    CHECK(inward(m.snapshot("three")).snapshot.value == 3);
}
