#include "placing.hpp"
#include "quota_attributes.hpp"
#include "stored_acls.hpp"

#include <sys/xattr.h>

#include <algorithm>

namespace cess::fs {
namespace {

constexpr std::size_t value_max = 65536;      // the kernel's own limit
constexpr std::size_t list_size_max = 65536;  // of all names with their NULs: what listxattr(2) can give
constexpr std::size_t count_max = list_size_max / 2;

answer<void> check_xattr_name(const context& in, const inode& node, std::string_view name) {
    if (name.size() > name_max) return refuse(ERANGE);
    for (const std::string_view space : {"user.", "trusted.", "security."})
        if (name.starts_with(space) && name.size() > space.size()) return {};
    if (in.how.acls && acl_kind_of(name) && !S_ISLNK(node.record.mode)) return {};
    return refuse(EOPNOTSUPP);
}

answer<std::string> names_of(context& in, const inode& node) {
    std::string list;
    if (node.record.xattrs == 0) return list;
    const auto prefix = format::xattr_prefix(node.ino);
    FS_TRY(const auto rows, in.volume.data().scan(prefix, {}, count_max));
    for (const auto& row : rows) {
        const auto name = as_text(byte_view(row.key).subspan(prefix.size()));
        if (!in.how.acls && acl_kind_of(name)) continue;
        list += name;
        list.push_back('\0');
    }
    return list;
}

answer<bool> is_present(context& in, const inode& node, std::string_view name) {
    if (node.record.xattrs == 0) return false;
    FS_TRY(const auto value, in.volume.data().get(format::xattr_key(node.ino, name)));
    return value.has_value();
}

answer<void> set_value(context& in, const inode& node, std::string_view name, byte_view value, xattr_mode how, format::inode_record& next,
                       volume::change& change) {
    if (value.size() > value_max) return refuse(E2BIG);
    FS_TRY(const bool present, is_present(in, node, name));
    if (how == xattr_mode::create && present) return refuse(EEXIST);
    if (how == xattr_mode::replace && !present) return refuse(ENODATA);
    if (!present) ++next.xattrs;
    change.put(format::xattr_key(node.ino, name), to_bytes(value));
    return {};
}

// The trash is the root's.
answer<bytes> get_trash_days(context& in, inode_number ino) {
    if (ino != root_inode) return refuse(ENODATA);
    return to_bytes(std::to_string(in.trash.days()));
}

answer<void> set_trash_days(context& in, inode_number ino, std::string_view text) {
    if (ino != root_inode) return refuse(EOPNOTSUPP);
    FS_TRY(const auto days, parse_number(text));
    if (days > trash_days_max) return refuse(EINVAL);
    return in.trash.set_days(static_cast<std::uint32_t>(days));
}

bool is_quota(std::string_view name) { return name.starts_with(quota_attribute_prefix); }

}  // namespace

answer<bytes> xattrs::get(inode_number ino, std::string_view name) {
    if (is_quota(name)) {
        quotas of(m_in);
        return get_quota_attribute(of, ino, name);
    }
    if (name == trash_attribute) return get_trash_days(m_in, ino);
    FS_TRY(const auto node, m_in.inodes.get(ino));
    const std::shared_lock lock(node->mutex);
    if (node->gone) return refuse(ESTALE);
    if (const auto offset = placement_offset(name)) {
        FS_TRY(const auto where, place(m_in, *node, *offset));
        return wire::encode(where);
    }
    FS_CHECK(check_xattr_name(m_in, *node, name));
    if (node->record.xattrs == 0) return refuse(ENODATA);
    if (const auto which = acl_kind_of(name); which && !has_acl(node->record, *which)) return refuse(ENODATA);
    FS_TRY(auto value, m_in.volume.data().get(format::xattr_key(ino, name)));
    if (!value) return refuse(ENODATA);
    return std::move(*value);
}

answer<std::string> xattrs::list(inode_number ino) {
    FS_TRY(const auto node, m_in.inodes.get(ino));
    const std::shared_lock lock(node->mutex);
    if (node->gone) return refuse(ESTALE);
    return names_of(m_in, *node);
}

answer<void> xattrs::set(inode_number ino, std::string_view name, byte_view value, xattr_mode how, bool clear_setgid) {
    if (is_quota(name)) {
        quotas of(m_in);
        return set_quota_attribute(of, ino, name, value, how);
    }
    if (name == trash_attribute) return set_trash_days(m_in, ino, as_text(value));
    FS_TRY(const auto node, m_in.inodes.get(ino));
    const lock_set locks{node.get()};
    if (node->gone) return refuse(ESTALE);
    FS_CHECK(check_xattr_name(m_in, *node, name));
    auto next = node->record;
    volume::change change;
    const auto which = acl_kind_of(name);
    FS_CHECK(which ? set_acl(*node, *which, value, clear_setgid, next, change) : set_value(m_in, *node, name, value, how, next, change));
    if (next.xattrs > node->record.xattrs) {
        FS_TRY(const auto names, names_of(m_in, *node));
        if (names.size() + name.size() + 1 > list_size_max) return refuse(ENOSPC);
    }
    next.ctime = m_in.now();
    put_inode(change, ino, next);
    FS_CHECK(m_in.volume.apply(change));
    commit(*node, next);
    return {};
}

answer<void> xattrs::remove(inode_number ino, std::string_view name) {
    if (is_quota(name)) {
        quotas of(m_in);
        return remove_quota_attribute(of, ino, name);
    }
    if (name == trash_attribute) return set_trash_days(m_in, ino, "0");
    FS_TRY(const auto node, m_in.inodes.get(ino));
    const lock_set locks{node.get()};
    if (node->gone) return refuse(ESTALE);
    FS_CHECK(check_xattr_name(m_in, *node, name));
    auto next = node->record;
    volume::change change;
    if (const auto which = acl_kind_of(name)) {
        remove_acl(*node, *which, next, change);
    } else {
        FS_TRY(const bool present, is_present(m_in, *node, name));
        if (!present) return refuse(ENODATA);
        --next.xattrs;
        change.erase(format::xattr_key(ino, name));
    }
    next.ctime = m_in.now();
    put_inode(change, ino, next);
    FS_CHECK(m_in.volume.apply(change));
    commit(*node, next);
    return {};
}

}  // namespace cess::fs
