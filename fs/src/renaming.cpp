#include "unlinking.hpp"

namespace cess::fs {
namespace {

// One rename under way: who takes part, and what each will be. Two names of one directory share its record.
class step {
public:
    step(context& in, inode_ptr from, std::string_view name, inode_ptr to, std::string_view new_name)
        : m_in(in), m_from(std::move(from)), m_to(std::move(to)), m_name(name), m_new_name(new_name) {}

    [[nodiscard]] answer<void> find_names();
    [[nodiscard]] answer<void> find_trash();                     // for what is replaced
    [[nodiscard]] answer<void> admit(rename_mode how) const;     // without locks
    [[nodiscard]] answer<bool> unchanged() const;                // under the locks
    [[nodiscard]] bool crosses_projects(rename_mode how) const;  // under the locks
    [[nodiscard]] answer<void> replace();                        // under the locks
    [[nodiscard]] answer<void> exchange();                       // under the locks
    [[nodiscard]] const inode* source() const noexcept { return m_source.get(); }
    [[nodiscard]] const inode* target() const noexcept { return m_target.get(); }
    [[nodiscard]] const inode* hour() const noexcept { return m_hour.get(); }
    [[nodiscard]] bool same_inode() const noexcept { return m_target_entry && m_target_entry->ino == m_source_entry.ino; }
    [[nodiscard]] bool moves_directory() const noexcept {
        return m_from != m_to && (S_ISDIR(m_source_entry.type) || (m_target_entry && S_ISDIR(m_target_entry->type)));
    }
    [[nodiscard]] std::optional<inode_number> orphan() const noexcept { return m_orphan; }

private:
    [[nodiscard]] answer<void> admit_replacing() const;
    void finish(format::inode_record& next_from, format::inode_record& next_to, volume::change& change) const;
    void commit_directories(const format::inode_record& next_from, const format::inode_record& next_to) const;

