// Callbacks on open files and their bytes.
#include "face.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

namespace cess::fs {
namespace {

bool writes(const fuse_file_info* fi) { return (fi->flags & O_ACCMODE) != O_RDONLY; }

// Root keeps setuid on what it writes, as CAP_FSETID allows.
bool unprivileged(fuse_req_t req) { return fuse_req_ctx(req)->uid != 0; }

// Hands the file to the kernel until it releases it.
void lend(fuse_file_info* fi, std::unique_ptr<open_file> file) {
    fi->fh = reinterpret_cast<std::uint64_t>(file.release());
    fi->keep_cache = 1;
}
void take_back(face& in, const fuse_file_info* fi) noexcept { in.files.files.release(std::unique_ptr<open_file>(&file_of(fi))); }

void on_open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        auto file = in.files.files.open(inode_number{ino}, writes(fi), fi->flags & O_TRUNC, unprivileged(req));
        if (!file) return void(fuse_reply_err(req, file.error().number));
        lend(fi, std::move(*file));
        if (fuse_reply_open(req, fi) != 0) take_back(in, fi);
    });
}

void on_create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        new_inode what;
        what.mode = S_IFREG | (mode & 07777);
        what.by = {fuse_req_ctx(req)->uid, fuse_req_ctx(req)->gid};
        auto made = in.files.creation.make(inode_number{parent}, name, what);
        bool truncate = false;
        if (!made && made.error().number == EEXIST && !(fi->flags & O_EXCL)) {  // somebody was faster: then open it
            const auto found = in.files.lookups.lookup(inode_number{parent}, name);
            if (!found) return void(fuse_reply_err(req, found.error().number));
            if (!*found) return void(fuse_reply_err(req, ESTALE));
            made = **found;
            truncate = fi->flags & O_TRUNC;
        }
        if (!made) return void(fuse_reply_err(req, made.error().number));
        auto file = in.files.files.open(made->ino, writes(fi), truncate, unprivileged(req));
        if (!file) {
            in.files.lookups.forget(made->ino, 1);
            return void(fuse_reply_err(req, file.error().number));
        }
        lend(fi, std::move(*file));
        const auto entry = to_entry(in, *made);
        if (fuse_reply_create(req, &entry, fi) == 0) return;
        take_back(in, fi);
        in.files.lookups.forget(made->ino, 1);
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
        const auto n = in.files.files.read(file_of(fi), static_cast<std::uint64_t>(offset), out);
        if (!n) return void(fuse_reply_err(req, n.error().number));
        fuse_reply_buf(req, reinterpret_cast<const char*>(out.data()), *n);
    });
}

void on_write(fuse_req_t req, fuse_ino_t, const char* data, std::size_t size, off_t offset, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        // What comes from the page cache was written earlier, perhaps by others: the kernel cleared for it already.
        const bool clear_suid = !fi->writepage && unprivileged(req);
        const auto done = in.files.files.write(file_of(fi), static_cast<std::uint64_t>(offset), as_view({data, size}), clear_suid);
        if (done) fuse_reply_write(req, size);
        else fuse_reply_err(req, done.error().number);
    });
}

void on_flush(fuse_req_t req, fuse_ino_t, fuse_file_info* fi) {
    guarded(req, [&](face& in) { reply_done(req, in.files.files.flush(file_of(fi))); });
}

void on_fsync(fuse_req_t req, fuse_ino_t ino, int, fuse_file_info*) {
    guarded(req, [&](face& in) { reply_done(req, in.files.files.sync(inode_number{ino})); });
}

void on_fallocate(fuse_req_t req, fuse_ino_t, int mode, off_t offset, off_t length, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) return void(fuse_reply_err(req, EOPNOTSUPP));
        if (offset < 0 || length <= 0) return void(fuse_reply_err(req, EINVAL));
        allocation how;
        how.keep_size = mode & FALLOC_FL_KEEP_SIZE;
        how.punch_hole = mode & FALLOC_FL_PUNCH_HOLE;
        how.zero_range = mode & FALLOC_FL_ZERO_RANGE;
        reply_done(req, in.files.files.allocate(file_of(fi), static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(length), how));
    });
}

void on_lseek(fuse_req_t req, fuse_ino_t, off_t offset, int whence, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        if (whence != SEEK_DATA && whence != SEEK_HOLE) return void(fuse_reply_err(req, EINVAL));
        if (offset < 0) return void(fuse_reply_err(req, ENXIO));
        const auto at = in.files.files.seek(file_of(fi), static_cast<std::uint64_t>(offset), whence == SEEK_DATA);
        if (at) fuse_reply_lseek(req, static_cast<off_t>(*at));
        else fuse_reply_err(req, at.error().number);
    });
}

void on_copy_file_range(fuse_req_t req, fuse_ino_t, off_t from_offset, fuse_file_info* from, fuse_ino_t, off_t to_offset, fuse_file_info* to,
                        std::size_t length, int flags) {
    guarded(req, [&](face& in) {
        if (flags != 0 || from_offset < 0 || to_offset < 0) return void(fuse_reply_err(req, EINVAL));
        // The answer's count has 32 bits on the wire; the caller asks again for the rest.
        const auto most = std::min<std::uint64_t>(length, 1 * GiB);
        const auto n = in.files.files.copy(file_of(from), static_cast<std::uint64_t>(from_offset), file_of(to), static_cast<std::uint64_t>(to_offset), most);
        if (n) fuse_reply_write(req, *n);
        else fuse_reply_err(req, n.error().number);
    });
}

}  // namespace

void add_file_callbacks(fuse_lowlevel_ops& to) {
    to.open = on_open;
    to.create = on_create;
    to.release = on_release;
    to.read = on_read;
    to.write = on_write;
    to.flush = on_flush;
    to.fsync = on_fsync;
    to.fsyncdir = on_fsync;
    to.fallocate = on_fallocate;
    to.lseek = on_lseek;
    to.copy_file_range = on_copy_file_range;
}

}  // namespace cess::fs
