// Steps that removal and renaming share.
#pragma once

#include "context.hpp"

namespace cess::fs {

// How often an operation looks again when names move under it; each time somebody else's operation succeeded.
inline constexpr int attempts_max = 100;

// Whether the inode has no name but the one it is about to lose. REQUIRES: its lock.
[[nodiscard]] inline bool has_one_name(const inode& node) noexcept { return node.record.is_directory() || node.record.nlink == 1; }
// The inode loses a name (a directory its only one); without any it becomes an orphan, in the same change.
void lose_link(volume::change& change, const inode& node, format::inode_record& next, timestamp now);
// After the change, without locks: it lives until the kernel forgets it.
void note_orphan(context& in, inode_number ino) noexcept;

}  // namespace cess::fs
