// The real disk behind the same door as the faulty one: both must answer alike.
#include <support/faulty_disk.hpp>

#include <core/os/medium.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <linux/magic.h>
#include <sys/vfs.h>

using namespace cess;

namespace {

struct scratch {
    scratch() {
        std::string name = (std::filesystem::temp_directory_path() / "cess-os-test-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~scratch() { std::filesystem::remove_all(path); }
    std::string path;
};

void behaves(os::file_system& disk, const std::string& root) {
    REQUIRE(disk.make_directories(root + "/a/b"));
    REQUIRE(disk.make_directories(root + "/a/b"));  // again
    const auto name = root + "/a/b/file";
    CHECK_FALSE(disk.exists(name));
    CHECK(disk.open(name, os::open_mode::read).error() == errc::not_found);
    {
        const auto made = disk.open(name, os::open_mode::create_new).value();
        REQUIRE(made->write_at(10, as_view("hello")));
        REQUIRE(made->sync());
        CHECK(made->size().value() == 15);
        bytes read(20);
        CHECK(made->read_at(8, read).value() == 7);
        CHECK(as_text(byte_view(read).first(7)) == std::string_view("\0\0hello", 7));
        CHECK(made->read_at(100, read).value() == 0);
        REQUIRE(made->truncate(12));
        CHECK(made->size().value() == 12);
        CHECK(made->write_at(~std::uint64_t{0}, as_view("x")).has_error());
    }
    CHECK(disk.open(name, os::open_mode::create_new).error() == errc::exists);
    CHECK(disk.open(root + "/none/file", os::open_mode::create_new).error() == errc::not_found);
    REQUIRE(disk.rename(name, root + "/a/other"));
    CHECK(disk.rename(name, root + "/a/other").error() == errc::not_found);
    REQUIRE(disk.sync_directory(root + "/a"));
    const auto entries = disk.list(root + "/a").value();
    REQUIRE(entries.size() == 2);
    CHECK(entries[0].name == "b");
    CHECK(entries[0].is_directory);
    CHECK(entries[1].name == "other");
    CHECK_FALSE(entries[1].is_directory);
    CHECK(disk.list(root + "/a/other").error() == errc::not_directory);
    CHECK(disk.list(root + "/none").error() == errc::not_found);
    CHECK(disk.remove(root + "/a").error() == errc::not_empty);
    REQUIRE(disk.remove(root + "/a/b"));
    REQUIRE(disk.remove(root + "/a/other"));
    CHECK(disk.remove(root + "/a/other").error() == errc::not_found);
    REQUIRE(os::write_file_durably(disk, root + "/a/record", as_view("one")));
    REQUIRE(os::write_file_durably(disk, root + "/a/record", as_view("two")));
    CHECK(os::read_file(disk, root + "/a/record", 100).value() == to_bytes("two"));
    CHECK(os::read_file(disk, root + "/a/record", 2).error() == errc::too_large);
    CHECK(disk.list(root + "/a").value().size() == 1);
    CHECK(disk.statistics(root).value().total > 0);
}

}  // namespace

TEST_CASE("the operating system's files behave as the interface says") {
    const scratch at;
    behaves(os::posix_file_system(), at.path);
}

TEST_CASE("the disk of the tests behaves like the operating system's") {
    test::faulty_disk disk;
    behaves(disk, "/root");
}

TEST_CASE("the medium is read like the file, at any offset and length") {
    const scratch at;
    auto& disk = os::posix_file_system();
    bytes content(3 * MiB + 777);
    seeded_random(5).fill(content);
    REQUIRE(os::write_file_durably(disk, at.path + "/f", content));
    const auto file = os::open_medium(disk, at.path + "/f").value();
    CHECK(file->size().value() == content.size());
    const std::vector<std::pair<std::uint64_t, std::size_t>> reads{{0, content.size() + 9000}, {1, 4096},                  {4096, 1},           {1 * MiB - 1, 2},
                                                                   {777, 2 * MiB},             {content.size() - 1, 50}, {content.size(), 10}, {content.size() + 5000, 10}};
    for (const auto& [offset, size] : reads) {
        bytes out(size);
        const auto there = content.size() - std::min<std::size_t>(content.size(), static_cast<std::size_t>(offset));
        const auto expected = byte_view(content).last(there).first(std::min(there, size));
        REQUIRE(file->read_at(offset, out).value() == expected.size());
        CHECK(equal(byte_view(out).first(expected.size()), expected));
    }
    CHECK(file->write_at(0, as_view("x")).error() == errc::unsupported);
    CHECK(os::open_medium(disk, at.path + "/none").error() == errc::not_found);
}

TEST_CASE("what is in memory is read at once, right or not at all") {
    const scratch at;
    auto& disk = os::posix_file_system();
    bytes content(100 * KiB + 5);
    seeded_random(6).fill(content);
    REQUIRE(os::write_file_durably(disk, at.path + "/f", content));
    const auto file = disk.open(at.path + "/f", os::open_mode::read).value();
    bytes all(content.size());
    REQUIRE(file->read_at(0, all).value() == all.size());  // in memory from here on
    std::size_t at_once = 0;
    for (std::uint64_t offset = 0; offset < content.size() + 4096; offset += 4096) {
        bytes out(4096);
        const auto got = file->read_at_once(offset, out).value();
        const auto there = content.size() - std::min<std::size_t>(content.size(), static_cast<std::size_t>(offset));
        REQUIRE(got <= std::min<std::size_t>(there, out.size()));
        CHECK(equal(byte_view(out).first(got), byte_view(content).last(there).first(got)));
        at_once += got;
    }
    CHECK(at_once > 0);
    CHECK(file->read_at_once(~std::uint64_t{0}, all).error() == errc::out_of_range);
}

TEST_CASE("what is let go of leaves the memory and stays on the disk") {
    const scratch at;
    struct statfs about {};
    REQUIRE(::statfs(at.path.c_str(), &about) == 0);
    if (about.f_type == TMPFS_MAGIC || about.f_type == RAMFS_MAGIC) return;  // its memory is the disk
    bytes content(1 * MiB + 5);
    seeded_random(8).fill(content);
    const auto file = os::posix_file_system().open(at.path + "/f", os::open_mode::create_new).value();
    REQUIRE(file->write_at(0, content));
    REQUIRE(file->sync());
    file->let_go(0, content.size());
    bytes read(content.size());
    CHECK(file->read_at_once(0, read).value() == 0);
    REQUIRE(file->read_at(0, read).value() == read.size());
    CHECK(read == content);
}

TEST_CASE("a directory is locked for one process and free again afterwards") {
    const scratch at;
    auto first = os::directory_lock::take(at.path);
    REQUIRE(first.has_value());
    const auto second = os::directory_lock::take(at.path);
    REQUIRE(second.has_error());
    CHECK(second.error() == errc::busy);
    CHECK(second.error().what.find("in use by process") != std::string::npos);
    first->reset();
    CHECK(os::directory_lock::take(at.path).has_value());
}
