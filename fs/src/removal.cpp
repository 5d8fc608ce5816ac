#include "unlinking.hpp"

namespace cess::fs {

void lose_link(volume::change& change, const inode& node, format::inode_record& next, timestamp now) {
    next.nlink = next.is_directory() ? 0 : next.nlink - 1;
    next.ctime = now;
    put_inode(change, node.ino, next);
    if (next.nlink == 0) change.put(format::orphan_key(node.ino), {});
}

void note_orphan(context& in, inode_number ino) noexcept {
    in.orphans.add(ino);
    reclaim_if_unused(in, ino);
}

answer<void> removal::unlink(inode_number directory, std::string_view name) { return remove(directory, name, false); }
answer<void> removal::remove_directory(inode_number directory, std::string_view name) { return remove(directory, name, true); }

answer<void> removal::remove(inode_number number, std::string_view name, bool want_directory) {
    if (name == ".") return refuse(EINVAL);
    if (name == "..") return refuse(ENOTEMPTY);
    FS_CHECK(check_name(name));
    FS_TRY(const auto directory, m_in.inodes.get(number));
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
        FS_TRY(const auto entry, require_entry(m_in, *directory, name));
        FS_TRY(const auto node, m_in.inodes.get(entry.ino));
        FS_TRY(const auto hour, m_in.trash.place_for(*directory));
        bool orphaned = false;
        {
            const lock_set locks{directory.get(), node.get(), hour.get()};
            FS_TRY(const auto still, find_entry(m_in, *directory, name));
            if (still != entry || (hour && hour->record.nlink == 0)) continue;  // changed before we held the locks: look again
            if (want_directory && !node->record.is_directory()) return refuse(ENOTDIR);
            if (!want_directory && node->record.is_directory()) return refuse(EISDIR);
            if (want_directory && node->record.entries > 0) return refuse(ENOTEMPTY);

            const auto now = m_in.now();
            volume::change change;
            auto next_directory = directory->record;
            auto next = node->record;
            erase_entry(change, number, name, entry.cookie);
            std::optional<trashed> kept;
            auto next_hour = hour ? hour->record : format::inode_record();
            if (hour && has_one_name(*node)) kept = move_to_trash(change, *hour, next_hour, *node, next, number, name, now);
            else lose_link(change, *node, next, now);
            --next_directory.entries;
            if (want_directory) --next_directory.nlink;
            touch(next_directory, now);
            put_inode(change, number, next_directory);
            FS_CHECK(m_in.volume.apply(change));
            m_in.names.store(number, name, std::nullopt);
            commit(*node, next);
            if (kept) {
                m_in.names.store(hour->ino, kept->name, kept->entry);
                commit_directory(*hour, next_hour);
            }
            commit_directory(*directory, next_directory);
            orphaned = next.nlink == 0;
        }
        if (orphaned) note_orphan(m_in, entry.ino);
        return {};
    }
    return refuse(EAGAIN);
}

}  // namespace cess::fs
