#include "context.hpp"

namespace cess::fs {
namespace {

constexpr std::size_t path_max = 4096;

answer<project_id> project_of(context& in, const inode& node) {
    const std::shared_lock lock(node.mutex);
    if (node.gone) return refuse(ESTALE);
    return in.projects.live(node.record.project);
}

quota to_quota(const format::quota_record& record) {
    return {{record.bytes_max, record.files_max}, record.bytes, record.files, record.counting};
}

// A tree belongs to one project. REQUIRES: in.moving.
answer<void> check_nesting(context& in, inode_number directory) {
    for (const auto& [project, record] : in.projects.all()) {
        const auto below = is_within(in, directory, record.root);
        const auto above = below ? is_within(in, record.root, directory) : below;
        if (!above && above.error().number == ESTALE) continue;  // removed meanwhile, its quota with it
        if (!above) return above.error();
        if (*below || *above) return refuse(EBUSY);
    }
    return {};
}

// REQUIRES: in.moving.
answer<void> begin_quota(context& in, inode& directory, quota_limits limits) {
    if (in.projects.size() >= project_table::projects_max) return refuse(ENOSPC);
    FS_CHECK(check_nesting(in, directory.ino));
    FS_TRY(const auto number, in.numbers.take());
    const project_id project{number.value};
    {
        const lock_set locks{&directory};
        if (directory.gone) return refuse(ESTALE);
        if (!directory.record.is_directory()) return refuse(ENOTDIR);
        if (directory.record.nlink == 0) return refuse(ENOENT);
        auto next = directory.record;
        next.project = project;
        format::quota_record record{directory.ino, limits.bytes, limits.files};
        record.bytes = next.allocated;
        record.files = 1;
        volume::change change;
        put_inode(change, directory.ino, next);
        change.put(format::uncounted_key(project, directory.ino), {});
        FS_CHECK(in.projects.begin(change, project, record));
        commit(directory, next);
    }
    in.counter.wake();
    return {};
}

answer<void> end_quota(context& in, project_id project) {
    volume::change change;
    FS_CHECK(in.projects.end(change, project));
    in.counter.wake();
    return {};
}

// Empty: nothing there leads to it.
answer<std::optional<std::string>> name_of(context& in, const inode& directory, inode_number child) {
    constexpr std::size_t run = 512;
    const std::shared_lock lock(directory.mutex);
    for (entry_cookie after;;) {
        const auto from = format::listing_key(directory.ino, after.next());
        FS_TRY(const auto rows, in.volume.data().scan(format::listing_prefix(directory.ino), from, run));
        for (const auto& row : rows) {
            FS_TRY(auto entry, store::decode<format::listing_record>(row.value));
            if (entry.ino == child) return std::optional(std::move(entry.name));
        }
        if (rows.size() < run) return std::optional<std::string>();
        FS_TRY(const auto last, format::last_number(rows.back().key));
        after = {last};
    }
}

// Empty: it was moved meanwhile, or has no name any more.
answer<std::optional<std::string>> try_path(context& in, inode_number directory) {
    std::string path;
    for (auto at = directory; at != root_inode;) {
        FS_TRY(const auto node, in.inodes.get(at));
        inode_number parent;
        {
            const std::shared_lock lock(node->mutex);
            if (node->record.nlink == 0) return std::optional<std::string>();
            parent = node->record.parent;
        }
        FS_TRY(const auto above, in.inodes.get(parent));
        FS_TRY(const auto name, at == trash_inode ? std::optional(std::string(trash_name)) : name_of(in, *above, at));
        if (!name) return name;
        path = "/" + *name + path;
        if (path.size() > path_max) return std::optional("..." + path);
        at = parent;
    }
    return std::optional(path.empty() ? "/" : path);
}

}  // namespace

answer<std::optional<quota>> quotas::get(inode_number directory) {
    FS_TRY(const auto node, m_in.inodes.get(directory));
    FS_TRY(const auto project, project_of(m_in, *node));
    const auto record = m_in.projects.find(project);
    if (!record || record->root != directory) return std::optional<quota>();
    return std::optional(to_quota(*record));
}

answer<void> quotas::set(inode_number directory, quota_limits to) {
    return edit(directory, [to](quota_limits& limits) -> answer<void> {
        limits = to;
        return {};
    });
}

answer<void> quotas::edit(inode_number directory, const std::function<answer<void>(quota_limits&)>& edit) {
    if (!m_in.volume.writable()) return refuse(EROFS);
    FS_TRY(const auto node, m_in.inodes.get(directory));
    const std::lock_guard moving(m_in.moving);
    FS_TRY(const auto project, project_of(m_in, *node));
    const auto record = m_in.projects.find(project);
    const bool own = record && record->root == directory;
    auto to = own ? quota_limits{record->bytes_max, record->files_max} : quota_limits();
    FS_CHECK(edit(to));
    if (own && to.any()) return m_in.projects.set_limits(project, to);
    if (own) return end_quota(m_in, project);
    if (!to.any()) return {};
    if (record) return refuse(EBUSY);
    FS_TRY(const bool deleted, m_in.trash.holds(directory));
    if (deleted) return refuse(EPERM);  // a full one would hinder deleting
    return begin_quota(m_in, *node, to);
}

answer<std::optional<listed_quota>> quotas::next(project_id after) {
    constexpr int attempts = 10;
    while (const auto found = m_in.projects.next(after)) {
        const auto& [project, record] = *found;
        for (int attempt = 0; attempt < attempts; ++attempt) {
            auto path = try_path(m_in, record.root);
            if (!path && path.error().number != ESTALE) return path.error();
            if (path && *path) return std::optional(listed_quota{project, to_quota(record), std::move(**path)});
        }
        after = project;  // removed and still open somewhere: its quota has no place any more
    }
    return std::optional<listed_quota>();
}

answer<bool> quotas::count() { return m_in.counter.step(); }

}  // namespace cess::fs
