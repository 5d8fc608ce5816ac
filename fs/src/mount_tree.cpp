#include "mount_tree.hpp"

#include <core/base/log.hpp>

#include <algorithm>
#include <cstring>

namespace cess::fs {
namespace {

inode_number outward_of(const tree_ptr& snapshot, inode_number ino) { return snapshot ? outward(snapshot->number, ino) : ino; }

attributes outward_of(const tree_ptr& snapshot, attributes a) {
    a.ino = outward_of(snapshot, a.ino);
    return a;
}

std::size_t read_text(std::string_view text, std::uint64_t offset, byte_span out) {
    if (offset >= text.size()) return 0;
    text.remove_prefix(offset);
    const auto n = std::min(text.size(), out.size());
    std::memcpy(out.data(), text.data(), n);
    return n;
}

}  // namespace

bool mount_tree::is_free(std::string_view name, std::string_view instead) {
    const auto before = m_head.lookups.lookup(root_inode, name);
    if (before && *before) m_head.lookups.forget((*before)->ino, 1);
    if (before && !*before) return true;
    log::warn("fs", "the volume has an entry {} in its root: {} not shown there", name, instead);
    return false;
}

void mount_tree::show_stats(const metrics& of, caller owner, timestamp now) {
    if (is_free(stats_name, "metrics are")) m_stats.emplace(of, owner, now);
}

void mount_tree::show(snapshot_source& from, settings how, std::size_t open_max, bool read_only) {
    if (!is_free(snapshots_name, "snapshots are")) return;
    m_read_only = read_only;
    m_snapshots.emplace(from, m_head, std::move(how), open_max, read_only);
}

void mount_tree::set_acls(bool enforced) {
    m_head.set_acls(enforced);
    if (m_snapshots) m_snapshots->set_acls(enforced);
}

answer<mount_tree::place> mount_tree::find(inode_number ino) {
    if (!is_aside(ino)) return place{m_head, nullptr, ino};
    if (!m_snapshots || ino == stats_inode) return refuse(ESTALE);
    const auto where = inward(ino);
    FS_TRY(auto tree, m_snapshots->tree(where.snapshot));
    auto& files = *tree->files;
    return place{files, std::move(tree), where.ino};
}

answer<filesystem*> mount_tree::writable(inode_number ino) {
    if (ino == snapshots_directory || ino == stats_inode) return refuse(EPERM);
    if (is_aside(ino)) return refuse(EROFS);
    return &m_head;
}

bool mount_tree::reserved(inode_number directory, std::string_view name) const noexcept {
    if (directory != root_inode) return false;
    return (m_snapshots && name == snapshots_name) || (m_stats && name == stats_name) || is_trash(directory, name);
}

bool mount_tree::is_trash(inode_number directory, std::string_view name) const noexcept {
    return directory == root_inode && name == trash_name && m_head.trash.exists();
}

answer<void> mount_tree::admit_entry(inode_number directory) {
    if (is_aside(directory)) return {};
    FS_TRY(const bool held, m_head.trash.holds(directory));
    if (held) return refuse(EPERM);
    return {};
}

bool mount_tree::lost(const tree_ptr& snapshot, posix_error why) {
    return snapshot && why.number == EIO && m_snapshots->deleted_by_now(snapshot->number);
}

template <class F>
auto mount_tree::in_tree(inode_number ino, F f) -> decltype(f(std::declval<place&>())) {
    FS_TRY(auto at, find(ino));
    auto done = f(at);
    if (!done && lost(at.snapshot, done.error())) return refuse(ESTALE);
    return done;
}

template <class F>
auto mount_tree::in_file(mounted_file& file, F f) -> decltype(f()) {
    FS_CHECK(require_open(file));
    if (file.snapshot && m_snapshots->deleted(file.snapshot->number)) return refuse(ESTALE);
    auto done = f();
    if (!done && lost(file.snapshot, done.error())) return refuse(ESTALE);
    return done;
}

answer<attributes> mount_tree::directory_attributes() {
    FS_TRY(const auto root, m_head.lookups.get_attributes(root_inode));
    return m_snapshots->attributes_now(root);
}

// ---- names -------------------------------------------------------------------------------------------------------

bool mount_tree::changes_alone(inode_number directory, std::string_view name) {
    if (directory == snapshots_directory || (directory == root_inode && name == trash_name)) return true;
    if (is_aside(directory) || !m_head.trash.exists()) return false;
    const auto held = m_head.trash.holds(directory);
    return held && *held;
}

answer<std::optional<attributes>> mount_tree::lookup(inode_number directory, std::string_view name) {
    if (m_stats && directory == root_inode && name == stats_name) return std::optional(m_stats->attributes_now());
    if (is_trash(directory, name)) return m_head.lookups.lookup(trash_inode, ".");
    const bool leads_there = (directory == root_inode && name == snapshots_name) || (directory == snapshots_directory && name == ".") ||
                             (is_snapshot_root(directory) && name == "..");
    if (leads_there && m_snapshots) {
        FS_TRY(const auto there, directory_attributes());
        return std::optional(there);
    }
    if (directory == snapshots_directory && m_snapshots && name != "..") return m_snapshots->lookup(name);
    return in_tree(directory == snapshots_directory ? root_inode : directory, [&](place& at) -> answer<std::optional<attributes>> {
        FS_TRY(const auto found, at.of.lookups.lookup(at.ino, name));
        if (!found) return found;
        return std::optional(outward_of(at.snapshot, *found));
    });
}

void mount_tree::forget(inode_number ino, std::uint64_t references) noexcept {
    if (!is_aside(ino)) return m_head.lookups.forget(ino, references);
    const auto where = inward(ino);
    if (m_snapshots) m_snapshots->forget(where.snapshot, where.ino, references);
}

answer<attributes> mount_tree::get_attributes(inode_number ino) {
    if (ino == stats_inode && m_stats) return m_stats->attributes_now();
    if (ino == snapshots_directory && m_snapshots) {
        m_snapshots->look();
        return directory_attributes();
    }
    if (is_snapshot_root(ino) && m_snapshots) return m_snapshots->root_attributes(inward(ino).snapshot);
    return in_tree(ino, [](place& at) -> answer<attributes> {
        FS_TRY(const auto found, at.of.lookups.get_attributes(at.ino));
        return outward_of(at.snapshot, found);
    });
}

answer<space> mount_tree::free_space(inode_number ino) { return m_head.lookups.free_space(is_aside(ino) ? root_inode : ino); }

answer<std::string> mount_tree::read_link(inode_number ino) {
    return in_tree(ino, [](place& at) { return at.of.lookups.read_link(at.ino); });
}

answer<attributes> mount_tree::set_attributes(inode_number ino, const attribute_change& what) {
    FS_TRY(auto* const head, writable(ino));
    return head->attributes.set(ino, what);
}

answer<attributes> mount_tree::make(inode_number directory, std::string_view name, const new_inode& what) {
    if (reserved(directory, name)) return refuse(EEXIST);
    if (directory == snapshots_directory && m_snapshots && S_ISDIR(what.mode)) {
        if (m_read_only) return refuse(EROFS);
        FS_TRY(const auto root, m_head.lookups.get_attributes(root_inode));
        return m_snapshots->create(name, root);
    }
    FS_CHECK(admit_entry(directory));
    FS_TRY(auto* const head, writable(directory));
    return head->creation.make(directory, name, what);
}

answer<attributes> mount_tree::link(inode_number ino, inode_number directory, std::string_view name) {
    if (reserved(directory, name)) return refuse(EEXIST);
    if (is_aside(ino) != is_aside(directory)) return refuse(EXDEV);
    FS_CHECK(admit_entry(directory));
    FS_TRY(auto* const head, writable(directory));
    return head->creation.link(ino, directory, name);
}

answer<void> mount_tree::unlink(inode_number directory, std::string_view name) {
    if (reserved(directory, name)) return refuse(name == stats_name ? EPERM : EISDIR);
    FS_TRY(auto* const head, writable(directory));
    return head->removal.unlink(directory, name);
}

answer<void> mount_tree::remove_directory(inode_number directory, std::string_view name) {
    if (reserved(directory, name)) return refuse(name == stats_name ? ENOTDIR : EPERM);
    if (directory == snapshots_directory && m_snapshots) {
        if (m_read_only) return refuse(EROFS);
        return m_snapshots->remove(name);
    }
    FS_TRY(auto* const head, writable(directory));
    return head->removal.remove_directory(directory, name);
}

answer<void> mount_tree::rename(inode_number from, std::string_view name, inode_number to, std::string_view new_name, rename_mode how) {
    if (reserved(from, name)) return refuse(EPERM);
    if (reserved(to, new_name)) return refuse(how == rename_mode::keep_target ? EEXIST : EPERM);
    if (is_aside(from) != is_aside(to)) return refuse(EXDEV);
    FS_CHECK(admit_entry(to));
    if (from == trash_inode) return refuse(EPERM);
    if (how == rename_mode::exchange) FS_CHECK(admit_entry(from));
    FS_TRY(auto* const head, writable(from));
    return head->renaming.rename(from, name, to, new_name, how);
}

answer<std::vector<listed_entry>> mount_tree::list(inode_number directory, entry_cookie after, std::size_t limit, bool referenced) {
    if (directory == snapshots_directory && m_snapshots) return m_snapshots->list(after, limit);
    return in_tree(directory, [&](place& at) -> answer<std::vector<listed_entry>> {
        FS_TRY(auto entries, at.of.listings.list(at.ino, after, limit, referenced));
        if (!at.snapshot) return entries;
        for (auto& e : entries) {
            const bool above = e.cookie == entry_cookie{2} && at.ino == root_inode;
            e.ino = above ? snapshots_directory : outward_of(at.snapshot, e.ino);
        }
        return entries;
    });
}

// ---- files -------------------------------------------------------------------------------------------------------

answer<std::unique_ptr<mounted_file>> mount_tree::open(inode_number ino, bool writes, bool truncate, bool clear_suid) {
    if (ino == stats_inode && m_stats) {
        if (writes || truncate) return refuse(EACCES);
        return std::make_unique<mounted_file>(m_stats->text());
    }
    if (is_aside(ino) && (writes || truncate)) return refuse(EROFS);
    return in_tree(ino, [&](place& at) -> answer<std::unique_ptr<mounted_file>> {
        FS_TRY(auto file, at.of.files.open(at.ino, writes, truncate, clear_suid));
        return std::make_unique<mounted_file>(ino, at.of, at.snapshot, std::move(file));
    });
}

answer<std::unique_ptr<mounted_file>> mount_tree::reopen(const held_file& what) {
    if (what.ino == stats_inode) return std::make_unique<mounted_file>(m_stats ? m_stats->text() : std::string());  // as it is now
    if (is_aside(what.ino)) return std::make_unique<mounted_file>(what.ino);
    FS_TRY(auto file, open(what.ino, what.writes, false, false));
    file->file->reads = what.reads;
    file->file->keeps_access_time = what.keeps_access_time;
    return file;
}

answer<void> mount_tree::require_open(mounted_file& file) {
    if (file.opened.load(std::memory_order_acquire)) return {};
    const std::lock_guard lock(file.opening);
    if (file.opened.load(std::memory_order_relaxed)) return {};
    return in_tree(file.ino, [&](place& at) -> answer<void> {
        FS_TRY(auto opened, at.of.files.open(at.ino, false, false));
        file.set(at.of, at.snapshot, std::move(opened));
        return {};
    });
}

answer<std::size_t> mount_tree::read(mounted_file& file, std::uint64_t offset, byte_span out) {
    if (file.ino == stats_inode) return read_text(file.text, offset, out);
    return in_file(file, [&] { return file.of->files.read(*file.file, offset, out); });
}

answer<void> mount_tree::write(mounted_file& file, std::uint64_t offset, byte_view data, bool clear_suid) {
    if (is_aside(file.ino)) return refuse(EROFS);
    return file.of->files.write(*file.file, offset, data, clear_suid);
}

answer<void> mount_tree::check_room(mounted_file& file) {
    if (is_aside(file.ino)) return {};  // nobody writes there
    return file.of->files.check_room(*file.file);
}

answer<void> mount_tree::allocate(mounted_file& file, std::uint64_t offset, std::uint64_t length, allocation how) {
    if (is_aside(file.ino)) return refuse(EROFS);
    return file.of->files.allocate(*file.file, offset, length, how);
}

answer<std::uint64_t> mount_tree::seek(mounted_file& file, std::uint64_t offset, bool data) {
    if (file.ino == stats_inode) {
        if (offset >= file.text.size()) return refuse(ENXIO);
        return data ? offset : file.text.size();
    }
    return in_file(file, [&] { return file.of->files.seek(*file.file, offset, data); });
}

answer<std::uint64_t> mount_tree::copy(mounted_file& from, std::uint64_t from_offset, mounted_file& to, std::uint64_t to_offset,
                                       std::uint64_t length) {
    if (is_aside(from.ino) || is_aside(to.ino)) return refuse(EXDEV);  // the kernel then copies
    return to.of->files.copy(*from.file, from_offset, *to.file, to_offset, length);
}

answer<void> mount_tree::sync(inode_number ino) {
    if (is_aside(ino)) return {};  // nothing there changes
    return m_head.sync_all();
}

// ---- extended attributes -----------------------------------------------------------------------------------------

answer<bytes> mount_tree::get_xattr(inode_number ino, std::string_view name) {
    if (ino == snapshots_directory || ino == stats_inode) return refuse(ENODATA);
    return in_tree(ino, [&](place& at) { return at.of.xattrs.get(at.ino, name); });
}

answer<std::string> mount_tree::list_xattrs(inode_number ino) {
    if (ino == snapshots_directory || ino == stats_inode) return std::string();
    return in_tree(ino, [](place& at) { return at.of.xattrs.list(at.ino); });
}

answer<void> mount_tree::set_xattr(inode_number ino, std::string_view name, byte_view value, xattr_mode how, bool clear_setgid) {
    FS_TRY(auto* const head, writable(ino));
    return head->xattrs.set(ino, name, value, how, clear_setgid);
}

answer<void> mount_tree::remove_xattr(inode_number ino, std::string_view name) {
    FS_TRY(auto* const head, writable(ino));
    return head->xattrs.remove(ino, name);
}

}  // namespace cess::fs
