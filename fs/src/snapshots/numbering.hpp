// One space of inode numbers for all trees of a mount. The head's inodes have their own numbers; those of a snapshot have the
// highest bit set, and say which snapshot it is, by the small number that it was given (snapshot_numbers.hpp). So numbers are
// the same after a remount, and a number says by itself where it leads.
//
//     1 | snapshot, 24 bits | the snapshot's inode number, 39 bits
//
// Snapshot 0 is what the mount makes up itself: the directory of snapshots, and .stats. What does not fit is not shown.
#pragma once

#include <fs/types.hpp>

namespace cess::fs {

struct tree_place {
    snapshot_number snapshot;  // 0: none, the head
    inode_number ino;          // in that tree
};

inline constexpr unsigned snapshot_inode_bits = 39;
inline constexpr inode_number snapshot_inode_end{std::uint64_t{1} << snapshot_inode_bits};
inline constexpr snapshot_number snapshot_number_end{std::uint64_t{1} << (63 - snapshot_inode_bits)};
inline constexpr inode_number snapshots_directory{std::uint64_t{1} << 63};
inline constexpr inode_number stats_inode{snapshots_directory.value + root_inode.value + 1};  // a number that is no snapshot's root

// Not of the head: of a snapshot, or made up.
[[nodiscard]] constexpr bool is_aside(inode_number n) noexcept { return n.value >= snapshots_directory.value; }
// What is asked about it may have to wait for a snapshot.
[[nodiscard]] constexpr bool may_wait(inode_number n) noexcept { return is_aside(n) && n != stats_inode; }
// REQUIRES: both are below their ends.
[[nodiscard]] constexpr inode_number outward(snapshot_number of, inode_number ino) noexcept {
    return {snapshots_directory.value | of.value << snapshot_inode_bits | ino.value};
}
[[nodiscard]] constexpr tree_place inward(inode_number n) noexcept {
    if (!is_aside(n)) return {{}, n};
    return {{(n.value - snapshots_directory.value) >> snapshot_inode_bits}, {n.value & (snapshot_inode_end.value - 1)}};
}
[[nodiscard]] constexpr inode_number root_of(snapshot_number n) noexcept { return outward(n, root_inode); }
[[nodiscard]] constexpr bool is_snapshot_root(inode_number n) noexcept { return is_aside(n) && inward(n).ino == root_inode; }

}  // namespace cess::fs
