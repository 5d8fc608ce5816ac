// An inode in memory, and the locks that guard it.
//
// Lock order: several inodes are locked by ascending number (lock_set); nothing else is locked under a lock that waits
// for an inode. While anybody holds an inode_ptr there is one object for that number, so its lock is the inode's lock.
// The record always equals what the volume holds: a change is applied first, then stored here, under the lock.
#pragma once

#include "format.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

namespace cess::fs {

inline constexpr std::uint64_t room_for_any = 1;

struct inode {
    explicit inode(inode_number n) noexcept : ino(n) {}

    const inode_number ino;
    mutable std::shared_mutex mutex;
    std::atomic<bool> loaded{false};
    // Guarded by mutex:
    bool gone = false;               // the record is no longer in the volume
    format::inode_record record;
    std::uint64_t version = 0;       // of a directory's entries, counts their changes while in memory

    std::atomic<std::uint32_t> writers{0};  // open files that may have dirty pages in the kernel
    std::atomic<std::uint64_t> wants_room{0};  // bytes of a write that found no space; room_for_any: none did yet; 0: all is well
};
using inode_ptr = std::shared_ptr<inode>;

// The trash, or the directory of an hour in it. REQUIRES: its lock, shared at least.
[[nodiscard]] inline bool is_of_trash(const inode& node) noexcept {
    return node.record.is_directory() && (node.ino == trash_inode || node.record.parent == trash_inode);
}

[[nodiscard]] attributes attributes_of(const inode& node);  // REQUIRES: its lock, shared at least

// Exclusive locks on up to five inodes, taken in order of their numbers; the same one may be named twice, null is skipped.
class lock_set {
public:
    explicit lock_set(std::initializer_list<const inode*> nodes);
    ~lock_set();
    lock_set(const lock_set&) = delete;
    lock_set& operator=(const lock_set&) = delete;

private:
    const inode* m_locked[5] = {};
    std::size_t m_count = 0;
};

}  // namespace cess::fs
