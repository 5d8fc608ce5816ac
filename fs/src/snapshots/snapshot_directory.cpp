#include "snapshot_directory.hpp"

namespace cess::fs {
namespace {

constexpr auto list_age = std::chrono::seconds(1);      // of what the directory shows
constexpr auto deletion_age = std::chrono::seconds(5);  // by when who uses a snapshot learns that it was deleted

constexpr std::uint64_t first_cookie = 3;  // after "." and ".."

attributes as_entry(attributes root, const numbered_snapshot& of) {
    root.ino = root_of(of.number);
    root.ctime = {static_cast<std::int64_t>(of.info.created_unix), 0};
    return root;
}

}  // namespace

snapshot_directory::snapshot_directory(snapshot_source& from, filesystem& head, settings how, std::size_t open_max, bool read_only)
    : m_from(from), m_list(from, head, !read_only), m_trees(from, std::move(how), open_max) {}

void snapshot_directory::set_write_back_all(std::function<void()> write_back_all) { m_write_back_all = std::move(write_back_all); }

attributes snapshot_directory::attributes_now(const attributes& head_root) const {
    const auto rows = m_list.last_seen();
    attributes a;
    a.ino = snapshots_directory;
    a.mode = S_IFDIR | 0200 | (head_root.mode & 0555);
    a.uid = head_root.uid;
    a.gid = head_root.gid;
    a.nlink = static_cast<std::uint32_t>(2 + rows->all.size());
    a.btime = head_root.btime;
    a.atime = a.mtime = a.ctime = std::max(rows->changed, head_root.btime);
    return a;
}

void snapshot_directory::look() { (void)m_list.known(list_age); }

answer<std::optional<attributes>> snapshot_directory::lookup(std::string_view name) {
    if (name.size() > name_max) return refuse(ENAMETOOLONG);
    FS_TRY(auto rows, m_list.get(list_age));
    const auto* found = rows->find(name);
    if (!found) {  // one that somebody has just made elsewhere must not be missed
        FS_TRY(rows, m_list.get({}));
        found = rows->find(name);
    }
    if (!found) return std::optional<attributes>();
    FS_TRY(const auto root, root_attributes(*found));
    return std::optional(root);
}

answer<std::vector<listed_entry>> snapshot_directory::list(entry_cookie after, std::size_t limit) {
    FS_TRY(const auto rows, m_list.get(list_age));
    std::vector<listed_entry> out;
    if (after < entry_cookie{1} && out.size() < limit) out.push_back({entry_cookie{1}, snapshots_directory, S_IFDIR, "."});
    if (after < entry_cookie{2} && out.size() < limit) out.push_back({entry_cookie{2}, root_inode, S_IFDIR, ".."});
    for (const auto& each : rows->all) {
        const entry_cookie cookie{first_cookie + each.info.at.value};
        if (out.size() == limit) break;
        if (cookie > after) out.push_back({cookie, root_of(each.number), S_IFDIR, each.info.name});
    }
    return out;
}

answer<attributes> snapshot_directory::root_attributes(snapshot_number n) {
    const auto rows = m_list.known(deletion_age);
    const auto* found = rows->find(n);
    if (!found) return refuse(ESTALE);
    return root_attributes(*found);
}

answer<attributes> snapshot_directory::root_attributes(const numbered_snapshot& of) {
    if (of.number.value == 0) return refuse(EOVERFLOW);
    {
        const std::lock_guard lock(m_mutex);
        if (const auto it = m_roots.find(of.number); it != m_roots.end()) return as_entry(it->second, of);
    }
    FS_TRY(const auto tree, m_trees.get(of));
    FS_TRY(const auto root, tree->files->lookups.get_attributes(root_inode));
    const auto rows = m_list.last_seen();
    const std::lock_guard lock(m_mutex);
    std::erase_if(m_roots, [&](const auto& each) { return !rows->find(each.first); });
    m_roots.insert_or_assign(of.number, root);
    return as_entry(root, of);
}

answer<attributes> snapshot_directory::create(std::string_view name, const attributes& head_root) {
    if (name.size() > name_max) return refuse(ENAMETOOLONG);
    if (m_write_back_all) m_write_back_all();
    FS_CHECK(m_from.create(std::string(name)));
    m_list.changed();
    FS_TRY(const auto rows, m_list.get(list_age));
    const auto* made = rows->find(name);
    if (!made) return refuse(ESTALE);  // and deleted already
    return as_entry(head_root, *made);
}

answer<void> snapshot_directory::remove(std::string_view name) {
    FS_TRY(const auto rows, m_list.get(list_age));
    const auto* found = rows->find(name);
    if (!found) return refuse(ENOENT);
    FS_CHECK(m_from.remove(std::string(name)));
    m_list.changed();
    m_trees.close(found->number);
    return {};
}

answer<tree_ptr> snapshot_directory::tree(snapshot_number n) {
    const auto rows = m_list.known(deletion_age);
    if (const auto* found = rows->find(n)) return m_trees.get(*found);
    m_trees.close(n);
    return refuse(ESTALE);
}

bool snapshot_directory::deleted(snapshot_number n) { return !m_list.known(deletion_age)->find(n); }

bool snapshot_directory::deleted_by_now(snapshot_number n) {
    const auto rows = m_list.get({});
    return rows && !(*rows)->find(n);
}

void snapshot_directory::forget(snapshot_number of, inode_number ino, std::uint64_t references) noexcept {
    if (const auto tree = m_trees.find_open(of)) tree->files->lookups.forget(ino, references);
}

}  // namespace cess::fs
