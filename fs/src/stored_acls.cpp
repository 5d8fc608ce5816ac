#include "stored_acls.hpp"

#include <linux/xattr.h>

namespace cess::fs {
namespace {

bytes key_of(inode_number ino, acl_kind which) {
    return format::xattr_key(ino, which == acl_kind::access ? XATTR_NAME_POSIX_ACL_ACCESS : XATTR_NAME_POSIX_ACL_DEFAULT);
}

answer<acl> load_acl(context& in, inode_number ino, acl_kind which) {
    FS_TRY(const auto value, in.volume.data().get(key_of(ino, which)));
    auto found = acl::parse(value.value_or(bytes()));
    if (!found || !*found) return posix_error(error(errc::corrupt, "no valid ACL where an inode's record says that there is one"));
    return std::move(**found);
}

void put_acl(inode_number ino, acl_kind which, const acl& what, format::inode_record& next, volume::change& change) {
    if (!has_acl(next, which)) ++next.xattrs;
    next.acls |= static_cast<std::uint8_t>(which);
    change.put(key_of(ino, which), what.encode());
}

}  // namespace

std::optional<acl_kind> acl_kind_of(std::string_view xattr_name) {
    if (xattr_name == XATTR_NAME_POSIX_ACL_ACCESS) return acl_kind::access;
    if (xattr_name == XATTR_NAME_POSIX_ACL_DEFAULT) return acl_kind::directory_default;
    return std::nullopt;
}

answer<void> set_acl(const inode& node, acl_kind which, byte_view value, bool clear_setgid, format::inode_record& next,
                     volume::change& change) {
    FS_TRY(const auto wanted, acl::parse(value));
    const bool access = which == acl_kind::access;
    if (wanted && !access && !next.is_directory()) return refuse(EACCES);
    if (wanted && access) {
        next.mode = wanted->applied_to(next.mode);
        if (clear_setgid) next.mode &= ~static_cast<std::uint32_t>(S_ISGID);
    }
    if (wanted && !(access && wanted->equals_mode())) put_acl(node.ino, which, *wanted, next, change);
    else remove_acl(node, which, next, change);
    return {};
}

void remove_acl(const inode& node, acl_kind which, format::inode_record& next, volume::change& change) {
    if (!has_acl(next, which)) return;
    --next.xattrs;
    next.acls &= static_cast<std::uint8_t>(~static_cast<std::uint8_t>(which));
    change.erase(key_of(node.ino, which));
}

answer<void> keep_acl_like_mode(context& in, const inode& node, const format::inode_record& next, volume::change& change) {
    if (!has_acl(next, acl_kind::access)) return {};
    FS_TRY(auto list, load_acl(in, node.ino, acl_kind::access));
    list.take(next.mode);
    change.put(key_of(node.ino, acl_kind::access), list.encode());
    return {};
}

answer<void> inherit_acls(context& in, const inode& directory, std::uint32_t umask, inode_number ino, format::inode_record& next,
                          volume::change& change) {
    if (S_ISLNK(next.mode)) return {};
    if (!in.how.acls || !has_acl(directory.record, acl_kind::directory_default)) {
        next.mode &= ~(umask & 0777);
        return {};
    }
    FS_TRY(auto list, load_acl(in, directory.ino, acl_kind::directory_default));
    if (next.is_directory()) put_acl(ino, acl_kind::directory_default, list, next, change);
    next.mode = list.narrow(next.mode);
    if (!list.equals_mode()) put_acl(ino, acl_kind::access, list, next, change);
    return {};
}

}  // namespace cess::fs
