// Memory that is used again and again: fresh pages cost a fault and a clearing each, which for bytes that only pass
// through is more than sealing them (measured under a hypervisor: a third of a write's processor time).
#pragma once

#include <core/base/bytes.hpp>

#include <mutex>
#include <vector>

namespace cess {

// Has malloc keep up to 64 MiB an arena of what is freed, in at most four, and take blocks up to 8 MiB from there. Once, at
// the start.
void keep_freed_memory() noexcept;

// Large buffers that come back: at most `count_max` of them are kept. Small ones are malloc's. Thread-safe.
class buffer_recycler {
public:
    explicit buffer_recycler(std::size_t count_max) : m_count_max(count_max) { m_free.reserve(count_max); }

    // `size` bytes of anything: the smallest that came back and is large enough, or a new one.
    [[nodiscard]] bytes take(std::size_t size);
    void give(bytes&& used) noexcept;

private:
    const std::size_t m_count_max;
    std::mutex m_mutex;
    std::vector<bytes> m_free;
};

}  // namespace cess
