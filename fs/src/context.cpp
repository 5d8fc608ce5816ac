#include "context.hpp"

#include <core/base/log.hpp>

#include <algorithm>
#include <ctime>

namespace cess::fs {
namespace {

// As coarse as the clock by which the kernel stamps files itself: two clocks would let times run backwards.
timestamp system_clock() {
    timespec t{};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return {t.tv_sec, static_cast<std::uint32_t>(t.tv_nsec)};
}

settings with_clock(settings how) {
    if (!how.clock) how.clock = system_clock;
    return how;
}

// In one change. REQUIRES: the exclusive lock.
answer<void> erase_inode(context& in, inode& node) {
    if (node.gone || node.record.nlink > 0) return {};
    const auto ino = node.ino;
    volume::change change;
    if (node.record.data_end > 0) change.drop(ino.value);
    if (S_ISLNK(node.record.mode)) change.erase(format::symlink_key(ino));
    if (node.record.xattrs > 0) {
        FS_TRY(const auto rows, in.volume.data().scan(format::xattr_prefix(ino), {}, node.record.xattrs));
        for (const auto& row : rows) change.erase(row.key);
    }
    change.erase(format::inode_key(ino));
    change.erase(format::orphan_key(ino));
    FS_CHECK(in.volume.apply(change));
    node.gone = true;
    return {};
}

answer<void> reclaim(context& in, inode_number ino) {
    FS_TRY(const auto node, in.inodes.get(ino));
    {
        const lock_set locks{node.get()};
        FS_CHECK(erase_inode(in, *node));
    }
    in.inodes.erase(ino);  // without the inode's lock: the table takes its own first, then an inode's
    return {};
}

bool access_is_due(const format::inode_record& record, timestamp now) {
    constexpr std::int64_t day = 24 * 3600;
    return record.atime <= record.mtime || record.atime <= record.ctime || now.seconds - record.atime.seconds >= day;
}

}  // namespace

context::context(volume::reader& data, volume::volume* head, settings with)
    : how(with_clock(std::move(with))), volume(data, head), inodes(volume, how.inode_cache), names(how.name_cache), numbers(volume) {}

answer<void> check_name(std::string_view name) {
    if (name.size() > name_max) return refuse(ENAMETOOLONG);
    if (name.empty() || name == "." || name == ".." || name.find_first_of(std::string_view("/\0", 2)) != name.npos) return refuse(EINVAL);
    return {};
}

answer<dirent_cache::entry> find_entry(context& in, const inode& directory, std::string_view name) {
    if (directory.gone) return refuse(ESTALE);
    if (!directory.record.is_directory()) return refuse(ENOTDIR);
    if (directory.record.nlink == 0) return refuse(ENOENT);
    if (const auto known = in.names.find(directory.ino, name)) return *known;
    FS_TRY(auto entry, in.volume.load<format::dirent_record>(format::dirent_key(directory.ino, name)));
    in.names.store(directory.ino, name, entry);
    return entry;
}

answer<format::dirent_record> require_entry(context& in, const inode& directory, std::string_view name) {
    const std::shared_lock lock(directory.mutex);
    FS_TRY(const auto entry, find_entry(in, directory, name));
    if (!entry) return refuse(ENOENT);
    return *entry;
}

std::uint64_t free_bytes(const volume::usage& now) noexcept {
    if (now.size == 0) return now.network_free;
    return std::min(now.network_free, now.size - std::min(now.size, now.logical));
}

void put_inode(volume::change& change, inode_number ino, const format::inode_record& record) {
    change.put(format::inode_key(ino), wire::encode(record));
}

void put_entry(volume::change& change, inode_number directory, std::string_view name, const format::dirent_record& entry) {
    change.put(format::dirent_key(directory, name), wire::encode(entry));
    change.put(format::listing_key(directory, entry.cookie), wire::encode(format::listing_record{entry.ino, entry.type, std::string(name)}));
}

void erase_entry(volume::change& change, inode_number directory, std::string_view name, entry_cookie cookie) {
    change.erase(format::dirent_key(directory, name));
    change.erase(format::listing_key(directory, cookie));
}

void reclaim_if_unused(context& in, inode_number ino) noexcept try {
    if (in.references.any(ino) || !in.orphans.take(ino)) return;
    if (const auto done = reclaim(in, ino); !done)
        log::warn("fs", "inode {} without a name was not reclaimed (errno {}); the next mount does it", ino.value, done.error().number);
} catch (const std::exception& e) {
    log::warn("fs", "inode {} without a name was not reclaimed ({}); the next mount does it", ino.value, e.what());
}

void note_access(context& in, inode& node) noexcept try {
    if (!in.how.access_times || !in.volume.writable()) return;
    const auto now = in.now();
    {
        const std::shared_lock lock(node.mutex);
        if (!access_is_due(node.record, now)) return;
    }
    const lock_set locks{&node};
    if (node.gone || !access_is_due(node.record, now)) return;
    auto next = node.record;
    next.atime = now;
    volume::change change;
    put_inode(change, node.ino, next);
    if (in.volume.apply(change)) node.record = next;  // no reason for an fsync to wait: last_change stays
} catch (const std::exception& e) {
    log::debug("fs", "access time of inode {} not kept: {}", node.ino.value, e.what());
}

}  // namespace cess::fs
