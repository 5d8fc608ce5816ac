// Kinds of inodes as exported metadata names them.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string_view>

namespace cess::fs {

struct stream_kind {
    std::uint32_t type;  // S_IFMT bits
    std::string_view name;
};

inline constexpr stream_kind stream_kinds[] = {
    {S_IFREG, "file"}, {S_IFDIR, "directory"}, {S_IFLNK, "symlink"}, {S_IFCHR, "character device"}, {S_IFBLK, "block device"}, {S_IFIFO, "fifo"}, {S_IFSOCK, "socket"},
};

inline constexpr std::string_view stream_format = "cess filesystem metadata";
inline constexpr int stream_version = 1;

}  // namespace cess::fs
