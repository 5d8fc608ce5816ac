// The words of the filesystem: inode numbers, times, attributes, and what a caller is.
#pragma once

#include <core/base/ids.hpp>
#include <fs/posix_error.hpp>

#include <sys/stat.h>

#include <functional>
#include <optional>
#include <string>

namespace cess::fs {

using inode_number = strong_number<struct inode_tag>;    // never reused within a volume
using entry_cookie = strong_number<struct cookie_tag>;   // a directory entry's place in its listing; 1 is ".", 2 is ".."

inline constexpr inode_number root_inode{1};
inline constexpr std::uint64_t file_size_max = (std::uint64_t{1} << 62) - 1;
inline constexpr std::size_t name_max = 255;
inline constexpr std::size_t symlink_max = 4095;
inline constexpr std::uint32_t link_max = 0x7fffffff;

struct timestamp {
    std::int64_t seconds = 0;
    std::uint32_t nanoseconds = 0;

    friend auto operator<=>(const timestamp&, const timestamp&) = default;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.seconds, self.nanoseconds); }
};

// What stat(2) shows, and the little more that the kernel wants to know.
struct attributes {
    inode_number ino;
    std::uint64_t generation = 0;
    std::uint32_t mode = 0;  // type and permissions, as in st_mode
    std::uint32_t uid = 0, gid = 0;
    std::uint64_t rdev = 0;
    std::uint32_t nlink = 0;
    std::uint64_t size = 0;
    std::uint64_t allocated = 0;  // bytes that are not holes
    timestamp atime, mtime, ctime, btime;

    [[nodiscard]] bool is_directory() const noexcept { return S_ISDIR(mode); }
};

// Who asks: the kernel has checked permissions; this decides ownership of what is made and what a write clears.
struct caller {
    std::uint32_t uid = 0, gid = 0;
};

// What setattr changes; empty members stay.
struct attribute_change {
    std::optional<std::uint32_t> mode, uid, gid;  // mode: permission bits only
    std::optional<std::uint64_t> size;
    std::optional<timestamp> atime, mtime, ctime;
    bool clear_suid = false;  // a change of size by who is not privileged
};

// One entry of a listing.
struct listed_entry {
    entry_cookie cookie;
    inode_number ino;
    std::uint32_t type = 0;  // S_IFMT bits
    std::string name;
};

struct space {
    std::uint64_t total = 0, free = 0;  // bytes
};

}  // namespace cess::fs
