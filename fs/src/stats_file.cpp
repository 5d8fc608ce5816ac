#include "stats_file.hpp"

#include "snapshots/numbering.hpp"

namespace cess::fs {

attributes stats_file::attributes_now() const {
    attributes a;
    a.ino = stats_inode;
    a.mode = S_IFREG | 0400;
    a.uid = m_owner.uid;
    a.gid = m_owner.gid;
    a.nlink = 1;
    a.atime = a.mtime = a.ctime = a.btime = m_since;
    return a;
}

}  // namespace cess::fs
