// Callbacks on attributes, extended attributes and the filesystem's numbers.
#include "face.hpp"

#include <sys/xattr.h>

namespace cess::fs {
namespace {

timestamp to_timestamp(const timespec& t) { return {t.tv_sec, static_cast<std::uint32_t>(t.tv_nsec)}; }

timestamp now() {
    timespec t{};
    ::clock_gettime(CLOCK_REALTIME, &t);
    return to_timestamp(t);
}

attribute_change to_change(const struct stat& s, int which) {
    attribute_change c;
    if (which & FUSE_SET_ATTR_MODE) c.mode = s.st_mode & 07777;
    if (which & FUSE_SET_ATTR_UID) c.uid = s.st_uid;
    if (which & FUSE_SET_ATTR_GID) c.gid = s.st_gid;
    if (which & FUSE_SET_ATTR_SIZE) c.size = static_cast<std::uint64_t>(s.st_size);
    if (which & FUSE_SET_ATTR_ATIME) c.atime = which & FUSE_SET_ATTR_ATIME_NOW ? now() : to_timestamp(s.st_atim);
    if (which & FUSE_SET_ATTR_MTIME) c.mtime = which & FUSE_SET_ATTR_MTIME_NOW ? now() : to_timestamp(s.st_mtim);
    if (which & FUSE_SET_ATTR_CTIME) c.ctime = to_timestamp(s.st_ctim);
    return c;
}

// A file comes along when somebody is about to write through it, into the kernel's cache; stat(2) sends none.
void on_getattr(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        if (fi && fi->fh != 0)
            if (const auto room = in.files.files.check_room(file_of(fi)); !room) return void(fuse_reply_err(req, room.error().number));
        reply_attributes(req, in.files.lookups.get_attributes(inode_number{ino}));
    });
}

void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat* wanted, int which, fuse_file_info*) {
    guarded(req, [&](face& in) {
        auto change = to_change(*wanted, which);
        change.clear_suid = fuse_req_ctx(req)->uid != 0;
        reply_attributes(req, in.files.attributes.set(inode_number{ino}, change));
    });
}

// The size when it is asked for, else the bytes if they fit.
void reply_xattr(fuse_req_t req, byte_view value, std::size_t room) {
    if (room == 0) fuse_reply_xattr(req, value.size());
    else if (value.size() > room) fuse_reply_err(req, ERANGE);
    else fuse_reply_buf(req, reinterpret_cast<const char*>(value.data()), value.size());
}

void on_getxattr(fuse_req_t req, fuse_ino_t ino, const char* name, std::size_t room) {
    guarded(req, [&](face& in) {
        const auto value = in.files.xattrs.get(inode_number{ino}, name);
        if (value) reply_xattr(req, *value, room);
        else fuse_reply_err(req, value.error().number);
    });
}

void on_listxattr(fuse_req_t req, fuse_ino_t ino, std::size_t room) {
    guarded(req, [&](face& in) {
        const auto names = in.files.xattrs.list(inode_number{ino});
        if (names) reply_xattr(req, as_view(*names), room);
        else fuse_reply_err(req, names.error().number);
    });
}

void on_setxattr(fuse_req_t req, fuse_ino_t ino, const char* name, const char* value, std::size_t size, int flags) {
    guarded(req, [&](face& in) {
        auto how = xattr_mode::any;
        if (flags & XATTR_CREATE) how = xattr_mode::create;
        if (flags & XATTR_REPLACE) how = xattr_mode::replace;
        reply_done(req, in.files.xattrs.set(inode_number{ino}, name, as_view({value, size}), how));
    });
}

void on_removexattr(fuse_req_t req, fuse_ino_t ino, const char* name) {
    guarded(req, [&](face& in) { reply_done(req, in.files.xattrs.remove(inode_number{ino}, name)); });
}

void on_statfs(fuse_req_t req, fuse_ino_t) {
    guarded(req, [&](face& in) {
        const auto now_free = in.files.lookups.free_space();
        if (!now_free) return void(fuse_reply_err(req, now_free.error().number));
        struct statvfs s {};
        s.f_bsize = s.f_frsize = 4096;
        s.f_blocks = now_free->total / s.f_frsize;
        s.f_bfree = s.f_bavail = now_free->free / s.f_frsize;
        s.f_namemax = name_max;
        fuse_reply_statfs(req, &s);  // inodes are made as needed: no count of them to run out of
    });
}

}  // namespace

void add_attribute_callbacks(fuse_lowlevel_ops& to) {
    to.getattr = on_getattr;
    to.setattr = on_setattr;
    to.getxattr = on_getxattr;
    to.listxattr = on_listxattr;
    to.setxattr = on_setxattr;
    to.removexattr = on_removexattr;
    to.statfs = on_statfs;
}

}  // namespace cess::fs
