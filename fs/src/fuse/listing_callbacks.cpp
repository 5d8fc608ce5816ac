// Callbacks that list directories. Nothing is kept between two calls: a cookie says where to go on, so that the kernel may
// open directories without asking.
#include "aside.hpp"

namespace cess::fs {
namespace {

// Bytes an entry takes at least on the wire, by which we guess how many fit.
constexpr std::size_t plain_entry = 24 + 8;
constexpr std::size_t full_entry = plain_entry + 128;

void on_opendir(fuse_req_t req, fuse_ino_t, fuse_file_info* fi) {
    guarded(req, [&](face& in) {
        if (in.stateless_directories) return void(fuse_reply_err(req, ENOSYS));  // means: need not ask again, cache at will
        fi->cache_readdir = 1;
        fi->keep_cache = 1;
        fuse_reply_open(req, fi);
    });
}

void on_readdir(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info*) {
    guarded(req, [&](face& in) {
        const entry_cookie after{static_cast<std::uint64_t>(offset)};
        const auto entries = in.tree.list(inode_number{ino}, after, size / plain_entry + 1, false);
        if (!entries) return void(fuse_reply_err(req, entries.error().number));
        bytes buffer(size);
        std::size_t used = 0;
        for (const auto& e : *entries) {
            struct stat s {};
            s.st_ino = e.ino.value;
            s.st_mode = e.type;
            const auto n = fuse_add_direntry(req, reinterpret_cast<char*>(buffer.data()) + used, size - used, e.name.c_str(), &s, static_cast<off_t>(e.cookie.value));
            if (n > size - used) break;
            used += n;
        }
        fuse_reply_buf(req, reinterpret_cast<const char*>(buffer.data()), used);
    });
}

// Of a snapshot, which would have to be opened for more.
answer<attributes> names_only(const listed_entry& e) {
    attributes a;
    a.ino = e.ino;
    a.mode = e.type;
    return a;
}

// References to what was listed, given back unless the kernel was told of them.
class lent_references {
public:
    lent_references(face& in, const std::vector<listed_entry>& entries) : m_in(in), m_entries(entries) {}
    ~lent_references() {
        for (std::size_t i = m_told; i < m_entries.size(); ++i)
            if (m_entries[i].cookie > entry_cookie{2}) m_in.tree.forget(m_entries[i].ino, 1);
    }
    lent_references(const lent_references&) = delete;
    lent_references& operator=(const lent_references&) = delete;
    void told_of(std::size_t first) noexcept { m_told = first; }

private:
    face& m_in;
    const std::vector<listed_entry>& m_entries;
    std::size_t m_told = 0;
};

void on_readdirplus(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info*) {
    guarded(req, [&](face& in) {
        const entry_cookie after{static_cast<std::uint64_t>(offset)};
        const inode_number directory{ino};
        const auto entries = in.tree.list(directory, after, size / full_entry + 1, true);
        if (!entries) return void(fuse_reply_err(req, entries.error().number));
        lent_references lent(in, *entries);
        bytes buffer(size);
        std::size_t used = 0, count = 0;
        const bool changes_alone = in.tree.changes_alone(directory, {});
        for (const auto& e : *entries) {
            const auto found = directory == snapshots_directory ? names_only(e) : in.tree.get_attributes(e.ino);
            if (!found) return void(fuse_reply_err(req, found.error().number));
            auto entry = to_entry(in, *found);
            if (changes_alone) entry.entry_timeout = 0;
            if (directory == snapshots_directory) entry.ino = 0;  // as below: who wants to know more asks
            if (e.cookie <= entry_cookie{2}) entry.ino = 0;  // "." and "..": attributes without a reference
            const auto n = fuse_add_direntry_plus(req, reinterpret_cast<char*>(buffer.data()) + used, size - used, e.name.c_str(), &entry, static_cast<off_t>(e.cookie.value));
            if (n > size - used) break;
            used += n;
            ++count;
        }
        if (fuse_reply_buf(req, reinterpret_cast<const char*>(buffer.data()), used) == 0) lent.told_of(count);
    });
}

}  // namespace

void add_listing_callbacks(fuse_lowlevel_ops& to) {
    to.opendir = on_opendir;
    to.readdir = aside<on_readdir>;
    to.readdirplus = aside<on_readdirplus>;
}

}  // namespace cess::fs
