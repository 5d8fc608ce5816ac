#include "stored_acls.hpp"

namespace cess::fs {
namespace {

format::inode_record new_record(const inode& directory, const new_inode& what, timestamp now, std::uint64_t generation) {
    format::inode_record r;
    r.mode = what.mode;
    r.uid = what.by.uid;
    r.gid = what.by.gid;
    if (directory.record.mode & S_ISGID) {  // the group, and the habit, of a setgid directory
        r.gid = directory.record.gid;
        if (S_ISDIR(what.mode)) r.mode |= S_ISGID;
    }
    r.nlink = S_ISDIR(what.mode) ? 2 : 1;
    r.rdev = what.rdev;
    r.size = what.target.size();
    r.atime = r.mtime = r.ctime = r.btime = now;
    r.generation = generation;
    if (S_ISDIR(what.mode)) r.parent = directory.ino;
    r.project = directory.record.project;
    return r;
}

}  // namespace

answer<attributes> creation::make(inode_number number, std::string_view name, const new_inode& what) {
    FS_CHECK(check_name(name));
    if (what.target.size() > symlink_max) return refuse(ENAMETOOLONG);
    if (S_ISLNK(what.mode) && what.target.empty()) return refuse(ENOENT);
    if (!m_in.volume.writable()) return refuse(EROFS);
    FS_TRY(const auto directory, m_in.inodes.get(number));
    const lock_set locks{directory.get()};
    FS_TRY(const auto existing, find_entry(m_in, *directory, name));
    if (existing) return refuse(EEXIST);
    if (S_ISDIR(what.mode) && directory->record.nlink >= link_max) return refuse(EMLINK);
    FS_TRY(const auto ino, m_in.numbers.take());

    const auto now = m_in.now();
    volume::change change;
    auto next = directory->record;
    auto record = new_record(*directory, what, now, m_in.volume.data().record().term.value);
    FS_CHECK(inherit_acls(m_in, *directory, what.umask, ino, record, change));
    put_inode(change, ino, record);
    if (S_ISLNK(what.mode)) change.put(format::symlink_key(ino), to_bytes(what.target));
    const auto entry = add_entry(change, *directory, next, name, ino, what.mode & S_IFMT, now);
    FS_CHECK(m_in.projects.apply(change, record.project, {0, 1}));

    const auto node = m_in.inodes.insert(ino, record);
    m_in.references.add(ino);
    m_in.names.store(number, name, entry);
    commit_directory(*directory, next);
    attributes made;
    {
        const std::shared_lock lock(node->mutex);
        made = attributes_of(*node);
    }
    return made;
}

answer<attributes> creation::link(inode_number ino, inode_number number, std::string_view name) {
    FS_CHECK(check_name(name));
    FS_TRY(const auto directory, m_in.inodes.get(number));
    FS_TRY(const auto node, m_in.inodes.get(ino));
    const lock_set locks{directory.get(), node.get()};
    if (node->gone) return refuse(ESTALE);
    if (node->record.is_directory()) return refuse(EPERM);
    if (node->record.nlink == 0) return refuse(ENOENT);
    if (node->record.nlink >= link_max) return refuse(EMLINK);
    FS_TRY(const auto existing, find_entry(m_in, *directory, name));
    if (existing) return refuse(EEXIST);
    if (m_in.projects.live(node->record.project) != m_in.projects.live(directory->record.project)) return refuse(EXDEV);

    const auto now = m_in.now();
    volume::change change;
    auto next_directory = directory->record;
    auto next = node->record;
    ++next.nlink;
    next.ctime = now;
    const auto entry = add_entry(change, *directory, next_directory, name, ino, next.mode & S_IFMT, now);
    put_inode(change, ino, next);
    FS_CHECK(m_in.volume.apply(change));

    m_in.references.add(ino);
    m_in.names.store(number, name, entry);
    commit(*node, next);
    commit_directory(*directory, next_directory);
    return attributes_of(*node);
}

}  // namespace cess::fs
