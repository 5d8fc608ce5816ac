#include "extents.hpp"

#include <algorithm>

namespace cess::fs {
namespace {

answer<void> check_range(std::uint64_t offset, std::uint64_t length) {
    if (offset > file_size_max || length > file_size_max - offset) return refuse(EFBIG);
    return {};
}

answer<std::uint64_t> mapped_now(context& in, const inode& node, std::uint64_t offset, std::uint64_t length) {
    const std::shared_lock lock(node.mutex);
    return mapped_within(in, node, offset, length);
}

// An empty file in a full quota: whatever is written to it will be refused.
bool takes_nothing(context& in, const inode& node) {
    const std::shared_lock lock(node.mutex);
    if (node.record.project.value == 0 || node.record.data_end > 0) return false;
    const auto quota = in.projects.find(node.record.project);
    return quota && bytes_left(*quota) == 0;
}

}  // namespace

answer<std::unique_ptr<open_file>> files::open(inode_number ino, bool writes, bool truncate, bool clear_suid) {
    if (writes && !m_in.volume.writable()) return refuse(EROFS);
    FS_TRY(auto node, m_in.inodes.get(ino));
    bool cleared = false;
    if (truncate) {
        const lock_set locks{node.get()};
        if (node->gone) return refuse(ESTALE);
        auto next = node->record;
        volume::change change;
        FS_CHECK(resize(m_in, *node, next, 0, change));
        touch(next, m_in.now());
        if (clear_suid) clear_privileges(next);
        put_inode(change, ino, next);
        FS_CHECK(apply_growth(m_in, change, *node, next));
        cleared = next.mode != node->record.mode;
        commit(*node, next);
    }
    const bool full = writes && takes_nothing(m_in, *node);
    // What an earlier writer had no room for is his own affair.
    if (writes && (truncate || node->writers == 0)) node->wants_room = full ? room_for_any : 0;
    else if (full && node->wants_room == 0) node->wants_room = room_for_any;
    if ((cleared || full) && m_in.how.attributes_changed) m_in.how.attributes_changed(ino);
    auto file = std::make_unique<open_file>();
    if (writes) ++node->writers;
    m_in.open_files.fetch_add(1, std::memory_order_relaxed);
    file->writes = writes;
    file->node = std::move(node);
    return file;
}

void files::release(std::unique_ptr<open_file> file) noexcept {
    if (file->writes) --file->node->writers;
    m_in.open_files.fetch_sub(1, std::memory_order_relaxed);
}

answer<std::size_t> files::read(open_file& file, std::uint64_t offset, byte_span out) {
    auto& node = *file.node;
    std::uint64_t size = 0;
    {
        const std::shared_lock lock(node.mutex);
        if (node.gone) return refuse(ESTALE);
        size = node.record.size;
    }
    if (offset >= size) return 0;
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size - offset));
    FS_CHECK(m_in.volume.data().read(node.ino.value, offset, out.first(n)));
    if (!file.keeps_access_time) note_access(m_in, node);
    return n;
}

answer<bool> files::store_bytes(inode& node, std::uint64_t offset, byte_view data, bool clear_suid) {
    const lock_set locks{&node};
    if (node.gone) return refuse(ESTALE);
    if (data.empty()) return false;
    auto next = node.record;
    next.size = std::max(next.size, offset + data.size());
    FS_CHECK(account_write(m_in, node, next, offset, data.size()));
    touch(next, m_in.now());
    if (clear_suid) clear_privileges(next);
    volume::change change;
    change.write(node.ino.value, offset, data);
    put_inode(change, node.ino, next);
    FS_CHECK(apply_growth(m_in, change, node, next));
    const bool cleared = next.mode != node.record.mode;
    commit(node, next);
    return cleared;
}

// The kernel takes writes into its cache and learns only later that there is no room; unless told, a writer goes on for
// ever. So it is told that the attributes changed: it then asks for them, as the writer, before it takes the next bytes.
answer<void> files::write(open_file& file, std::uint64_t offset, byte_view data, bool clear_suid) {
    FS_CHECK(check_range(offset, data.size()));
    auto& node = *file.node;
    const auto cleared = store_bytes(node, offset, data, clear_suid);
    const bool full = !cleared && (cleared.error().number == ENOSPC || cleared.error().number == EDQUOT);
    if (full) node.wants_room = std::max<std::uint64_t>(data.size(), room_for_any + 1);
    if ((full || (cleared && *cleared)) && m_in.how.attributes_changed) m_in.how.attributes_changed(node.ino);
    if (!cleared) return cleared.error();
    return {};
}

