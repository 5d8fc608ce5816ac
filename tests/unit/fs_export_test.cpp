#include "support/acl_values.hpp"
#include "support/memory_volume.hpp"

#include <core/crypto/crypto.hpp>
#include <fs/export.hpp>
#include <fs/filesystem.hpp>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace cess;
using namespace cess::fs;

namespace {

struct exported {
    testing::memory_volume volume;
    std::unique_ptr<filesystem> files;

    exported() {
        settings how;
        how.clock = [] { return timestamp{1000, 5}; };
        how.count_quotas = false;
        files = std::move(filesystem::open(volume, &volume, how).value());
    }
    inode_number make(inode_number in, std::string_view name, std::uint32_t mode, std::string_view target = {}) {
        new_inode what;
        what.mode = mode;
        what.target = target;
        what.by = {10, 20};
        what.rdev = S_ISCHR(mode) ? 0x103 : 0;
        return files->creation.make(in, name, what).value().ino;
    }
    void write(inode_number ino, std::uint64_t offset, std::size_t size) {
        auto opened = std::move(files->files.open(ino, true, false).value());
        REQUIRE(files->files.write(*opened, offset, bytes(size, std::byte{1}), false).has_value());
        files->files.release(std::move(opened));
    }
    std::vector<std::string> lines() {
        std::vector<std::string> out;
        const auto done = export_metadata(volume, {"home", ""}, [&](std::string_view line) -> result<void> {
            REQUIRE(line.ends_with('\n'));
            out.emplace_back(line.substr(0, line.size() - 1));
            return {};
        });
        REQUIRE(done.has_value());
        return out;
    }
};

const std::string times = R"("atime":"1000.000000005","mtime":"1000.000000005","ctime":"1000.000000005","btime":"1000.000000005","generation":1)";

}  // namespace

TEST_CASE("an export is one line for each thing that there is, in the form of docs/formats/export.md") {
    exported e;
    const auto d = e.make(root_inode, "d", S_IFDIR | 02750);
    const auto f = e.make(d, "file", S_IFREG | 0640);
    e.make(d, "link", S_IFLNK | 0777, "to \"\xc3\xa4\"\n");
    e.make(d, "null", S_IFCHR | 0666);
    e.write(f, 4096, 100);
    REQUIRE(e.files->creation.link(f, root_inode, "\xff").has_value());
    REQUIRE(e.files->xattrs.set(f, "user.a", as_view("text"), xattr_mode::any).has_value());
    REQUIRE(e.files->xattrs.set(f, "user.b", as_view(std::string_view("\0\x01", 2)), xattr_mode::any).has_value());
    REQUIRE(e.files->quotas.set(d, {1000, 0}).has_value());
    while (e.files->quotas.count().value()) {}

    const auto lines = e.lines();
    const std::string zeros(32, '0');
    const auto project = nlohmann::json::parse(lines.at(1)).at("quota").get<int>();
    const auto in_project = ",\"project\":" + std::to_string(project);
    REQUIRE(lines.size() == 16);
    CHECK(lines[0] == R"({"format":"cess filesystem metadata","version":1,"volume":"home","id":")" + zeros + R"("})");
    CHECK(lines[1] == "{\"quota\":" + std::to_string(project) + R"(,"directory":3,"max_bytes":1000,"max_files":0,"bytes":100,"files":4})");
    CHECK(lines[2] == R"({"inode":1,"type":"directory","mode":"0755","uid":0,"gid":0,"nlink":3,"size":0,)" + times + R"(,"parent":1})");
    CHECK(lines[3] == R"({"in":1,"name":"d","inode":3})");
    CHECK(lines[4] == R"({"in":1,"name_hex":"ff","inode":4})");
    CHECK(lines[5] == R"({"inode":3,"type":"directory","mode":"2750","uid":10,"gid":20,"nlink":2,"size":0,)" + times + R"(,"parent":1)" + in_project + "}");
    CHECK(lines[6] == R"({"in":3,"name":"file","inode":4})");
    CHECK(lines[7] == R"({"in":3,"name":"link","inode":5})");
    CHECK(lines[8] == R"({"in":3,"name":"null","inode":6})");
    CHECK(lines[9] == R"({"inode":4,"type":"file","mode":"0640","uid":10,"gid":20,"nlink":2,"size":4196,"allocated":100,)" + times + in_project + "}");
    CHECK(lines[10] == R"({"of":4,"xattr":"user.a","value":"text"})");
    CHECK(lines[11] == R"({"of":4,"xattr":"user.b","value_hex":"0001"})");
    const auto extent = nlohmann::json::parse(lines[12]);
    CHECK(extent.at("of") == 4);
    CHECK(extent.at("offset") == 4096);
    CHECK(extent.at("length") == 100);
    CHECK(extent.at("lineage").get<std::string>().size() == 32);
    CHECK((extent.contains("segment") && extent.contains("at")));
    CHECK(nlohmann::json::parse(lines[13]).at("target") == "to \"\xc3\xa4\"\n");
    CHECK(lines[14] == R"({"inode":6,"type":"character device","mode":"0666","uid":10,"gid":20,"nlink":1,"size":0,"device":[1,3],)" + times + in_project + "}");
    std::string before;
    for (std::size_t i = 0; i < 15; ++i) before += lines[i] + "\n";
    CHECK(lines[15] == R"({"end":true,"inodes":5,"entries":5,"xattrs":2,"extents":1,"quotas":1,"sha256":")" + crypto::sha256(as_view(before)).hex() + "\"}");
    CHECK(e.lines() == lines);
}

