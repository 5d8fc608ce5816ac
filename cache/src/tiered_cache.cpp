#include <cache/disk_cache.hpp>

namespace cess::cache {

void tiered_cache::put_behind(std::unique_ptr<disk_cache> disk) {
    m_owned = std::move(disk);
    m_disk.store(m_owned.get(), std::memory_order_release);
}

block tiered_cache::fetch(const block_key& key) {
    auto* disk = m_disk.load(std::memory_order_acquire);
    if (disk == nullptr) return nullptr;
    auto found = disk->fetch(key);
    if (found) m_memory->insert(key, found);
    return found;
}

void tiered_cache::insert(const block_key& key, block data) {
    if (auto* disk = m_disk.load(std::memory_order_acquire)) disk->insert(key, data);
    m_memory->insert(key, std::move(data));
}

}  // namespace cess::cache
