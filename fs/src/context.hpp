// What the families of operations share, and the steps they have in common.
#pragma once

#include "dirent_cache.hpp"
#include "inode_table.hpp"
#include "listing_cache.hpp"
#include "numbers.hpp"

#include <fs/filesystem.hpp>

namespace cess::fs {

struct context {
    settings how;
    store volume;
    inode_table inodes;
    reference_table references;
    orphan_set orphans;
    dirent_cache names;
    listing_cache runs;
    number_source numbers;
    std::mutex moving;  // of directories to other directories; taken before any inode

    context(volume::reader& data, volume::volume* head, settings with);

    [[nodiscard]] timestamp now() const { return how.clock(); }
};

// EINVAL, ENAMETOOLONG for what cannot be a name.
[[nodiscard]] answer<void> check_name(std::string_view name);

// The entry of a name; REQUIRES: the directory's lock, shared at least. ENOTDIR, ENOENT for a removed directory.
[[nodiscard]] answer<dirent_cache::entry> find_entry(context& in, const inode& directory, std::string_view name);
// As find_entry, under the lock it takes; ENOENT if there is none.
[[nodiscard]] answer<format::dirent_record> require_entry(context& in, const inode& directory, std::string_view name);

// How much more the volume takes: up to its own limit, or without one as far as the network goes.
[[nodiscard]] std::uint64_t free_bytes(const volume::usage& now) noexcept;

// Edits. An entry is two records; an inode one.
void put_inode(volume::change& change, inode_number ino, const format::inode_record& record);
void put_entry(volume::change& change, inode_number directory, std::string_view name, const format::dirent_record& entry);
void erase_entry(volume::change& change, inode_number directory, std::string_view name, entry_cookie cookie);

// The directory has changed: its times, and that what was read of it is stale.
inline void touch(format::inode_record& record, timestamp now) {
    record.mtime = now;
    record.ctime = now;
}
// What a program gains from its file ends when the file changes hands or content.
inline void clear_privileges(format::inode_record& record) {
    if (record.is_directory()) return;
    record.mode &= ~static_cast<std::uint32_t>(S_ISUID);
    if (record.mode & S_IXGRP) record.mode &= ~static_cast<std::uint32_t>(S_ISGID);
}
// Stores what was applied. REQUIRES: the exclusive lock.
inline void commit(inode& node, const format::inode_record& record, sequence_number at) {
    node.record = record;
    node.last_change = at;
}
inline void commit_directory(inode& node, const format::inode_record& record, sequence_number at) {
    commit(node, record, at);
    ++node.version;
}

// Takes an inode without links and references out of the volume, if nobody else does. REQUIRES: no inode locked.
void reclaim_if_unused(context& in, inode_number ino) noexcept;

// relatime: an access time moves when it is not newer than the last change, or a day old. Best effort.
void note_access(context& in, inode& node) noexcept;

}  // namespace cess::fs