TEST_CASE("an export shows access control lists as text, too") {
    using testing::owner, testing::user, testing::owning_group, testing::group, testing::mask, testing::other;
    exported e;
    const auto f = e.make(root_inode, "f", S_IFREG | 0640);
    const auto list = testing::value_of({owner(6), user(1000, 4), owning_group(5), group(50, 7), mask(7), other(0)});
    REQUIRE(e.files->xattrs.set(f, testing::access_name, list, xattr_mode::any).has_value());
    CHECK(e.lines().at(4) == R"({"of":3,"xattr":"system.posix_acl_access","value_hex":")" + to_hex(list) +
                                 R"(","acl":"u::rw-,u:1000:r--,g::r-x,g:50:rwx,m::rwx,o::---"})");
}

TEST_CASE("an export tells of the trash") {
    exported e;
    e.make(root_inode, "gone", S_IFREG | 0644);
    REQUIRE(e.files->trash.set_days(3).has_value());
    REQUIRE(e.files->removal.unlink(root_inode, "gone").has_value());
    const auto lines = e.lines();
    CHECK(lines.at(1) == R"({"trash":2,"days":3})");
    CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) { return line.starts_with(R"({"in":4,"name":"1-3-gone","inode":3)"); }) == 1);
}

TEST_CASE("an export ends where nobody takes it, and says so") {
    exported e;
    for (int i = 0; i < 10; ++i) e.make(root_inode, std::to_string(i), S_IFREG | 0600);
    int taken = 0;
    const auto done = export_metadata(e.volume, {"home", "one"}, [&](std::string_view) -> result<void> {
        if (++taken == 5) return error(errc::no_space, "full");
        return {};
    });
    CHECK_FALSE(done.has_value());
    CHECK(taken == 5);
}

TEST_CASE("an export of a directory larger than a batch, and of a file of many extents, is whole") {
    exported e;
    for (int i = 0; i < 1500; ++i) e.make(root_inode, std::to_string(i), S_IFREG | 0600);
    const auto many = e.make(root_inode, "many", S_IFREG | 0600);
    for (std::uint64_t i = 0; i < 2500; ++i) e.write(many, i * 8192, 1);
    const auto end = nlohmann::json::parse(e.lines().back());
    CHECK(end.at("inodes") == 1502);
    CHECK(end.at("entries") == 1501);
    CHECK(end.at("extents") == 2500);
}