answer<void> files::check_room(open_file& file) {
    const auto wanted = file.node->wants_room.load();
    if (wanted == 0 || !file.writes) return {};
    const auto room = check_growth(m_in, *file.node, wanted);
    if (room) {
        file.node->wants_room = 0;
    } else if (file.reads) {  // the kernel asks the same for reads past the end: one is told once of each refused write
        if (wanted == room_for_any) return {};
        file.node->wants_room = room_for_any;
    }
    return room;
}

answer<void> files::allocate(open_file& file, std::uint64_t offset, std::uint64_t length, allocation how) {
    if (length == 0) return refuse(EINVAL);
    FS_CHECK(check_range(offset, length));
    auto& node = *file.node;
    const auto end = offset + length;
    if (!how.punch_hole && !how.zero_range) {
        FS_TRY(const auto there, mapped_now(m_in, node, offset, length));
        FS_CHECK(check_growth(m_in, node, length - there));
    }
    const lock_set locks{&node};
    if (node.gone) return refuse(ESTALE);
    if (!node.record.is_regular()) return refuse(ENODEV);
    auto next = node.record;
    volume::change change;
    if (how.punch_hole || how.zero_range) {
        const auto reach = std::min(end, next.data_end);
        if (offset < reach) {
            FS_CHECK(account_hole(m_in, node, next, offset, reach - offset));
            change.zero(node.ino.value, offset, reach - offset);
        }
    }
    if (!how.keep_size && !how.punch_hole) next.size = std::max(next.size, end);
    if (change.empty() && next.size == node.record.size) return {};
    touch(next, m_in.now());
    put_inode(change, node.ino, next);
    FS_CHECK(apply_growth(m_in, change, node, next));
    commit(node, next);
    return {};
}

answer<std::uint64_t> files::seek(open_file& file, std::uint64_t offset, bool data) {
    auto& node = *file.node;
    // Dirty pages in the kernel's cache are data that no extent shows yet.
    if (node.writers > 0 && m_in.how.write_back) FS_CHECK(m_in.how.write_back(node.ino));
    const std::shared_lock lock(node.mutex);
    const auto& r = node.record;
    if (offset >= r.size) return refuse(ENXIO);
    const auto end = std::min(r.size, r.data_end);
    if (offset >= end) return data ? answer<std::uint64_t>(refuse(ENXIO)) : answer<std::uint64_t>(offset);
    if (r.dense()) return data ? offset : end;
    constexpr std::uint64_t window = 1 * GiB;  // of the map, so that a huge file is not mapped at once
    for (auto at = offset; at < end;) {
        const auto length = std::min(window, end - at);
        FS_TRY(const auto ranges, m_in.volume.data().map(node.ino.value, at, length));
        for (const auto& range : ranges)
            if (range.data == data && range.length > 0) return std::max(range.offset, offset);
        at += length;
    }
    if (data) return refuse(ENXIO);
    return end;
}

// A range of many small extents makes a change that the engine refuses as too large: then less of it.
answer<std::uint64_t> files::copy(open_file& from, std::uint64_t from_offset, open_file& to, std::uint64_t to_offset, std::uint64_t length) {
    constexpr std::uint64_t smallest = 1 * MiB;
    for (;; length /= 2) {
        auto copied = share(from, from_offset, to, to_offset, length);
        if (copied || copied.error().number != EFBIG || length <= smallest) return copied;
    }
}

answer<std::uint64_t> files::share(open_file& from, std::uint64_t from_offset, open_file& to, std::uint64_t to_offset, std::uint64_t length) {
    FS_CHECK(check_range(to_offset, length));
    auto& source = *from.node;
    auto& target = *to.node;
    const lock_set locks{&source, &target};
    if (source.gone || target.gone) return refuse(ESTALE);
    if (!source.record.is_regular() || !target.record.is_regular()) return refuse(EINVAL);
    if (from_offset >= source.record.size) return 0;
    length = std::min(length, source.record.size - from_offset);
    const bool overlap = &source == &target && from_offset < to_offset + length && to_offset < from_offset + length;
    if (overlap) return refuse(EINVAL);
    if (length == 0) return 0;

    auto next = target.record;
    volume::change change;
    FS_TRY(const auto brought, mapped_within(m_in, source, from_offset, length));
    FS_TRY(const auto replaced, mapped_within(m_in, target, to_offset, length));
    change.share(source.ino.value, from_offset, target.ino.value, to_offset, length);
    next.allocated = next.allocated - std::min(next.allocated, replaced) + brought;
    // Exact only if the shared range ends in data; a hole at the end keeps data_end where nothing is mapped, which the
    // map then finds: it must only never be too small, or claim density that is not there.
    next.data_end = std::max(next.data_end, to_offset + length);
    next.size = std::max(next.size, to_offset + length);
    touch(next, m_in.now());
    put_inode(change, target.ino, next);
    FS_CHECK(apply_growth(m_in, change, target, next));
    commit(target, next);
    return length;
}

}  // namespace cess::fs
