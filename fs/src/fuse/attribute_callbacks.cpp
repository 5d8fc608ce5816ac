// Callbacks on attributes, extended attributes and the filesystem's numbers.
#include "aside.hpp"
#include "device.hpp"

#include <sys/xattr.h>
#include <unistd.h>

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
            if (const auto room = in.tree.check_room(file_of(in, fi)); !room) return void(fuse_reply_err(req, room.error().number));
        reply_attributes(req, in.tree.get_attributes(inode_number{ino}));
    });
}

void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat* wanted, int which, fuse_file_info*) {
    guarded(req, [&](face& in) {
        auto change = to_change(*wanted, which);
        change.clear_suid = fuse_req_ctx(req)->uid != 0;
        reply_attributes(req, in.tree.set_attributes(inode_number{ino}, change));
    });
}

// The size when it is asked for, else the bytes if they fit.
void reply_xattr(fuse_req_t req, byte_view value, std::size_t room) {
    if (room == 0) fuse_reply_xattr(req, value.size());
    else if (value.size() > room) fuse_reply_err(req, ERANGE);
    else fuse_reply_buf(req, reinterpret_cast<const char*>(value.data()), value.size());
}

// Limits are for who mounted, and for root; so is the list of all quotas, which names directories that others may not see.
bool may_use(fuse_req_t req, std::string_view name, bool changes) {
    if (!name.starts_with(quota_attribute_prefix) && name != trash_attribute) return true;
    if (!changes && !name.substr(quota_attribute_prefix.size()).starts_with("after.")) return true;
    const auto uid = fuse_req_ctx(req)->uid;
    return uid == 0 || uid == ::geteuid();
}

void on_getxattr(fuse_req_t req, fuse_ino_t ino, const char* name, std::size_t room) {
    guarded(req, [&](face& in) {
        if (!may_use(req, name, false)) return void(fuse_reply_err(req, EPERM));
        const auto value = in.tree.get_xattr(inode_number{ino}, name);
        if (value) reply_xattr(req, *value, room);
        else fuse_reply_err(req, value.error().number);
    });
}

void on_listxattr(fuse_req_t req, fuse_ino_t ino, std::size_t room) {
    guarded(req, [&](face& in) {
        const auto names = in.tree.list_xattrs(inode_number{ino});
        if (names) reply_xattr(req, as_view(*names), room);
        else fuse_reply_err(req, names.error().number);
    });
}

void on_setxattr(fuse_req_t req, fuse_ino_t ino, const char* name, const char* value, std::size_t size, int flags) {
    guarded(req, [&](face& in) {
        if (!may_use(req, name, true)) return void(fuse_reply_err(req, EPERM));
        auto how = xattr_mode::any;
        if (flags & XATTR_CREATE) how = xattr_mode::create;
        if (flags & XATTR_REPLACE) how = xattr_mode::replace;
        reply_done(req, in.tree.set_xattr(inode_number{ino}, name, as_view({value, size}), how, flags & setxattr_clear_setgid));
    });
}

void on_removexattr(fuse_req_t req, fuse_ino_t ino, const char* name) {
    guarded(req, [&](face& in) {
        if (!may_use(req, name, true)) return void(fuse_reply_err(req, EPERM));
        reply_done(req, in.tree.remove_xattr(inode_number{ino}, name));
    });
}

void on_statfs(fuse_req_t req, fuse_ino_t ino) {
    guarded(req, [&](face& in) {
        const auto now_free = in.tree.free_space(inode_number{ino});
        if (!now_free) return void(fuse_reply_err(req, now_free.error().number));
        struct statvfs s {};
        s.f_bsize = s.f_frsize = 4096;
        s.f_blocks = now_free->total / s.f_frsize;
        s.f_bfree = now_free->free / s.f_frsize;
        s.f_bavail = now_free->available / s.f_frsize;
        s.f_files = now_free->files_total;  // without a quota inodes are made as needed: no count of them to run out of
        s.f_ffree = s.f_favail = now_free->files_free;
        s.f_namemax = name_max;
        fuse_reply_statfs(req, &s);
    });
}

}  // namespace

void add_attribute_callbacks(fuse_lowlevel_ops& to) {
    to.getattr = aside<on_getattr>;
    to.setattr = on_setattr;
    to.getxattr = aside<on_getxattr>;
    to.listxattr = aside<on_listxattr>;
    to.setxattr = on_setxattr;
    to.removexattr = on_removexattr;
    to.statfs = on_statfs;
}

}  // namespace cess::fs
