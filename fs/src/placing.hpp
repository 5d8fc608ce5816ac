// Finds the miners behind a file.
#pragma once

#include "context.hpp"

#include <fs/placement.hpp>

namespace cess::fs {

// From `offset` on, as much as an attribute holds. REQUIRES: the inode's lock.
[[nodiscard]] answer<placement> place(context& in, const inode& node, std::uint64_t offset);

}  // namespace cess::fs
