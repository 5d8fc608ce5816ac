// The ACLs of inodes. Each is an extended attribute under the kernel's name for it; which of them exist is in the inode's
// record, so that nothing is read for an inode that has none. A stored access ACL always shows the permissions of the mode,
// and says more than the mode can.
#pragma once

#include "acl.hpp"
#include "context.hpp"

namespace cess::fs {

enum class acl_kind : std::uint8_t { access = 1, directory_default = 2 };  // bits of inode_record::acls

// Empty: the name of something else.
[[nodiscard]] std::optional<acl_kind> acl_kind_of(std::string_view xattr_name);
[[nodiscard]] inline bool has_acl(const format::inode_record& record, acl_kind which) noexcept {
    return record.acls & static_cast<std::uint8_t>(which);
}

// Steps of a change; `next` is what the inode's record will be. REQUIRES: the inode's exclusive lock.

// What setxattr(2) asks for. An access ACL sets the permissions, and is not stored if they say all of it.
[[nodiscard]] answer<void> set_acl(const inode& node, acl_kind which, byte_view value, bool clear_setgid, format::inode_record& next,
                                   volume::change& change);
// Nothing to do if there is none.
void remove_acl(const inode& node, acl_kind which, format::inode_record& next, volume::change& change);
// After the permissions in `next` have changed.
[[nodiscard]] answer<void> keep_acl_like_mode(context& in, const inode& node, const format::inode_record& next, volume::change& change);
// The permissions and ACLs of a new inode: the directory's default ACL decides, or without one the umask. REQUIRES: the
// directory's lock.
[[nodiscard]] answer<void> inherit_acls(context& in, const inode& directory, std::uint32_t umask, inode_number ino,
                                        format::inode_record& next, volume::change& change);

}  // namespace cess::fs
