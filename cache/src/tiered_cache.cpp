#include <cache/tiered_cache.hpp>

namespace cess::cache {

void tiered_cache::put_behind(std::unique_ptr<sealed_cache> slow) {
    m_owned = std::move(slow);
    m_slow.store(m_owned.get(), std::memory_order_release);
}

block tiered_cache::fetch(const block_key& key, const opener& open) {
    auto* slow = m_slow.load(std::memory_order_acquire);
    if (slow == nullptr) return nullptr;
    auto found = slow->fetch(key, open);
    if (found) m_memory->insert(key, found);
    return found;
}

bool tiered_cache::slow_may_hold(const segment_id& segment, std::uint32_t first, std::uint32_t count) const {
    const auto* slow = m_slow.load(std::memory_order_acquire);
    return slow != nullptr && slow->may_hold(segment, first, count);
}

void tiered_cache::insert_behind(sealed_run what) {
    if (auto* slow = m_slow.load(std::memory_order_acquire)) slow->insert(std::move(what));
}

}  // namespace cess::cache
