// What the families of operations share, and the steps they have in common.
#pragma once

#include "dirent_cache.hpp"
#include "inode_table.hpp"
#include "listing_cache.hpp"
#include "numbers.hpp"
#include "project_table.hpp"
#include "quota_counter.hpp"
#include "snapshots/snapshot_numbers.hpp"
#include "trash_bin.hpp"

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
    snapshot_numbers snapshots;
    std::mutex moving;  // of directories to other directories, and beginning a quota; taken before any inode
    project_table projects;
    std::atomic<std::int64_t> open_files{0};
    std::vector<metrics::sampled> sampled;
    quota_counter counter;  // these last: their threads use all the others
    trash_bin trash;

    context(volume::reader& data, volume::volume* head, settings with);

    [[nodiscard]] timestamp now() const { return how.clock(); }
};

// EINVAL, ENAMETOOLONG for what cannot be a name.
[[nodiscard]] answer<void> check_name(std::string_view name);

// The entry of a name; REQUIRES: the directory's lock, shared at least. ENOTDIR, ENOENT for a removed directory.
[[nodiscard]] answer<dirent_cache::entry> find_entry(context& in, const inode& directory, std::string_view name);
// As find_entry, under the lock it takes; ENOENT if there is none.
[[nodiscard]] answer<format::dirent_record> require_entry(context& in, const inode& directory, std::string_view name);

// Is `below` within `top`, or it? REQUIRES: in.moving, so that no directory changes its parent.
[[nodiscard]] answer<bool> is_within(context& in, inode_number below, inode_number top);

// How much more the volume takes: up to its own limit, or without one as far as the network goes.
[[nodiscard]] std::uint64_t free_bytes(const volume::usage& now) noexcept;
// What is left of a quota's bytes, or files; without a limit, everything.
[[nodiscard]] std::uint64_t bytes_left(const format::quota_record& of) noexcept;
[[nodiscard]] std::uint64_t files_left(const format::quota_record& of) noexcept;
// Whether a file may grow by so much: ENOSPC, EDQUOT. REQUIRES: no lock of the inode's.
[[nodiscard]] answer<void> check_growth(context& in, const inode& node, std::uint64_t bytes);

// Edits. An entry is two records; an inode one.
void put_inode(volume::change& change, inode_number ino, const format::inode_record& record);
void put_entry(volume::change& change, inode_number directory, std::string_view name, const format::dirent_record& entry);
// A new entry, and with it the directory's record.
[[nodiscard]] format::dirent_record add_entry(volume::change& change, const inode& directory, format::inode_record& next, std::string_view name,
                                              inode_number ino, std::uint32_t type, timestamp now);
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
// Applies the change that makes an inode's record `next`, charging its project for the bytes. REQUIRES: the exclusive lock.
[[nodiscard]] answer<void> apply_growth(context& in, volume::change& change, const inode& node, const format::inode_record& next);
// Stores what was applied. REQUIRES: the exclusive lock.
inline void commit(inode& node, const format::inode_record& record) { node.record = record; }
inline void commit_directory(inode& node, const format::inode_record& record) {
    commit(node, record);
    ++node.version;
}

// Takes an inode without links and references out of the volume, if nobody else does. REQUIRES: no inode locked.
void reclaim_if_unused(context& in, inode_number ino) noexcept;

// After a read, as settings::atime says; relative: when it is not newer than the last change, or a day old. Best effort.
void note_access(context& in, inode& node) noexcept;

}  // namespace cess::fs
