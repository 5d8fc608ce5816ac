#include "extents.hpp"

#include <algorithm>

namespace cess::fs {

answer<std::uint64_t> mapped_within(context& in, const inode& node, std::uint64_t offset, std::uint64_t length) {
    const auto& r = node.record;
    if (offset >= r.data_end || length == 0) return 0;
    const auto reach = std::min(length, r.data_end - offset);
    if (r.dense()) return reach;
    FS_TRY(const auto ranges, in.volume.data().map(node.ino.value, offset, reach));
    std::uint64_t mapped = 0;
    for (const auto& range : ranges)
        if (range.data) mapped += range.length;
    return mapped;
}

answer<void> account_write(context& in, const inode& node, format::inode_record& next, std::uint64_t offset, std::uint64_t length) {
    FS_TRY(const auto already, mapped_within(in, node, offset, length));
    next.allocated += length - already;
    next.data_end = std::max(next.data_end, offset + length);
    return {};
}

answer<void> account_hole(context& in, const inode& node, format::inode_record& next, std::uint64_t offset, std::uint64_t length) {
    FS_TRY(const auto lost, mapped_within(in, node, offset, length));
    next.allocated -= std::min(next.allocated, lost);
    if (offset + length >= next.data_end) next.data_end = std::min(next.data_end, offset);
    return {};
}

answer<void> resize(context& in, const inode& node, format::inode_record& next, std::uint64_t size, volume::change& change) {
    if (size > file_size_max) return refuse(EFBIG);
    if (const auto end = node.record.data_end; size < end) {
        FS_CHECK(account_hole(in, node, next, size, end - size));
        change.zero(node.ino.value, size, end - size);
    }
    next.size = size;
    return {};
}

}  // namespace cess::fs
