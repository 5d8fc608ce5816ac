#include <core/base/memory.hpp>

#include <malloc.h>
#include <sys/mman.h>

#include <cstdlib>

namespace cess {
namespace {

constexpr std::size_t large = 1 * MiB;
constexpr std::size_t huge_page = 2 * MiB;

}  // namespace

void keep_freed_memory() noexcept {
    ::mallopt(M_MMAP_THRESHOLD, 8 * MiB);
    ::mallopt(M_TRIM_THRESHOLD, 64 * MiB);
    ::mallopt(M_ARENA_MAX, 4);  // by default eight a processor: a mount of 32 threads kept 14 arenas of 57 MiB
}

void* allocate_in_huge_pages(std::size_t size) {
    const bool worth_it = size >= huge_page && size <= ~std::size_t{0} - huge_page;
    const auto whole = (size + huge_page - 1) / huge_page * huge_page;
    void* const out = worth_it ? std::aligned_alloc(huge_page, whole) : std::malloc(size);
    if (out == nullptr) throw std::bad_alloc();
    if (worth_it) (void)::madvise(out, whole, MADV_HUGEPAGE);  // a kernel without them gives small ones
    return out;
}

void free_huge_pages(void* what) noexcept { std::free(what); }

bytes buffer_recycler::take(std::size_t size) {
    bytes out;
    if (size >= large) {
        const std::lock_guard lock(m_mutex);
        auto best = m_free.end();
        for (auto it = m_free.begin(); it != m_free.end(); ++it)
            if (it->capacity() >= size && (best == m_free.end() || it->capacity() < best->capacity())) best = it;
        if (best != m_free.end()) {
            out = std::move(*best);
            m_free.erase(best);
        }
    }
    out.resize(size);
    return out;
}

void buffer_recycler::give(bytes&& used) noexcept {
    const std::lock_guard lock(m_mutex);
    if (used.capacity() >= large && m_free.size() < m_count_max) m_free.push_back(std::move(used));  // room was reserved
}

}  // namespace cess
