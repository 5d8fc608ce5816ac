#include "extent_cache.hpp"

#include <algorithm>

namespace cess::volume {
namespace {

auto position(extent_cache::rows& in, std::uint64_t end) {
    return std::lower_bound(in.begin(), in.end(), end, [](const extent& e, std::uint64_t at) { return e.end < at; });
}

}  // namespace

const extent_cache::rows* extent_cache::find(const place& at) {
    const auto found = m_index.find(at);
    if (found == m_index.end()) return nullptr;
    m_chunks.splice(m_chunks.begin(), m_chunks, found->second);
    return &found->second->content;
}

bool extent_cache::wanted(const place& at) {
    const auto hash = std::uint64_t{place_hash()(at)} | 1;  // never that of an empty slot
    auto& slot = m_missed[(hash >> 20) % m_missed.size()];
    if (slot == hash) return true;
    slot = hash;
    return false;
}

const extent_cache::rows& extent_cache::fill(const place& at, rows what) {
    m_chunks.push_front({at, std::move(what)});
    m_index[at] = m_chunks.begin();
    m_bytes += cost(m_chunks.front());
    evict();
    return m_chunks.front().content;
}

void extent_cache::evict() {
    while (m_bytes > m_bytes_max && m_chunks.size() > 1) {
        m_bytes -= cost(m_chunks.back());
        m_index.erase(m_chunks.back().at);
        m_chunks.pop_back();
    }
}

template <class Change>
void extent_cache::change(blob_id blob, std::uint32_t generation, const extent& row, Change&& what) {
    if (m_chunks.empty()) return;
    for (auto number = row.start / chunk_size; number <= row.end / chunk_size; ++number) {
        const auto found = m_index.find({blob, generation, number});
        if (found == m_index.end()) continue;
        m_bytes -= cost(*found->second);
        what(found->second->content);
        m_bytes += cost(*found->second);
    }
}

void extent_cache::inserted(blob_id blob, std::uint32_t generation, const extent& row) {
    change(blob, generation, row, [&row](rows& in) { in.insert(position(in, row.end), row); });
    evict();
}

void extent_cache::erased(blob_id blob, std::uint32_t generation, const extent& row) {
    change(blob, generation, row, [&row](rows& in) {
        const auto at = position(in, row.end);
        if (at != in.end() && at->end == row.end) in.erase(at);
    });
}

}  // namespace cess::volume
