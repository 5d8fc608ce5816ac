// Quotas as extended attributes: the door through which programs reach them, with no more than setfattr(1). The names are
// Ceph's, but for the first word.
#pragma once

#include <fs/operations.hpp>

namespace cess::fs {

// Of decimal digits; EINVAL for anything else.
[[nodiscard]] answer<std::uint64_t> parse_number(std::string_view text);
[[nodiscard]] answer<bytes> get_quota_attribute(quotas& of, inode_number ino, std::string_view name);
[[nodiscard]] answer<void> set_quota_attribute(quotas& of, inode_number ino, std::string_view name, byte_view value, xattr_mode how);
[[nodiscard]] answer<void> remove_quota_attribute(quotas& of, inode_number ino, std::string_view name);

}  // namespace cess::fs
