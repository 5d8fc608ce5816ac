#include "extents.hpp"
#include "stored_acls.hpp"

namespace cess::fs {
namespace {

constexpr std::uint32_t permissions = 07777;

void change_owner(format::inode_record& next, const attribute_change& what) {
    if (what.uid) next.uid = *what.uid;
    if (what.gid) next.gid = *what.gid;
    if (!what.mode) clear_privileges(next);  // the kernel sends the mode it wants if it knows better
}

}  // namespace

answer<attributes> attribute_changes::set(inode_number ino, const attribute_change& what) {
    FS_TRY(const auto node, m_in.inodes.get(ino));
    const lock_set locks{node.get()};
    if (node->gone) return refuse(ESTALE);
    const auto now = m_in.now();
    auto next = node->record;
    volume::change change;
    if (what.mode) {
        next.mode = (next.mode & S_IFMT) | (*what.mode & permissions);
        FS_CHECK(keep_acl_like_mode(m_in, *node, next, change));
    }
    if (what.uid || what.gid) change_owner(next, what);
    if (what.size) {
        if (next.is_directory()) return refuse(EISDIR);
        if (!next.is_regular()) return refuse(EINVAL);
        FS_CHECK(resize(m_in, *node, next, *what.size, change));
        next.mtime = now;
        if (what.clear_suid) clear_privileges(next);
    }
    if (what.atime) next.atime = *what.atime;
    if (what.mtime) next.mtime = *what.mtime;
    next.ctime = what.ctime.value_or(now);
    // After each rename, link and unlink the kernel sends the ctime that it stamped by the same clock as we did.
    if (change.empty() && next == node->record) return attributes_of(*node);
    put_inode(change, ino, next);
    FS_CHECK(apply_growth(m_in, change, *node, next));
    commit(*node, next);
    return attributes_of(*node);
}

}  // namespace cess::fs
