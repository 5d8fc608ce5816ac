// What the kernel holds of a mount, by numbers that mean the same to every process that serves it.
#pragma once

#include <fs/types.hpp>

#include <vector>

namespace cess::fs {

// An inode that the kernel was told of and has not forgotten, and how often it was.
struct held_inode {
    inode_number ino;
    std::uint64_t references = 0;

    friend bool operator==(const held_inode&, const held_inode&) = default;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.ino, self.references); }
};

// An open file, see open_file; of one in a snapshot its inode number says all.
struct held_file {
    std::uint64_t handle = 0;
    inode_number ino;  // the mount's, which says the snapshot, too
    bool writes = false, reads = false, keeps_access_time = false;

    friend bool operator==(const held_file&, const held_file&) = default;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.handle, self.ino, self.writes, self.reads, self.keeps_access_time); }
};

// The number by which the inodes of a snapshot are known; of sequence 0: the next that is given out.
struct held_snapshot {
    sequence_number at;
    snapshot_number number;

    friend bool operator==(const held_snapshot&, const held_snapshot&) = default;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.at, self.number); }
};

struct kernel_state {
    std::vector<held_inode> inodes;  // of the head: what snapshots hold does not change, and is there without
    std::vector<held_file> files;
    std::vector<held_snapshot> snapshots;

    friend bool operator==(const kernel_state&, const kernel_state&) = default;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.inodes, self.files, self.snapshots); }
};

}  // namespace cess::fs
