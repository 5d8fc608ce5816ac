#include "format.hpp"

#include <core/wire/codec.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::fs;

TEST_CASE("the filesystem's records have the bytes of docs/formats/filesystem.md") {
    format::inode_record r;
    r.mode = S_IFREG | 0644;
    r.uid = 1;
    r.gid = 2;
    r.nlink = 3;
    r.rdev = 4;
    r.size = 5;
    r.allocated = 6;
    r.data_end = 7;
    r.atime = {8, 9};
    r.mtime = {10, 11};
    r.ctime = {12, 13};
    r.btime = {-1, 14};
    r.generation = 15;
    r.xattrs = 16;
    r.acls = 3;
    r.parent = {17};
    r.entries = 18;
    r.next_cookie = {19};
    r.project = {20};
    CHECK(to_hex(wire::encode(r)) ==
          "01a481000001000000020000000300000004000000000000000500000000000000060000000000000007000000000000000800000000000000090000000a000000"
           "000000000b0000000c000000000000000d000000ffffffffffffffff0e0000000f000000000000001000000003110000000000000012000000000000001300000000"
          "0000001400000000000000");
    CHECK(to_hex(wire::encode(format::dirent_record{{1}, S_IFDIR, {2}})) == "01010000000000000000400000" "0200000000000000");
    CHECK(to_hex(wire::encode(format::listing_record{{1}, S_IFDIR, "ab"})) == "01010000000000000000400000" "020000006162");
    CHECK(to_hex(wire::encode(format::quota_record{{1}, 2, 3, 4, 5, true})) ==
          "0101000000000000000200000000000000030000000000000004000000000000000500000000000000" "01");
    CHECK(to_hex(wire::encode(format::snapshot_record{{7}})) == "010700000000000000");
    CHECK(to_hex(wire::encode(format::trash_record{7})) == "0107000000");
    CHECK(to_hex(wire::encode(format::superblock{{1, 2}, {3}})) == "01010000000000000002000000" "0300000000000000");
}

TEST_CASE("keys sort by directory and by cookie") {
    CHECK(to_hex(format::inode_key({258})) == "690000000000000102");
    CHECK(to_hex(format::dirent_key({1}, "ab")) == "6400000000000000016162");
    CHECK(to_hex(format::listing_key({1}, {3})) == "6c00000000000000010000000000000003");
    CHECK(to_hex(format::quota_key({4})) == "710000000000000004");
    CHECK(to_hex(format::uncounted_key({4}, {5})) == "7500000000000000040000000000000005");
    CHECK(to_hex(format::trash_key()) == "74");
    CHECK(to_hex(format::snapshot_key({258})) == "6e0000000000000102");
    CHECK(format::listing_key({1}, {255}) < format::listing_key({1}, {256}));
    CHECK(*format::last_number(format::listing_key({1}, {77})) == 77);
    CHECK_FALSE(format::last_number(as_view("short")).has_value());
}

TEST_CASE("damaged records are refused") {
    auto record = wire::encode(format::inode_record());
    CHECK(wire::decode<format::inode_record>(record).has_value());
    record.pop_back();
    CHECK_FALSE(wire::decode<format::inode_record>(record).has_value());
    record.assign(record.size() + 1, std::byte{9});
    CHECK_FALSE(wire::decode<format::inode_record>(record).has_value());
}
