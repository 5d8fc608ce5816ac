#include <cache/tiered_cache.hpp>

namespace cess::cache {

void tiered_cache::put_behind(std::unique_ptr<sealed_cache> slow) {
    m_owned = std::move(slow);
    m_slow.store(m_owned.get(), std::memory_order_release);
}

}  // namespace cess::cache
