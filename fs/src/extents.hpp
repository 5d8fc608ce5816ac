// How many of a file's bytes are not holes, kept exact without asking the engine in the usual case: a file that was
// written from its start, without gaps, is dense, and only sparse ones are looked up.
#pragma once

#include "context.hpp"

namespace cess::fs {

// Mapped bytes within [offset, offset+length). REQUIRES: the inode's lock.
[[nodiscard]] answer<std::uint64_t> mapped_within(context& in, const inode& node, std::uint64_t offset, std::uint64_t length);

// The record after a write to the range, or after the range became a hole; only `allocated` and `data_end` move.
[[nodiscard]] answer<void> account_write(context& in, const inode& node, format::inode_record& next, std::uint64_t offset, std::uint64_t length);
[[nodiscard]] answer<void> account_hole(context& in, const inode& node, format::inode_record& next, std::uint64_t offset, std::uint64_t length);

// Makes `next` end at `size`: what lay past it becomes a hole. REQUIRES: the exclusive lock.
[[nodiscard]] answer<void> resize(context& in, const inode& node, format::inode_record& next, std::uint64_t size, volume::change& change);

}  // namespace cess::fs