    context& m_in;
    inode_ptr m_from, m_to;
    std::string_view m_name, m_new_name;
    format::dirent_record m_source_entry;
    std::optional<format::dirent_record> m_target_entry;
    inode_ptr m_source, m_target;
    inode_ptr m_hour;  // of the trash; null: what is replaced goes at once
    std::optional<inode_number> m_orphan;
};

answer<void> step::find_names() {
    FS_TRY(m_source_entry, require_entry(m_in, *m_from, m_name));
    {
        const std::shared_lock lock(m_to->mutex);
        FS_TRY(m_target_entry, find_entry(m_in, *m_to, m_new_name));
    }
    FS_TRY(m_source, m_in.inodes.get(m_source_entry.ino));
    m_target.reset();
    if (m_target_entry) {
        FS_TRY(m_target, m_in.inodes.get(m_target_entry->ino));
    }
    return {};
}

answer<void> step::find_trash() {
    m_hour.reset();
    if (!m_target) return {};
    FS_TRY(m_hour, m_in.trash.place_for(*m_to));
    return {};
}

answer<void> step::admit(rename_mode how) const {
    if (how == rename_mode::keep_target && m_target_entry) return refuse(EEXIST);
    if (how == rename_mode::exchange && !m_target_entry) return refuse(ENOENT);
    return {};
}

answer<bool> step::unchanged() const {
    FS_TRY(const auto source, find_entry(m_in, *m_from, m_name));
    FS_TRY(const auto target, find_entry(m_in, *m_to, m_new_name));
    return source == m_source_entry && target == m_target_entry && !(m_hour && m_hour->record.nlink == 0);
}

// What moves between directories of one project stays in it; what has the other directory's already (of several names, or
// not counted yet) may join its like. Everything else would be counted where it is not. The trash holds what is of any project.
bool step::crosses_projects(rename_mode how) const {
    const auto from = m_in.projects.live(m_from->record.project), to = m_in.projects.live(m_to->record.project);
    const bool from_trash = m_from->record.parent == trash_inode;
    if (from == to && !from_trash) return false;
    return m_in.projects.live(m_source->record.project) != to ||
           (how == rename_mode::exchange && m_in.projects.live(m_target->record.project) != from);
}

answer<void> step::admit_replacing() const {
    const bool moving_directory = S_ISDIR(m_source_entry.type);
    if (m_target) {
        const bool onto_directory = m_target->record.is_directory();
        if (moving_directory && !onto_directory) return refuse(ENOTDIR);
        if (!moving_directory && onto_directory) return refuse(EISDIR);
        if (m_target->record.entries > 0) return refuse(ENOTEMPTY);
    } else if (moving_directory && m_to->record.nlink >= link_max) {
        return refuse(EMLINK);
    }
    return {};
}

// The records of both directories, which may be one.
void step::finish(format::inode_record& next_from, format::inode_record& next_to, volume::change& change) const {
    const auto now = m_in.now();
    touch(next_from, now);
    touch(next_to, now);
    put_inode(change, m_to->ino, next_to);
    if (m_from != m_to) put_inode(change, m_from->ino, next_from);
}

void step::commit_directories(const format::inode_record& next_from, const format::inode_record& next_to) const {
    commit_directory(*m_to, next_to);
    if (m_from != m_to) commit_directory(*m_from, next_from);
}

answer<void> step::replace() {
    FS_CHECK(admit_replacing());
    const bool directory = S_ISDIR(m_source_entry.type);
    const auto now = m_in.now();
    volume::change change;
    auto to_record = m_to->record;
    auto from_record = m_from->record;
    auto& next_to = to_record;
    auto& next_from = m_from == m_to ? to_record : from_record;
    auto next_source = m_source->record;
    auto next_target = m_target ? m_target->record : format::inode_record();
    auto hour_record = m_hour ? m_hour->record : format::inode_record();
    auto& next_hour = m_hour == m_from ? next_from : hour_record;
    std::optional<trashed> kept;

    // A name that was there and is there stays where it is in the listing.
    auto moved = m_source_entry;
    moved.cookie = m_target_entry ? m_target_entry->cookie : next_to.next_cookie;
    erase_entry(change, m_from->ino, m_name, m_source_entry.cookie);
    put_entry(change, m_to->ino, m_new_name, moved);
    --next_from.entries;
    if (directory) --next_from.nlink;
    if (m_target) {
        if (m_hour && has_one_name(*m_target)) kept = move_to_trash(change, *m_hour, next_hour, *m_target, next_target, m_to->ino, m_new_name, now);
        else lose_link(change, *m_target, next_target, now);
    } else {
        next_to.next_cookie = next_to.next_cookie.next();
        ++next_to.entries;
    }
    if (directory && !m_target) ++next_to.nlink;
    // A directory that replaces another takes over its share of the parent's links.
    next_source.ctime = now;
    if (directory) next_source.parent = m_to->ino;
    use_change use;
    if (take_project(m_in, change, *m_to, *m_source, next_source)) use = use_of(next_source);
    put_inode(change, m_source->ino, next_source);
    finish(next_from, next_to, change);
    FS_CHECK(m_in.projects.apply(change, next_source.project, use, quota_rule::recorded));

    m_in.names.store(m_from->ino, m_name, std::nullopt);
    m_in.names.store(m_to->ino, m_new_name, moved);
    commit(*m_source, next_source);
    if (kept) {
        m_in.names.store(m_hour->ino, kept->name, kept->entry);
        if (m_hour != m_from) commit_directory(*m_hour, next_hour);
    }
    if (m_target) {
        commit(*m_target, next_target);
        if (next_target.nlink == 0) m_orphan = m_target->ino;
    }
    commit_directories(next_from, next_to);
    return {};
}

answer<void> step::exchange() {
    const bool source_directory = S_ISDIR(m_source_entry.type);
    const bool target_directory = S_ISDIR(m_target_entry->type);
    const auto now = m_in.now();
    volume::change change;
    auto to_record = m_to->record;
    auto from_record = m_from->record;
    auto& next_to = to_record;
    auto& next_from = m_from == m_to ? to_record : from_record;
    auto next_source = m_source->record;
    auto next_target = m_target->record;

    const format::dirent_record at_new{m_source_entry.ino, m_source_entry.type, m_target_entry->cookie};
    const format::dirent_record at_old{m_target_entry->ino, m_target_entry->type, m_source_entry.cookie};
    put_entry(change, m_to->ino, m_new_name, at_new);
    put_entry(change, m_from->ino, m_name, at_old);
    if (source_directory && !target_directory) ++next_to.nlink, --next_from.nlink;
    if (!source_directory && target_directory) --next_to.nlink, ++next_from.nlink;
    next_source.ctime = next_target.ctime = now;
    if (source_directory) next_source.parent = m_to->ino;
    if (target_directory) next_target.parent = m_from->ino;
    use_change use;
    if (take_project(m_in, change, *m_to, *m_source, next_source)) use = use_of(next_source);
    if (take_project(m_in, change, *m_from, *m_target, next_target)) use = use + use_of(next_target);
    put_inode(change, m_source->ino, next_source);
    put_inode(change, m_target->ino, next_target);
    finish(next_from, next_to, change);
    FS_CHECK(m_in.projects.apply(change, m_to->record.project, use, quota_rule::recorded));

    m_in.names.store(m_to->ino, m_new_name, at_new);
    m_in.names.store(m_from->ino, m_name, at_old);
    commit(*m_source, next_source);
    commit(*m_target, next_target);
    commit_directories(next_from, next_to);
    return {};
}

// No directory comes into a tree that is being counted, or leaves it: it could bring a quota of its own, or take away what
// was counted.
answer<void> check_counting(context& in, const inode& from, const inode& to) {
    for (auto at = in.projects.next({}); at; at = in.projects.next(at->first)) {
        if (!at->second.counting) continue;
        FS_TRY(const bool leaves, is_within(in, from.ino, at->second.root));
        FS_TRY(const bool enters, is_within(in, to.ino, at->second.root));
        if (leaves != enters) return refuse(EXDEV);
    }
    return {};
}

// No directory may become its own descendant.
answer<void> check_loops(context& in, const step& move, const inode& from, const inode& to, rename_mode how) {
    FS_TRY(const bool into_itself, is_within(in, to.ino, move.source()->ino));
    if (into_itself) return refuse(EINVAL);
    if (!move.target()) return {};
    FS_TRY(const bool holds_source, is_within(in, from.ino, move.target()->ino));
    if (holds_source) return refuse(how == rename_mode::exchange ? EINVAL : ENOTEMPTY);
    return {};
}

}  // namespace

answer<void> renaming::rename(inode_number from, std::string_view name, inode_number to, std::string_view new_name, rename_mode how) {
    FS_CHECK(check_name(name));
    FS_CHECK(check_name(new_name));
    FS_TRY(const auto from_node, m_in.inodes.get(from));
    FS_TRY(const auto to_node, m_in.inodes.get(to));
    bool written_back = false;
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
        step move(m_in, from_node, name, to_node, new_name);
        FS_CHECK(move.find_names());
        FS_CHECK(move.admit(how));
        if (move.same_inode()) return {};
        if (how == rename_mode::replace) FS_CHECK(move.find_trash());
        // A file that takes another's place brings what was written to it: after a crash the name never shows less.
        if (move.target() && move.source()->writers > 0 && m_in.how.write_back && !written_back) {
            FS_CHECK(m_in.how.write_back(move.source()->ino));
            written_back = true;
        }
        std::unique_lock<std::mutex> moving(m_in.moving, std::defer_lock);
        if (move.moves_directory()) {
            moving.lock();
            FS_CHECK(check_loops(m_in, move, *from_node, *to_node, how));
            FS_CHECK(check_counting(m_in, *from_node, *to_node));
        }
        {
            const lock_set locks{from_node.get(), to_node.get(), move.source(), move.target(), move.hour()};
            FS_TRY(const bool unchanged, move.unchanged());
            if (!unchanged) continue;
            if (move.crosses_projects(how)) return refuse(EXDEV);
            if (how == rename_mode::exchange) {
                FS_CHECK(move.exchange());
            } else {
                FS_CHECK(move.replace());
            }
        }
        if (const auto orphan = move.orphan()) note_orphan(m_in, *orphan);
        return {};
    }
    return refuse(EAGAIN);
}

}  // namespace cess::fs
