// Callbacks that make, find and lose names.
#include "aside.hpp"

namespace cess::fs {
namespace {

constexpr unsigned keep_target_flag = 1;  // RENAME_NOREPLACE
constexpr unsigned exchange_flag = 2;     // RENAME_EXCHANGE

caller caller_of(fuse_req_t req) {
    const auto* c = fuse_req_ctx(req);
    return {c->uid, c->gid};
}

void on_lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
    guarded(req, [&](face& in) {
        const auto found = in.tree.lookup(inode_number{parent}, name);
        const bool changes_alone = in.tree.changes_alone(inode_number{parent}, name);
        if (!found) {
            fuse_reply_err(req, found.error().number);
        } else if (*found) {
            reply_entry(req, **found, changes_alone);
        } else {
            fuse_entry_param nothing{};  // the kernel may remember that there is no such name
            nothing.entry_timeout = changes_alone ? 0 : in.entry_timeout;
            fuse_reply_entry(req, &nothing);
        }
    });
}

void on_forget(fuse_req_t req, fuse_ino_t ino, std::uint64_t n) {
    face_of(req).tree.forget(inode_number{ino}, n);
    fuse_reply_none(req);
}

void on_forget_multi(fuse_req_t req, std::size_t count, fuse_forget_data* list) {
    for (std::size_t i = 0; i < count; ++i) face_of(req).tree.forget(inode_number{list[i].ino}, list[i].nlookup);
    fuse_reply_none(req);
}

void make(fuse_req_t req, fuse_ino_t parent, const char* name, new_inode what) {
    guarded(req, [&](face& in) {
        what.by = caller_of(req);
        what.umask = fuse_req_ctx(req)->umask;
        reply_entry(req, in.tree.make(inode_number{parent}, name, what));
    });
}

void on_mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
    new_inode what;
    what.mode = (mode & S_IFMT) == 0 ? mode | S_IFREG : mode;
    what.rdev = rdev;
    make(req, parent, name, what);
}

void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
    new_inode what;
    what.mode = S_IFDIR | (mode & 07777);
    make(req, parent, name, what);
}

void on_symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
    new_inode what;
    what.mode = S_IFLNK | 0777;
    what.target = target;
    make(req, parent, name, what);
}

void on_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char* name) {
    guarded(req, [&](face& in) { reply_entry(req, in.tree.link(inode_number{ino}, inode_number{parent}, name)); });
}

void on_unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
    guarded(req, [&](face& in) { reply_done(req, in.tree.unlink(inode_number{parent}, name)); });
}

void on_rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
    guarded(req, [&](face& in) { reply_done(req, in.tree.remove_directory(inode_number{parent}, name)); });
}

void rename(fuse_req_t req, face& in, inode_number from, const std::string& name, inode_number to, const std::string& new_name,
            rename_mode how) {
    const auto done = in.tree.rename(from, name, to, new_name, how);
    if (done_later(req, done, [=](face& later) { rename(req, later, from, name, to, new_name, how); })) return;
    reply_done(req, done);
}

void on_rename(fuse_req_t req, fuse_ino_t from, const char* name, fuse_ino_t to, const char* new_name, unsigned flags) {
    guarded(req, [&](face& in) {
        auto how = rename_mode::replace;
        if (flags == keep_target_flag) how = rename_mode::keep_target;
        else if (flags == exchange_flag) how = rename_mode::exchange;
        else if (flags != 0) return void(fuse_reply_err(req, EINVAL));
        rename(req, in, inode_number{from}, name, inode_number{to}, new_name, how);
    });
}

void on_readlink(fuse_req_t req, fuse_ino_t ino) {
    guarded(req, [&](face& in) {
        const auto target = in.tree.read_link(inode_number{ino});
        if (target) fuse_reply_readlink(req, target->c_str());
        else fuse_reply_err(req, target.error().number);
    });
}

}  // namespace

void add_name_callbacks(fuse_lowlevel_ops& to) {
    to.lookup = aside<on_lookup>;
    to.forget = on_forget;
    to.forget_multi = on_forget_multi;
    to.mknod = on_mknod;
    to.mkdir = aside<on_mkdir>;
    to.symlink = on_symlink;
    to.link = on_link;
    to.unlink = on_unlink;
    to.rmdir = aside<on_rmdir>;
    to.rename = on_rename;
    to.readlink = aside<on_readlink>;
}

}  // namespace cess::fs
