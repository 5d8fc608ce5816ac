// Memory that is used again and again: fresh pages cost a fault and a clearing each, which for bytes that only pass
// through is more than sealing them (measured under a hypervisor: a third of a write's processor time).
#pragma once

#include <core/base/bytes.hpp>

#include <mutex>
#include <new>
#include <vector>

namespace cess {

// Has malloc keep up to 64 MiB an arena of what is freed, in at most four, and take blocks up to 8 MiB from there. Once, at
// the start.
void keep_freed_memory() noexcept;

// For tables that are looked at here and there: from 2 MiB on in huge pages, if the kernel has them, so that a look costs
// one miss of the processor's cache and none of its address translation. Throws std::bad_alloc.
[[nodiscard]] void* allocate_in_huge_pages(std::size_t size);
void free_huge_pages(void* what) noexcept;

template <class T>
struct huge_page_allocator {
    using value_type = T;
    huge_page_allocator() = default;
    template <class U>
    huge_page_allocator(const huge_page_allocator<U>&) noexcept {}
    [[nodiscard]] T* allocate(std::size_t n) {
        if (n > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_array_new_length();
        return static_cast<T*>(allocate_in_huge_pages(n * sizeof(T)));
    }
    void deallocate(T* p, std::size_t) noexcept { free_huge_pages(p); }
    friend bool operator==(const huge_page_allocator&, const huge_page_allocator&) { return true; }
};

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
