#include "context.hpp"

#include <algorithm>

namespace cess::fs {
namespace {

// Where a name leads, with a reference to it taken under the directory's lock: nobody can reclaim it from then on.
answer<std::optional<inode_number>> resolve(context& in, inode_number number, std::string_view name) {
    FS_TRY(const auto directory, in.inodes.get(number));
    const std::shared_lock lock(directory->mutex);
    std::optional<inode_number> found;
    if (name == "." || name == "..") {
        if (!directory->record.is_directory()) return refuse(ENOTDIR);
        found = name == "." ? number : directory->record.parent;
    } else {
        FS_TRY(const auto entry, find_entry(in, *directory, name));
        if (!entry) return found;
        found = entry->ino;
    }
    in.references.add(*found);
    return found;
}

answer<attributes> read_attributes(context& in, inode_number ino) {
    FS_TRY(const auto node, in.inodes.get(ino));
    const std::shared_lock lock(node->mutex);
    if (node->gone) return refuse(ESTALE);
    return attributes_of(*node);
}

}  // namespace

answer<std::optional<attributes>> lookups::lookup(inode_number directory, std::string_view name) {
    if (name.size() > name_max) return refuse(ENAMETOOLONG);
    FS_TRY(const auto ino, resolve(m_in, directory, name));
    if (!ino) return std::optional<attributes>();
    auto found = read_attributes(m_in, *ino);
    if (!found) {
        forget(*ino, 1);
        return found.error();
    }
    return std::optional<attributes>(*found);
}

void lookups::forget(inode_number ino, std::uint64_t references) noexcept {
    if (m_in.references.drop(ino, references)) reclaim_if_unused(m_in, ino);
}

answer<attributes> lookups::get_attributes(inode_number ino) { return read_attributes(m_in, ino); }

answer<std::string> lookups::read_link(inode_number ino) {
    FS_TRY(const auto node, m_in.inodes.get(ino));
    {
        const std::shared_lock lock(node->mutex);
        if (!S_ISLNK(node->record.mode)) return refuse(EINVAL);
    }
    FS_TRY(const auto target, m_in.volume.data().get(format::symlink_key(ino)));
    if (!target) return posix_error(error(errc::corrupt, "symbolic link without a target"));
    note_access(m_in, *node);
    return to_string(*target);
}

answer<space> lookups::free_space(inode_number ino) {
    const auto now = m_in.volume.data().usage_now();
    space s;
    // A limit of the volume's own comes first; without one it can grow as far as the network does.
    s.total = now.size > 0 ? now.size : now.logical + now.network_free;
    s.free = s.available = free_bytes(now);
    FS_TRY(const auto node, m_in.inodes.get(ino));
    project_id project;
    {
        const std::shared_lock lock(node->mutex);
        project = node->record.project;
    }
    const auto quota = m_in.projects.find(project);
    if (!quota) return s;
    if (quota->bytes_max > 0) {
        s.total = quota->bytes_max;
        s.free = bytes_left(*quota);
        s.available = std::min(s.free, s.available);
    }
    if (quota->files_max > 0) {
        s.files_total = quota->files_max;
        s.files_free = files_left(*quota);
    }
    return s;
}

}  // namespace cess::fs
