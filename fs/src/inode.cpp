#include "inode.hpp"

#include <algorithm>

namespace cess::fs {

attributes attributes_of(const inode& node) {
    const auto& r = node.record;
    attributes a;
    a.ino = node.ino;
    a.generation = r.generation;
    a.mode = r.mode;
    a.uid = r.uid;
    a.gid = r.gid;
    a.rdev = r.rdev;
    a.nlink = r.nlink;
    a.size = r.size;
    a.allocated = r.allocated;
    a.atime = r.atime;
    a.mtime = r.mtime;
    a.ctime = r.ctime;
    a.btime = r.btime;
    a.is_trash = is_of_trash(node);
    a.full = node.wants_room > 0;
    return a;
}

lock_set::lock_set(std::initializer_list<const inode*> nodes) {
    for (const auto* node : nodes) {
        if (!node || std::find(m_locked, m_locked + m_count, node) != m_locked + m_count) continue;
        m_locked[m_count++] = node;
    }
    std::sort(m_locked, m_locked + m_count, [](const inode* a, const inode* b) { return a->ino < b->ino; });
    for (std::size_t i = 0; i < m_count; ++i) m_locked[i]->mutex.lock();
}

lock_set::~lock_set() {
    while (m_count > 0) m_locked[--m_count]->mutex.unlock();
}

}  // namespace cess::fs
