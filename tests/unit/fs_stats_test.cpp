#include "fuse/request_meter.hpp"
#include "mount_tree.hpp"
#include "support/memory_volume.hpp"

#include <catch2/catch.hpp>

#include <linux/fuse.h>

#include <cstring>
#include <thread>

using namespace cess;
using namespace cess::fs;
using Catch::Contains;

namespace {

struct shown {
    testing::memory_volume volume;
    metrics count;
    std::unique_ptr<filesystem> files;
    std::unique_ptr<mount_tree> tree;

    shown() { mount(true); }
    void mount(bool stats) {
        tree.reset();
        files.reset();
        settings how;
        how.count = &count;
        files = std::move(filesystem::open(volume, &volume, how).value());
        tree = std::make_unique<mount_tree>(*files);
        if (stats) tree->show_stats(count, {7, 8}, {1000, 0});
    }
    answer<attributes> make(std::string_view name, std::uint32_t mode) {
        new_inode what;
        what.mode = mode;
        return tree->make(root_inode, name, what);
    }
    std::string read(mounted_file& file) {
        std::string out;
        bytes part(100);
        for (;;) {
            const auto n = tree->read(file, out.size(), part).value();
            if (n == 0) return out;
            out += to_string(byte_view(part).first(n));
        }
    }
    std::unique_ptr<mounted_file> open() { return std::move(tree->open(stats_inode, false, false, false).value()); }
};

template <class T>
int number_of(const answer<T>& refused) {
    return refused ? 0 : refused.error().number;
}

}  // namespace

TEST_CASE(".stats is found by its name, belongs to who mounted, and is not listed") {
    shown s;
    const auto found = s.tree->lookup(root_inode, ".stats").value();
    REQUIRE(found);
    CHECK(found->ino == stats_inode);
    CHECK(found->mode == (S_IFREG | 0400));
    CHECK(found->uid == 7);
    CHECK(found->gid == 8);
    CHECK(s.tree->get_attributes(stats_inode).value().nlink == 1);
    CHECK(s.tree->list(root_inode, {}, 100, false).value().size() == 2);
    const auto below = s.make("below", S_IFDIR | 0755).value().ino;
    CHECK_FALSE(s.tree->lookup(below, ".stats").value());
    s.tree->forget(stats_inode, 1);
}

TEST_CASE("an open .stats keeps its text, and the next one has another") {
    shown s;
    auto& events = s.count.make_counter("cess_x_total", "things");
    const auto before = s.open();
    events.add(41);
    const auto after = s.open();
    events.add(1);
    CHECK_THAT(s.read(*before), Contains("cess_x_total 0\n"));
    CHECK_THAT(s.read(*after), Contains("cess_x_total 41\n"));
    const auto size = s.read(*after).size();
    CHECK(s.tree->seek(*after, 1, true).value() == 1);
    CHECK(s.tree->seek(*after, 1, false).value() == size);
    CHECK(number_of(s.tree->seek(*after, size, true)) == ENXIO);
}

TEST_CASE(".stats cannot be changed, replaced, linked or removed") {
    shown s;
    const auto other = s.make("other", S_IFREG | 0644).value().ino;
    CHECK(number_of(s.make(".stats", S_IFREG | 0644)) == EEXIST);
    CHECK(number_of(s.tree->link(other, root_inode, ".stats")) == EEXIST);
    CHECK(number_of(s.tree->link(stats_inode, root_inode, "name")) == EXDEV);
    CHECK(number_of(s.tree->unlink(root_inode, ".stats")) == EPERM);
    CHECK(number_of(s.tree->remove_directory(root_inode, ".stats")) == ENOTDIR);
    CHECK(number_of(s.tree->rename(root_inode, ".stats", root_inode, "name", rename_mode::replace)) == EPERM);
    CHECK(number_of(s.tree->rename(root_inode, "other", root_inode, ".stats", rename_mode::replace)) == EPERM);
    CHECK(number_of(s.tree->rename(root_inode, "other", root_inode, ".stats", rename_mode::keep_target)) == EEXIST);
    CHECK(number_of(s.tree->open(stats_inode, true, false, false)) == EACCES);
    CHECK(number_of(s.tree->open(stats_inode, false, true, false)) == EACCES);
    attribute_change change;
    change.mode = 0777;
    CHECK(number_of(s.tree->set_attributes(stats_inode, change)) == EPERM);
    CHECK(number_of(s.tree->set_xattr(stats_inode, "user.a", {}, xattr_mode::any, false)) == EPERM);
    CHECK(number_of(s.tree->get_xattr(stats_inode, "user.a")) == ENODATA);
    CHECK(s.tree->list_xattrs(stats_inode).value().empty());
    CHECK(s.tree->sync(stats_inode).has_value());
    CHECK(number_of(s.tree->lookup(stats_inode, "..")) == ESTALE);
    CHECK(number_of(s.tree->list(stats_inode, {}, 10, false)) == ESTALE);

    const auto stats = s.open();
    const auto file = std::move(s.tree->open(other, true, false, false).value());
    CHECK(number_of(s.tree->copy(*stats, 0, *file, 0, 10)) == EXDEV);
    CHECK(number_of(s.tree->copy(*file, 0, *stats, 0, 10)) == EXDEV);
    CHECK(number_of(s.tree->write(*stats, 0, as_view("x"), false)) == EROFS);
    CHECK(number_of(s.tree->allocate(*stats, 0, 1, {})) == EROFS);
    CHECK(s.tree->check_room(*stats).has_value());
}

