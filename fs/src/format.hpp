// What the filesystem stores in a volume: keys and records of the key-value space. docs/formats/filesystem.md is
// the document; a golden test pins the bytes. A file's data is the blob with its inode's number.
#pragma once

#include <core/base/bytes.hpp>
#include <fs/types.hpp>

#include <string_view>

namespace cess::fs::format {

struct superblock {
    static constexpr std::uint8_t wire_version = 1;
    timestamp created;
    inode_number next;  // numbers from here on were never given out
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.created, self.next); }
};

struct inode_record {
    static constexpr std::uint8_t wire_version = 1;
    std::uint32_t mode = 0, uid = 0, gid = 0, nlink = 0;
    std::uint64_t rdev = 0;
    std::uint64_t size = 0;
    std::uint64_t allocated = 0;  // bytes of the blob that are not holes
    std::uint64_t data_end = 0;   // nothing is mapped past it; allocated == data_end says that nothing below is a hole
    timestamp atime, mtime, ctime, btime;
    std::uint64_t generation = 0;
    std::uint32_t xattrs = 0;     // how many there are
    std::uint8_t acls = 0;        // which of them are ACLs: 1 access, 2 default
    // Of a directory:
    inode_number parent;
    std::uint64_t entries = 0;
    entry_cookie next_cookie{3};

    project_id project;           // that counts it; one without a record has ended, and counts nothing

    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) {
        codec(self.mode, self.uid, self.gid, self.nlink, self.rdev, self.size, self.allocated, self.data_end, self.atime, self.mtime,
              self.ctime, self.btime, self.generation, self.xattrs, self.acls, self.parent, self.entries, self.next_cookie, self.project);
    }
    [[nodiscard]] bool is_directory() const noexcept { return S_ISDIR(mode); }
    [[nodiscard]] bool is_regular() const noexcept { return S_ISREG(mode); }
    [[nodiscard]] bool dense() const noexcept { return allocated == data_end; }
    friend bool operator==(const inode_record&, const inode_record&) = default;
};

// (directory, name) → where it leads and where it stands in the listing.
struct dirent_record {
    static constexpr std::uint8_t wire_version = 1;
    inode_number ino;
    std::uint32_t type = 0;  // S_IFMT bits
    entry_cookie cookie;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.ino, self.type, self.cookie); }
    friend bool operator==(const dirent_record&, const dirent_record&) = default;
};

// (directory, cookie) → the same entry, for listing in the order of creation.
struct listing_record {
    static constexpr std::uint8_t wire_version = 1;
    inode_number ino;
    std::uint32_t type = 0;
    std::string name;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.ino, self.type, self.name); }
};

// A directory's quota: what it allows, and what the inodes of its project use.
struct quota_record {
    static constexpr std::uint8_t wire_version = 1;
    inode_number root;             // the directory
    std::uint64_t bytes_max = 0;   // 0: no limit
    std::uint64_t files_max = 0;
    std::uint64_t bytes = 0;       // `allocated` of all its inodes
    std::uint64_t files = 0;       // its inodes
    bool counting = true;          // some inodes below the root may still be without their project
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.root, self.bytes_max, self.files_max, self.bytes, self.files, self.counting); }
};

// Sequence of a snapshot → its number; 0 → the first one that was never given out.
struct snapshot_record {
    static constexpr std::uint8_t wire_version = 1;
    snapshot_number number;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.number); }
};

// How long the trash keeps what is deleted; 0: nothing gets there.
struct trash_record {
    static constexpr std::uint8_t wire_version = 1;
    std::uint32_t days = 0;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.days); }
};

// Keys: one letter, numbers big-endian so that they sort, names as they are.
[[nodiscard]] bytes superblock_key();
[[nodiscard]] bytes inode_key(inode_number ino);
[[nodiscard]] bytes dirent_key(inode_number directory, std::string_view name);
[[nodiscard]] bytes listing_prefix(inode_number directory);
[[nodiscard]] bytes listing_key(inode_number directory, entry_cookie cookie);
[[nodiscard]] bytes symlink_key(inode_number ino);
[[nodiscard]] bytes xattr_prefix(inode_number ino);
[[nodiscard]] bytes xattr_key(inode_number ino, std::string_view name);
[[nodiscard]] bytes orphan_prefix();
[[nodiscard]] bytes orphan_key(inode_number ino);
[[nodiscard]] bytes quota_prefix();
[[nodiscard]] bytes quota_key(project_id project);
// Directories of a project whose entries may not all have it yet.
[[nodiscard]] bytes uncounted_prefix();
[[nodiscard]] bytes uncounted_prefix(project_id project);
[[nodiscard]] bytes uncounted_key(project_id project, inode_number directory);

[[nodiscard]] bytes trash_key();
[[nodiscard]] bytes snapshot_prefix();
[[nodiscard]] bytes snapshot_key(sequence_number at);

// The number at the end of a key.
[[nodiscard]] result<std::uint64_t> last_number(byte_view key);

}  // namespace cess::fs::format
