// Callbacks on open files and their bytes.
#include "aside.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

namespace cess::fs {
namespace {

bool writes(const fuse_file_info* fi) { return (fi->flags & O_ACCMODE) != O_RDONLY; }

// Root keeps setuid on what it writes, as CAP_FSETID allows.
bool unprivileged(fuse_req_t req) { return fuse_req_ctx(req)->uid != 0; }

// Hands the file to the kernel until it releases it; closes it where too many are open.
answer<void> lend(face& in, fuse_file_info* fi, std::unique_ptr<mounted_file> file) {
    if (auto* const opened = file->file.get()) {
        opened->reads = (fi->flags & O_ACCMODE) != O_WRONLY;
        opened->keeps_access_time = fi->flags & O_NOATIME;
        fi->keep_cache = 1;
    } else {
        fi->direct_io = 1;  // .stats: another text each time, and no size that the kernel knows
    }
    FS_TRY(fi->fh, in.open_files.add(file));
    return {};
}
void take_back(face& in, const fuse_file_info* fi) noexcept { in.open_files.take(fi->fh).reset(); }

void on_open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        auto file = in.tree.open(inode_number{ino}, writes(fi), fi->flags & O_TRUNC, unprivileged(req));
        if (!file) return void(fuse_reply_err(req, file.error().number));
        if (const auto lent = lend(in, fi, std::move(*file)); !lent) return void(fuse_reply_err(req, lent.error().number));
        if (fuse_reply_open(req, fi) != 0) take_back(in, fi);
    });
}

void on_create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        new_inode what;
        what.mode = S_IFREG | (mode & 07777);
        what.by = {fuse_req_ctx(req)->uid, fuse_req_ctx(req)->gid};
        what.umask = fuse_req_ctx(req)->umask;
        auto made = in.tree.make(inode_number{parent}, name, what);
        bool truncate = false;
        if (!made && made.error().number == EEXIST && !(fi->flags & O_EXCL)) {  // somebody was faster: then open it
            const auto found = in.tree.lookup(inode_number{parent}, name);
            if (!found) return void(fuse_reply_err(req, found.error().number));
            if (!*found) return void(fuse_reply_err(req, ESTALE));
            made = **found;
            truncate = fi->flags & O_TRUNC;
        }
        if (!made) return void(fuse_reply_err(req, made.error().number));
        auto file = in.tree.open(made->ino, writes(fi), truncate, unprivileged(req));
        if (file) made->full = !in.tree.check_room(**file);
        const auto lent = file ? lend(in, fi, std::move(*file)) : answer<void>(file.error());
        if (!lent) {
            in.tree.forget(made->ino, 1);
            return void(fuse_reply_err(req, lent.error().number));
        }
        const auto entry = to_entry(in, *made);
        if (fuse_reply_create(req, &entry, fi) == 0) return;
        take_back(in, fi);
        in.tree.forget(made->ino, 1);
    });
}

void on_release(fuse_req_t req, fuse_ino_t, fuse_file_info* fi) {
    take_back(face_of(req), fi);
    fuse_reply_err(req, 0);
}

// Kept by each of FUSE's threads between requests, so that no read waits for fresh pages.
byte_span read_buffer(std::size_t size) {
    thread_local bytes buffer;
    if (buffer.size() < size) buffer.resize(size);
    return byte_span(buffer).first(size);
}

void on_read(fuse_req_t req, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        const auto out = read_buffer(size);
        const auto n = in.tree.read(file_of(in, fi), static_cast<std::uint64_t>(offset), out);
        if (!n) return void(fuse_reply_err(req, n.error().number));
        fuse_reply_buf(req, reinterpret_cast<const char*>(out.data()), *n);
    });
}

// What the kernel is told of dirty pages it hears of again from close(2), which makes EIO of all but ENOSPC: a full quota is
// no broken disk.
int refused_page(int number) { return number == EDQUOT ? ENOSPC : number; }

void on_write(fuse_req_t req, fuse_ino_t, const char* data, std::size_t size, off_t offset, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        // What comes from the page cache was written earlier, perhaps by others: the kernel cleared for it already.
        const bool clear_suid = !fi->writepage && unprivileged(req);
        const auto done = in.tree.write(file_of(in, fi), static_cast<std::uint64_t>(offset), as_view({data, size}), clear_suid);
        if (done) fuse_reply_write(req, size);
        else fuse_reply_err(req, fi->writepage ? refused_page(done.error().number) : done.error().number);
    });
}

void on_fsync(fuse_req_t req, fuse_ino_t ino, int, fuse_file_info*) {
    guarded(req, [&](face& in) { reply_done(req, in.tree.sync(inode_number{ino})); });
}

void on_fallocate(fuse_req_t req, fuse_ino_t, int mode, off_t offset, off_t length, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) return void(fuse_reply_err(req, EOPNOTSUPP));
        if (offset < 0 || length <= 0) return void(fuse_reply_err(req, EINVAL));
        allocation how;
        how.keep_size = mode & FALLOC_FL_KEEP_SIZE;
        how.punch_hole = mode & FALLOC_FL_PUNCH_HOLE;
        how.zero_range = mode & FALLOC_FL_ZERO_RANGE;
        reply_done(req, in.tree.allocate(file_of(in, fi), static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(length), how));
    });
}

// The kernel releases the file only after the answer.
void seek(fuse_req_t req, face& in, mounted_file& file, std::uint64_t offset, bool data) {
    const auto at = in.tree.seek(file, offset, data);
    if (done_later(req, at, [req, &file, offset, data](face& later) { seek(req, later, file, offset, data); })) return;
    if (at) fuse_reply_lseek(req, static_cast<off_t>(*at));
    else fuse_reply_err(req, at.error().number);
}

void on_lseek(fuse_req_t req, fuse_ino_t, off_t offset, int whence, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        if (whence != SEEK_DATA && whence != SEEK_HOLE) return void(fuse_reply_err(req, EINVAL));
        if (offset < 0) return void(fuse_reply_err(req, ENXIO));
        seek(req, in, file_of(in, fi), static_cast<std::uint64_t>(offset), whence == SEEK_DATA);
    });
}

void on_copy_file_range(fuse_req_t req, fuse_ino_t, off_t from_offset, fuse_file_info* from, fuse_ino_t, off_t to_offset, fuse_file_info* to,
                        std::size_t length, int flags) {
    guarded(req, [&](face& in) {
        if (flags != 0 || from_offset < 0 || to_offset < 0) return void(fuse_reply_err(req, EINVAL));
        // The answer's count has 32 bits on the wire; the caller asks again for the rest.
        const auto most = std::min<std::uint64_t>(length, 1 * GiB);
        const auto n = in.tree.copy(file_of(in, from), static_cast<std::uint64_t>(from_offset), file_of(in, to), static_cast<std::uint64_t>(to_offset), most);
        if (n) fuse_reply_write(req, *n);
        else fuse_reply_err(req, n.error().number);
    });
}

}  // namespace

// No flush: before it would ask us, close(2) waits for the writes of dirty pages and reports what they were refused, and the
// locks are the kernel's. So the first close learns that we do not answer to it, and none waits for us again.
void add_file_callbacks(fuse_lowlevel_ops& to) {
    to.open = aside<on_open>;
    to.create = on_create;
    to.release = on_release;
    to.read = aside<on_read>;
    to.write = on_write;
    to.fsync = on_fsync;
    to.fsyncdir = on_fsync;
    to.fallocate = on_fallocate;
    to.lseek = aside<on_lseek>;
    to.copy_file_range = on_copy_file_range;
}

}  // namespace cess::fs
