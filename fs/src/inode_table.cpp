#include "inode_table.hpp"

#include <algorithm>

namespace cess::fs {

inode_table::inode_table(store& from, std::size_t capacity)
    : m_store(from), m_shard_capacity(std::max<std::size_t>(capacity / shard_count, 16)) {}

answer<inode_ptr> inode_table::get(inode_number ino) {
    auto node = find_or_add(ino);
    if (!node->loaded.load(std::memory_order_acquire)) {
        if (auto done = load(*node); !done) {
            erase_unloaded(*node);
            return done.error();
        }
    }
    return node;
}

inode_ptr inode_table::find_or_add(inode_number ino) {
    auto& in = shard_of(ino);
    const std::lock_guard lock(in.mutex);
    return find_or_add(in, ino);
}

inode_ptr inode_table::find_or_add(shard& in, inode_number ino) const {
    if (const auto it = in.slots.find(ino.value); it != in.slots.end()) {
        in.recent.splice(in.recent.begin(), in.recent, it->second.place);
        return it->second.node;
    }
    auto node = std::make_shared<inode>(ino);
    in.recent.push_front(ino);
    in.slots.emplace(ino.value, slot{node, in.recent.begin()});
    shrink(in);
    return node;
}

answer<void> inode_table::load(inode& node) {
    const std::lock_guard lock(node.mutex);
    if (node.loaded.load(std::memory_order_relaxed)) return {};
    FS_TRY(auto record, m_store.load<format::inode_record>(format::inode_key(node.ino)));
    if (!record) {
        node.gone = true;
        return refuse(ESTALE);
    }
    node.record = *record;
    node.loaded.store(true, std::memory_order_release);
    return {};
}

// Under the shard's lock, so that a get() that found nothing a moment ago cannot take the object out of the table
// behind our back. Nobody but such a get() can hold the inode's lock.
inode_ptr inode_table::insert(inode_number ino, const format::inode_record& record) {
    auto& in = shard_of(ino);
    const std::lock_guard shard_lock(in.mutex);
    auto node = find_or_add(in, ino);
    const std::lock_guard lock(node->mutex);
    node->record = record;
    node->gone = false;
    node->loaded.store(true, std::memory_order_release);
    return node;
}

void inode_table::erase_unloaded(const inode& node) {
    auto& in = shard_of(node.ino);
    const std::lock_guard lock(in.mutex);
    const auto it = in.slots.find(node.ino.value);
    if (it == in.slots.end() || it->second.node.get() != &node || node.loaded.load(std::memory_order_acquire)) return;
    in.recent.erase(it->second.place);
    in.slots.erase(it);
}

void inode_table::erase(inode_number ino) {
    auto& in = shard_of(ino);
    const std::lock_guard lock(in.mutex);
    const auto it = in.slots.find(ino.value);
    if (it == in.slots.end()) return;
    in.recent.erase(it->second.place);
    in.slots.erase(it);
}

// Bounded work an insertion: what is pinned is moved to the front, where it belongs.
void inode_table::shrink(shard& in) const {
    for (int tries = 0; in.slots.size() > m_shard_capacity && tries < 8; ++tries) {
        const auto oldest = std::prev(in.recent.end());
        const auto it = in.slots.find(oldest->value);
        if (it->second.node.use_count() > 1) {
            in.recent.splice(in.recent.begin(), in.recent, oldest);
            continue;
        }
        in.slots.erase(it);
        in.recent.erase(oldest);
    }
}

std::vector<inode_number> inode_table::written() const {
    std::vector<inode_number> out;
    for (const auto& in : m_shards) {
        const std::lock_guard lock(in.mutex);
        for (const auto& [number, at] : in.slots)
            if (at.node->writers > 0) out.push_back({number});
    }
    return out;
}

std::size_t inode_table::size() const {
    std::size_t n = 0;
    for (const auto& in : m_shards) {
        const std::lock_guard lock(in.mutex);
        n += in.slots.size();
    }
    return n;
}

void reference_table::add(inode_number ino, std::uint64_t n) {
    auto& in = m_shards[ino.value % shard_count];
    const std::lock_guard lock(in.mutex);
    in.counts[ino.value] += n;
}

bool reference_table::drop(inode_number ino, std::uint64_t n) {
    auto& in = m_shards[ino.value % shard_count];
    const std::lock_guard lock(in.mutex);
    const auto it = in.counts.find(ino.value);
    if (it == in.counts.end()) return true;
    if (it->second > n) {
        it->second -= n;
        return false;
    }
    in.counts.erase(it);
    return true;
}

bool reference_table::any(inode_number ino) const {
    const auto& in = m_shards[ino.value % shard_count];
    const std::lock_guard lock(in.mutex);
    return in.counts.contains(ino.value);
}

std::vector<held_inode> reference_table::list() const {
    std::vector<held_inode> out;
    for (const auto& in : m_shards) {
        const std::lock_guard lock(in.mutex);
        for (const auto& [ino, count] : in.counts) out.push_back({inode_number{ino}, count});
    }
    return out;
}

void orphan_set::add(inode_number ino) {
    const std::lock_guard lock(m_mutex);
    if (m_numbers.insert(ino.value).second) m_size.fetch_add(1);
}

bool orphan_set::take(inode_number ino) {
    if (m_size.load() == 0) return false;
    const std::lock_guard lock(m_mutex);
    if (m_numbers.erase(ino.value) == 0) return false;
    m_size.fetch_sub(1);
    return true;
}

}  // namespace cess::fs
