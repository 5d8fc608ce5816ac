#include "unlinking.hpp"

#include <ctime>

namespace cess::fs {
namespace {

constexpr std::chrono::minutes look_every{10};
constexpr std::size_t batch = 256;
constexpr std::int64_t seconds_of_hour = 3600, seconds_of_day = 86400;
constexpr const char* hour_format = "%Y-%m-%d-%H";

std::string hour_of(timestamp now) {
    const auto seconds = static_cast<std::time_t>(now.seconds);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    char text[40];
    return {text, std::strftime(text, sizeof text, hour_format, &parts)};
}

// When an hour begins; empty: that is no hour's name.
std::optional<std::int64_t> begin_of(std::string_view hour) {
    std::tm parts{};
    const std::string text(hour);
    const char* const end = ::strptime(text.c_str(), hour_format, &parts);
    if (!end || *end != '\0') return std::nullopt;
    return ::timegm(&parts);
}

std::string name_in_trash(inode_number from, inode_number ino, std::string_view name) {
    auto full = std::to_string(from.value) + "-" + std::to_string(ino.value) + "-" + std::string(name);
    if (full.size() > name_max) full.resize(name_max);
    return full;
}

inode_number parent_of(const inode& directory) {
    const std::shared_lock lock(directory.mutex);
    return directory.record.parent;
}

bool deletes_at_once(const inode& directory) {
    const std::shared_lock lock(directory.mutex);
    return is_of_trash(directory);
}

bool is_removed(const inode& directory) {
    const std::shared_lock lock(directory.mutex);
    return directory.gone || directory.record.nlink == 0;
}

}  // namespace

trash_bin::trash_bin(context& in, bool in_background)
    : m_in(in), m_expiry("emptying the trash", [this] { return expire(); }, look_every, in_background) {}

answer<void> trash_bin::load() {
    FS_TRY(const auto found, m_in.volume.data().get(format::trash_key()));
    if (!found) return {};
    FS_TRY(const auto record, store::decode<format::trash_record>(*found));
    m_exists = true;
    m_days = record.days;
    return {};
}

void trash_bin::start() noexcept {
    if (m_exists) m_expiry.wake();
}

answer<void> trash_bin::make_directory(volume::change& change) {
    const auto now = m_in.now();
    format::inode_record r;
    r.mode = S_IFDIR | 0700;
    r.uid = m_in.how.root_owner.uid;
    r.gid = m_in.how.root_owner.gid;
    r.nlink = 2;
    r.atime = r.mtime = r.ctime = r.btime = now;
    r.generation = m_in.volume.data().record().term.value;
    r.parent = root_inode;
    put_inode(change, trash_inode, r);
    FS_CHECK(m_in.volume.apply(change));
    m_in.inodes.insert(trash_inode, r);
    return {};
}

answer<void> trash_bin::set_days(std::uint32_t days) {
    if (!m_in.volume.writable()) return refuse(EROFS);
    if (days > trash_days_max) return refuse(EINVAL);
    const std::lock_guard lock(m_mutex);
    if (days == m_days) return {};
    volume::change change;
    change.put(format::trash_key(), wire::encode(format::trash_record{days}));
    if (m_exists) {
        FS_CHECK(m_in.volume.apply(change));
    } else {
        FS_TRY(const auto root, m_in.inodes.get(root_inode));
        const lock_set locks{root.get()};
        FS_TRY(const auto taken, find_entry(m_in, *root, trash_name));
        if (taken) return refuse(EEXIST);
        FS_CHECK(make_directory(change));
    }
    m_exists = true;
    m_days = days;
    m_expiry.wake();
    return {};
}

namespace {

// Whoever mounts later: all of it is one user's.
answer<caller> owner_of_trash(context& in) {
    FS_TRY(const auto top, in.inodes.get(trash_inode));
    const std::shared_lock lock(top->mutex);
    return caller{top->record.uid, top->record.gid};
}

}  // namespace

answer<inode_ptr> trash_bin::make_hour(const std::string& name) {
    new_inode what;
    what.mode = S_IFDIR | 0700;
    FS_TRY(what.by, owner_of_trash(m_in));
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
        FS_TRY(auto there, lookups(m_in).lookup(trash_inode, name));
        if (!there) {
            const auto made = creation(m_in).make(trash_inode, name, what);
            if (!made && made.error().number == EEXIST) continue;
            if (!made) return made.error();
            there = *made;
        }
        auto node = m_in.inodes.get(there->ino);
        lookups(m_in).forget(there->ino, 1);
        return node;
    }
    return refuse(EAGAIN);
}

