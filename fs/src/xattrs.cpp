#include "context.hpp"

#include <sys/xattr.h>

#include <algorithm>

namespace cess::fs {
namespace {

constexpr std::size_t value_max = 65536;      // the kernel's own limit
constexpr std::size_t list_size_max = 65536;  // of all names with their NULs: what listxattr(2) can give
constexpr std::size_t count_max = list_size_max / 2;

answer<void> check_xattr_name(std::string_view name) {
    if (name.size() > name_max) return refuse(ERANGE);
    for (const std::string_view space : {"user.", "trusted.", "security."})
        if (name.starts_with(space) && name.size() > space.size()) return {};
    return refuse(EOPNOTSUPP);  // system.posix_acl_* among them
}

answer<std::string> names_of(context& in, const inode& node) {
    std::string list;
    if (node.record.xattrs == 0) return list;
    const auto prefix = format::xattr_prefix(node.ino);
    FS_TRY(const auto rows, in.volume.data().scan(prefix, {}, count_max));
    for (const auto& row : rows) {
        list += as_text(byte_view(row.key).subspan(prefix.size()));
        list.push_back('\0');
    }
    return list;
}

}  // namespace

answer<bytes> xattrs::get(inode_number ino, std::string_view name) {
    FS_TRY(const auto node, m_in.inodes.get(ino));
    const std::shared_lock lock(node->mutex);
    if (node->gone) return refuse(ESTALE);
    FS_CHECK(check_xattr_name(name));
    if (node->record.xattrs == 0) return refuse(ENODATA);
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

answer<void> xattrs::set(inode_number ino, std::string_view name, byte_view value, xattr_mode how) {
    FS_CHECK(check_xattr_name(name));
    if (value.size() > value_max) return refuse(E2BIG);
    FS_TRY(const auto node, m_in.inodes.get(ino));
    const lock_set locks{node.get()};
    if (node->gone) return refuse(ESTALE);
    const auto key = format::xattr_key(ino, name);
    bool present = false;
    if (node->record.xattrs > 0) {
        FS_TRY(const auto old, m_in.volume.data().get(key));
        present = old.has_value();
    }
    if (how == xattr_mode::create && present) return refuse(EEXIST);
    if (how == xattr_mode::replace && !present) return refuse(ENODATA);
    auto next = node->record;
    if (!present) {
        FS_TRY(const auto names, names_of(m_in, *node));
        if (names.size() + name.size() + 1 > list_size_max) return refuse(ENOSPC);
        ++next.xattrs;
    }
    next.ctime = m_in.now();
    volume::change change;
    change.put(key, to_bytes(value));
    put_inode(change, ino, next);
    FS_TRY(const auto at, m_in.volume.apply(change));
    commit(*node, next, at);
    return {};
}

answer<void> xattrs::remove(inode_number ino, std::string_view name) {
    FS_CHECK(check_xattr_name(name));
    FS_TRY(const auto node, m_in.inodes.get(ino));
    const lock_set locks{node.get()};
    if (node->gone) return refuse(ESTALE);
    const auto key = format::xattr_key(ino, name);
    if (node->record.xattrs == 0) return refuse(ENODATA);
    FS_TRY(const auto old, m_in.volume.data().get(key));
    if (!old) return refuse(ENODATA);
    auto next = node->record;
    --next.xattrs;
    next.ctime = m_in.now();
    volume::change change;
    change.erase(key);
    put_inode(change, ino, next);
    FS_TRY(const auto at, m_in.volume.apply(change));
    commit(*node, next, at);
    return {};
}

}  // namespace cess::fs
