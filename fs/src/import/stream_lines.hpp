// One line of exported metadata as a value (docs/formats/export.md). Pure. What a line alone can be wrong in is refused here: its
// form, members that are missing, unknown or given twice, and values out of their range.
#pragma once

#include "format.hpp"

#include <core/base/bytes.hpp>
#include <fs/import.hpp>

#include <variant>

namespace cess::fs::importing {

struct quota_line {
    project_id project;
    format::quota_record record;
};
struct trash_line {
    std::uint32_t days = 0;
};
struct inode_line {
    inode_number ino;
    format::inode_record record;  // what other lines tell of it is not in it yet
    std::string target;           // of a symbolic link
};
struct xattr_line {
    inode_number of;
    std::string name;
    bytes value;
};
struct entry_line {
    inode_number in;
    std::string name;
    inode_number ino;
};
struct extent_line {
    inode_number of;
    volume::placed_range place;
};
struct end_line {
    std::uint64_t inodes = 0, entries = 0, xattrs = 0, extents = 0, quotas = 0;
    std::optional<hash256> hash;  // of all before it; none in a stream that somebody edited
};

using stream_line = std::variant<import_header, quota_line, trash_line, inode_line, xattr_line, entry_line, extent_line, end_line>;

inline constexpr std::size_t line_max = 1 * MiB;
inline constexpr std::uint64_t inode_end = std::uint64_t{1} << 62;  // numbers below are the files' own; so are the blobs

// Without its newline.
[[nodiscard]] result<stream_line> parse_line(std::string_view text);

}  // namespace cess::fs::importing
