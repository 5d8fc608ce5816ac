// Memory in front of a slower tier, which may come later. Thread-safe.
#pragma once

#include <cache/sealed_cache.hpp>

#include <atomic>

namespace cess::cache {

class tiered_cache final {
public:
    explicit tiered_cache(std::unique_ptr<block_cache> memory) : m_memory(std::move(memory)) {}
    void put_behind(std::unique_ptr<sealed_cache> slow);  // once
    [[nodiscard]] bool has_slow_tier() const noexcept { return m_slow.load(std::memory_order_acquire) != nullptr; }

    [[nodiscard]] block_cache& memory() noexcept { return *m_memory; }
    [[nodiscard]] block fetch(const block_key& key, const opener& open);  // from the slow tier, into memory; may block
    [[nodiscard]] bool slow_may_hold(const segment_id& segment, std::uint32_t first, std::uint32_t count) const;
    void insert_behind(sealed_run what);                                  // into the slow tier alone

private:
    std::unique_ptr<block_cache> m_memory;
    std::unique_ptr<sealed_cache> m_owned;
    std::atomic<sealed_cache*> m_slow{nullptr};
};

}  // namespace cess::cache
