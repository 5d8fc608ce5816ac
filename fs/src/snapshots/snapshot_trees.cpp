#include "snapshot_trees.hpp"

#include "format.hpp"
#include "numbering.hpp"
#include "store.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::fs {
namespace {

// The first inode number that the snapshot does not have.
answer<inode_number> number_end(volume::reader& of) {
    FS_TRY(const auto found, of.get(format::superblock_key()));
    if (!found) return first_inode;
    FS_TRY(const auto super, store::decode<format::superblock>(*found));
    return super.next;
}

}  // namespace

snapshot_trees::~snapshot_trees() {
    for (const auto& each : m_leaving)
        if (auto tree = each.lock()) m_recent.push_back(std::move(tree));
    for (const auto& tree : m_recent) {
        tree->files.reset();
        tree->data.reset();
    }
}

tree_ptr snapshot_trees::find_open(snapshot_number n) const {
    const std::lock_guard lock(m_mutex);
    const auto it = std::find_if(m_recent.begin(), m_recent.end(), [&](const auto& tree) { return tree->number == n; });
    return it == m_recent.end() ? nullptr : *it;
}

std::size_t snapshot_trees::open_count() const {
    const std::lock_guard lock(m_mutex);
    return m_recent.size();
}

void snapshot_trees::close(snapshot_number n) {
    tree_ptr closed;  // without the lock
    const std::lock_guard lock(m_mutex);
    const auto it = std::find_if(m_recent.begin(), m_recent.end(), [&](const auto& tree) { return tree->number == n; });
    if (it == m_recent.end()) return;
    closed = std::move(*it);
    m_recent.erase(it);
    m_leaving.remove_if([](const auto& each) { return each.expired(); });
    m_leaving.push_back(closed);
}

// An open one; or null, and it is the caller who opens it.
tree_ptr snapshot_trees::claim(snapshot_number n, std::unique_lock<std::mutex>& lock) {
    for (;;) {
        const auto it = std::find_if(m_recent.begin(), m_recent.end(), [&](const auto& tree) { return tree->number == n; });
        if (it != m_recent.end()) {
            m_recent.splice(m_recent.begin(), m_recent, it);
            return m_recent.front();
        }
        if (m_opening.insert(n).second) return nullptr;
        m_opened.wait(lock);  // opening has its deadlines
    }
}

// Closes those that nobody uses, the oldest first, until no more than `most` are open. New users come under the lock only.
bool snapshot_trees::make_room(std::size_t most, std::unique_lock<std::mutex>& lock) {
    std::vector<tree_ptr> closed;
    for (auto it = m_recent.end(); it != m_recent.begin() && m_recent.size() > most;) {
        --it;
        if (it->use_count() > 1) continue;
        closed.push_back(std::move(*it));
        it = m_recent.erase(it);
    }
    const bool made = m_recent.size() <= most;
    lock.unlock();
    closed.clear();
    lock.lock();
    return made;
}

answer<tree_ptr> snapshot_trees::get(const numbered_snapshot& which) {
    std::unique_lock lock(m_mutex);
    if (auto found = claim(which.number, lock)) return found;
    struct turn {
        snapshot_trees& in;
        std::unique_lock<std::mutex>& lock;
        snapshot_number n;
        ~turn() {
            if (!lock.owns_lock()) lock.lock();
            in.m_opening.erase(n);
            in.m_opened.notify_all();
        }
    } const ours{*this, lock, which.number};
    if (!make_room(m_open_max - std::min(m_open_max, m_opening.size()), lock)) return refuse(ENFILE);
    lock.unlock();
    FS_TRY(auto opened, open(which));
    lock.lock();
    m_recent.push_front(opened);
    return opened;
}

// As many as there is memory for.
result<std::shared_ptr<volume::reader>> snapshot_trees::open_data(const std::string& name) {
    for (;;) {
        auto data = m_from.open(name);
        if (data || data.error().code != errc::exhausted) return data;
        std::unique_lock lock(m_mutex);
        const auto open_now = m_recent.size();
        if (open_now == 0 || !make_room(open_now - 1, lock)) return data;
    }
}

answer<tree_ptr> snapshot_trees::open(const numbered_snapshot& which) {
    auto data = open_data(which.info.name);
    if (!data && data.error().code == errc::exhausted) return refuse(ENFILE);
    if (!data) return posix_error(data.error());
    if ((*data)->record().head.sequence != which.info.at) return refuse(ESTALE);
    FS_TRY(const auto end, number_end(**data));
    if (end > snapshot_inode_end) {
        log::warn("fs", "snapshot {} has inode numbers too large to be shown beside the volume; mount it by itself", which.info.name);
        return refuse(EOVERFLOW);
    }
    FS_TRY(auto files, filesystem::open(**data, nullptr, m_how));
    return std::make_shared<snapshot_tree>(snapshot_tree{which.number, std::move(*data), std::move(files)});
}

}  // namespace cess::fs
