#include "face.hpp"

namespace cess::fs {
namespace {

timespec to_timespec(timestamp t) { return {t.seconds, static_cast<long>(t.nanoseconds)}; }

// Which snapshots there are changes behind the kernel's back.
constexpr double aside_timeout = 1;

double attr_timeout(const face& in, const attributes& a) {
    if (a.full || a.is_trash) return 0;
    return a.ino == snapshots_directory || is_snapshot_root(a.ino) ? std::min(in.attr_timeout, aside_timeout) : in.attr_timeout;
}
double entry_timeout(const face& in, inode_number of) {
    return is_snapshot_root(of) ? std::min(in.entry_timeout, aside_timeout) : in.entry_timeout;
}

}  // namespace

struct stat to_stat(const attributes& a) {
    struct stat s {};
    s.st_ino = a.ino.value;
    s.st_mode = a.mode;
    s.st_nlink = a.nlink;
    s.st_uid = a.uid;
    s.st_gid = a.gid;
    s.st_rdev = a.rdev;
    s.st_size = static_cast<off_t>(a.size);
    s.st_blksize = 4096;
    s.st_blocks = static_cast<blkcnt_t>((a.allocated + 511) / 512);
    s.st_atim = to_timespec(a.atime);
    s.st_mtim = to_timespec(a.mtime);
    s.st_ctim = to_timespec(a.ctime);
    return s;
}

fuse_entry_param to_entry(const face& in, const attributes& a) {
    fuse_entry_param e{};
    e.ino = a.ino.value;
    e.generation = a.generation;
    e.attr = to_stat(a);
    e.attr_timeout = attr_timeout(in, a);
    e.entry_timeout = entry_timeout(in, a.ino);
    return e;
}

void reply_entry(fuse_req_t req, const answer<attributes>& made, bool changes_alone) {
    if (!made) {
        fuse_reply_err(req, made.error().number);
        return;
    }
    auto& in = face_of(req);
    auto entry = to_entry(in, *made);
    if (changes_alone) entry.entry_timeout = 0;
    if (fuse_reply_entry(req, &entry) != 0) in.tree.forget(made->ino, 1);
}

void reply_attributes(fuse_req_t req, const answer<attributes>& found) {
    if (!found) {
        fuse_reply_err(req, found.error().number);
        return;
    }
    const auto s = to_stat(*found);
    fuse_reply_attr(req, &s, attr_timeout(face_of(req), *found));
}

}  // namespace cess::fs
