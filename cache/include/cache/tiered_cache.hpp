// Memory in front of a slower tier, which may come later. Thread-safe.
#pragma once

#include <cache/sealed_cache.hpp>

#include <atomic>

namespace cess::cache {

class tiered_cache final {
public:
    explicit tiered_cache(std::unique_ptr<block_cache> memory) : m_memory(std::move(memory)) {}
    void put_behind(std::unique_ptr<sealed_cache> slow);  // once

    [[nodiscard]] block_cache& memory() noexcept { return *m_memory; }
    [[nodiscard]] sealed_cache* slow() const noexcept {  // null: none yet, or none any more
        auto* const slow = m_slow.load(std::memory_order_acquire);
        return slow != nullptr && !slow->off() ? slow : nullptr;
    }

private:
    std::unique_ptr<block_cache> m_memory;
    std::unique_ptr<sealed_cache> m_owned;
    std::atomic<sealed_cache*> m_slow{nullptr};
};

}  // namespace cess::cache
