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

timestamp just_past(timestamp t) {
    constexpr std::uint32_t second = 1'000'000'000;
    return t.nanoseconds + 1 < second ? timestamp{t.seconds, t.nanoseconds + 1} : timestamp{t.seconds + 1, 0};
}

settings with_clock(settings how) {
    if (!how.clock) how.clock = system_clock;
    return how;
}

// A quota goes with its directory.
answer<void> apply_removal(context& in, volume::change& change, const inode& node) {
    const auto project = node.record.project;
    const auto quota = in.projects.find(project);
    if (quota && quota->root == node.ino) {
        FS_CHECK(in.projects.end(change, project));
        in.counter.wake();
        return {};
    }
    const auto use = use_of(node.record);
    FS_CHECK(in.projects.apply(change, project, {-use.bytes, -use.files}));
    return {};
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
    FS_CHECK(apply_removal(in, change, node));
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

bool access_is_due(access_times keep, const format::inode_record& record, timestamp now) {
    if (keep == access_times::strict) return record.atime != now;
    constexpr std::int64_t day = 24 * 3600;
    return record.atime <= record.mtime || record.atime <= record.ctime || now.seconds - record.atime.seconds >= day;
}

}  // namespace

context::context(volume::reader& data, volume::volume* head, settings with)
    : how(with_clock(std::move(with))), volume(data, head), inodes(volume, how.inode_cache), names(how.name_cache), numbers(volume),
      snapshots(volume), projects(volume), counter(*this, how.count_quotas), trash(*this, how.expire_trash) {
    if (!how.count) return;
    const auto sample = [this](std::string_view name, std::string_view help, std::function<std::int64_t()> ask) {
        sampled.push_back(how.count->sample(name, help, {}, std::move(ask)));
    };
    sample("cess_fs_inodes", "Inodes in memory.", [this] { return static_cast<std::int64_t>(inodes.size()); });
    sample("cess_fs_orphans", "Files without a name that somebody has open.", [this] { return static_cast<std::int64_t>(orphans.size()); });
    sample("cess_fs_open_files", "Open files.", [this] { return open_files.load(std::memory_order_relaxed); });
    sample("cess_fs_quotas", "Quotas of directories.", [this] { return static_cast<std::int64_t>(projects.size()); });
}

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

answer<bool> is_within(context& in, inode_number below, inode_number top) {
    for (auto at = below;;) {
        if (at == top) return true;
        if (at == root_inode) return false;
        FS_TRY(const auto node, in.inodes.get(at));
        const std::shared_lock lock(node->mutex);
        if (node->record.nlink == 0 || node->record.parent == at) return false;
        at = node->record.parent;
    }
}

std::uint64_t bytes_left(const format::quota_record& of) noexcept {
    return of.bytes_max == 0 ? ~std::uint64_t{0} : of.bytes_max - std::min(of.bytes_max, of.bytes);
}

std::uint64_t files_left(const format::quota_record& of) noexcept {
    return of.files_max == 0 ? ~std::uint64_t{0} : of.files_max - std::min(of.files_max, of.files);
}

answer<void> check_growth(context& in, const inode& node, std::uint64_t bytes) {
    if (free_bytes(in.volume.data().usage_now()) < bytes) return refuse(ENOSPC);
    project_id project;
    {
        const std::shared_lock lock(node.mutex);
        project = node.record.project;
    }
    const auto quota = in.projects.find(project);
    if (quota && bytes_left(*quota) < bytes) return refuse(EDQUOT);
    return {};
}

answer<void> apply_growth(context& in, volume::change& change, const inode& node, const format::inode_record& next) {
    const auto by = static_cast<std::int64_t>(next.allocated) - static_cast<std::int64_t>(node.record.allocated);
    return in.projects.apply(change, next.project, {by, 0});
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

format::dirent_record add_entry(volume::change& change, const inode& directory, format::inode_record& next, std::string_view name,
                                inode_number ino, std::uint32_t type, timestamp now) {
    const format::dirent_record entry{ino, type, next.next_cookie};
    next.next_cookie = next.next_cookie.next();
    ++next.entries;
    if (S_ISDIR(type)) ++next.nlink;
    touch(next, now);
    // The kernel hears of no change there but by this time, and would take what it has listed in the same tick for fresh.
    if (is_of_trash(directory)) next.mtime = std::max(now, just_past(directory.record.mtime));
    put_entry(change, directory.ino, name, entry);
    put_inode(change, directory.ino, next);
    return entry;
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
    if (in.how.atime == access_times::never || !in.volume.writable()) return;
    const auto now = in.now();
    {
        const std::shared_lock lock(node.mutex);
        if (!access_is_due(in.how.atime, node.record, now)) return;
    }
    const lock_set locks{&node};
    if (node.gone || !access_is_due(in.how.atime, node.record, now)) return;
    auto next = node.record;
    next.atime = now;
    volume::change change;
    put_inode(change, node.ino, next);
    if (in.volume.apply(change)) commit(node, next);
} catch (const std::exception& e) {
    log::debug("fs", "access time of inode {} not kept: {}", node.ino.value, e.what());
}

}  // namespace cess::fs