answer<inode_ptr> trash_bin::place_for(const inode& directory) {
    if (m_days == 0 || deletes_at_once(directory)) return inode_ptr();
    const auto name = hour_of(m_in.now());
    const std::lock_guard lock(m_mutex);
    if (m_hour && m_hour_name == name && !is_removed(*m_hour)) return m_hour;
    FS_TRY(m_hour, make_hour(name));
    m_hour_name = name;
    return m_hour;
}

answer<bool> trash_bin::holds(inode_number directory) {
    if (!m_exists) return false;
    for (int level = 0; level < 3; ++level) {
        if (directory == trash_inode) return true;
        if (directory == root_inode) return false;
        FS_TRY(const auto node, m_in.inodes.get(directory));
        directory = parent_of(*node);
    }
    return false;
}

bool trash_bin::due(std::string_view hour) const {
    const auto begin = begin_of(hour);
    return m_days == 0 || (begin && *begin + seconds_of_hour + m_days * seconds_of_day <= m_in.now().seconds);
}

// At most a batch; the hour itself with the last of them.
answer<void> trash_bin::empty(inode_number hour, const std::string& name) {
    removal remove(m_in);
    FS_TRY(const auto entries, listings(m_in).list(hour, entry_cookie{2}, batch, false));
    answer<void> all;
    for (const auto& e : entries) {  // one that stays hinders none of the others
        const auto done = S_ISDIR(e.type) ? remove.remove_directory(hour, e.name) : remove.unlink(hour, e.name);
        if (!done && done.error().number != ENOENT) all = done;  // ENOENT: somebody was faster
        if (done && !has_names(e.ino)) tell_removed(hour, e.name, e.ino);
    }
    FS_CHECK(all);
    if (entries.size() == batch) return {};
    const auto done = remove.remove_directory(trash_inode, name);
    if (done) tell_removed(trash_inode, name, hour);
    if (!done && done.error().number != ENOENT && done.error().number != ENOTEMPTY) return done;  // ENOTEMPTY: more got there
    return {};
}

void trash_bin::on_removed(removal_listener tell) {
    auto next = tell ? std::make_shared<const removal_listener>(std::move(tell)) : nullptr;
    const std::lock_guard lock(m_listener_mutex);
    m_listener.swap(next);
}

// The kernel takes a file of which a name was deleted for one without any.
bool trash_bin::has_names(inode_number ino) {
    const auto node = m_in.inodes.get(ino);
    if (!node) return false;
    std::shared_lock lock((*node)->mutex);
    return !(*node)->gone && (*node)->record.nlink != 0;
}

void trash_bin::tell_removed(inode_number directory, const std::string& name, inode_number ino) {
    std::unique_lock lock(m_listener_mutex);
    const auto tell = m_listener;
    lock.unlock();
    if (tell) (*tell)(directory, name, ino);
}

// Hours are in the order in which they were made, and only clocks that were wrong put a later one first.
answer<bool> trash_bin::expire() {
    if (!m_exists) return false;
    for (entry_cookie after{2};;) {
        FS_TRY(const auto hours, listings(m_in).list(trash_inode, after, batch, false));
        for (const auto& hour : hours) {
            if (!due(hour.name)) continue;
            FS_CHECK(empty(hour.ino, hour.name));
            return true;
        }
        if (hours.size() < batch) return false;
        after = hours.back().cookie;
    }
}

trashed move_to_trash(volume::change& change, const inode& hour, format::inode_record& next_hour, const inode& node,
                      format::inode_record& next, inode_number from, std::string_view name, timestamp now) {
    trashed to{name_in_trash(from, node.ino, name), {}};
    to.entry = add_entry(change, hour, next_hour, to.name, node.ino, next.mode & S_IFMT, now);
    next.ctime = now;
    if (next.is_directory()) next.parent = hour.ino;
    put_inode(change, node.ino, next);
    return to;
}

}  // namespace cess::fs
