// The words of the filesystem: inode numbers, times, attributes, and what a caller is.
#pragma once

#include <core/base/ids.hpp>
#include <fs/posix_error.hpp>

#include <sys/stat.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace cess::fs {

using inode_number = strong_number<struct inode_tag>;    // never reused within a volume
using project_id = strong_number<struct project_tag>;      // the inodes that one quota counts; 0: none
using entry_cookie = strong_number<struct cookie_tag>;   // a directory entry's place in its listing; 1 is ".", 2 is ".."
using snapshot_number = strong_number<struct snapshot_tag>;  // of one of the volume's snapshots, never reused; 0: none

inline constexpr inode_number root_inode{1};
inline constexpr inode_number trash_inode{2};     // the directory of what was deleted; no entry leads there
inline constexpr inode_number first_inode{3};     // of what is made
inline constexpr std::string_view trash_name = ".trash";
inline constexpr std::uint32_t trash_days_max = 36500;
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
    bool is_trash = false;  // a directory whose entries change behind the kernel's back: of the trash, or an hour's in it
    bool full = false;  // what was written last found no room: the kernel is to ask before it takes more

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

// Bytes, and files (inodes of any kind). Without a quota there is no count of files: both are 0.
struct space {
    std::uint64_t total = 0, free = 0;
    std::uint64_t available = 0;  // of those free: a quota may allow more than the volume has
    std::uint64_t files_total = 0, files_free = 0;
};

// What a quota allows; 0: no limit.
struct quota_limits {
    std::uint64_t bytes = 0, files = 0;
    [[nodiscard]] bool any() const noexcept { return bytes > 0 || files > 0; }
};

// A directory's quota. `files` counts inodes of any kind, the directory itself among them.
struct quota {
    quota_limits limits;
    std::uint64_t bytes = 0, files = 0;  // in use
    bool counting = false;               // what was there before the quota is still being counted
};

}  // namespace cess::fs