TEST_CASE("an entry .stats that the root has from before is shown instead") {
    shown s;
    s.mount(false);
    const auto real = s.make(".stats", S_IFREG | 0644).value().ino;
    s.mount(true);
    CHECK(s.tree->lookup(root_inode, ".stats").value()->ino == real);
    CHECK(number_of(s.tree->open(stats_inode, false, false, false)) == ESTALE);
    CHECK(s.tree->unlink(root_inode, ".stats").has_value());
    CHECK(s.make(".stats", S_IFDIR | 0755).has_value());
}

TEST_CASE("the metrics show what a filesystem holds in memory, while it is open") {
    shown s;
    const auto ino = s.make("a", S_IFREG | 0644).value().ino;
    auto file = std::move(s.tree->open(ino, false, false, false).value());
    CHECK_THAT(s.count.render(), Contains("cess_fs_open_files 1\n") && Contains("cess_fs_inodes 2\n") && Contains("cess_fs_orphans 0\n"));
    CHECK(s.tree->unlink(root_inode, "a").has_value());
    CHECK_THAT(s.count.render(), Contains("cess_fs_orphans 1\n"));
    file.reset();
    s.tree->forget(ino, 1);
    CHECK_THAT(s.count.render(), Contains("cess_fs_open_files 0\n") && Contains("cess_fs_inodes 1\n") && Contains("cess_fs_orphans 0\n"));
    s.tree.reset();
    s.files.reset();
    CHECK_THAT(s.count.render(), Contains("cess_fs_inodes 0\n"));
}

TEST_CASE("a request is measured once, by the thread that answers it") {
    metrics count;
    request_meter meter(count);
    const bytes body(300);

    meter.received(FUSE_READ, 12);
    meter.answered(10, 0, body);  // another's
    CHECK_THAT(count.render(), Contains("cess_fs_operation_seconds_count{op=\"read\"} 0\n"));
    meter.answered(12, 0, body);
    meter.answered(12, 0, body);
    CHECK_THAT(count.render(), Contains("cess_fs_operation_seconds_count{op=\"read\"} 1\n") && Contains("cess_fs_read_bytes_total 300\n"));

    meter.received(FUSE_LOOKUP, 14);
    std::thread([&, handed_on = measured_request::current()] {
        meter.answered(14, ENOENT, {});
        handed_on.take_over();
        meter.answered(14, ENOENT, {});
    }).join();
    CHECK_THAT(count.render(), Contains("cess_fs_operation_seconds_count{op=\"lookup\"} 1\n") && Contains("cess_fs_errors_total{op=\"lookup\"} 1\n"));

    meter.received(FUSE_FORGET, 16);  // has no answer
    meter.received(FUSE_WRITE, 18);
    fuse_write_out took{};
    took.size = 77;
    bytes answer(sizeof took);
    std::memcpy(answer.data(), &took, sizeof took);
    meter.answered(0, 0, answer);  // a notification meanwhile
    meter.answered(18, 0, answer);
    CHECK_THAT(count.render(), Contains("cess_fs_written_bytes_total 77\n") && Contains("cess_fs_errors_total{op=\"write\"} 0\n"));
}
