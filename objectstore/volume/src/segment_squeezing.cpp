// The part of the segment table that squeezing is about: what was overwritten while it was in a buffer.
#include "segment_table.hpp"

#include <algorithm>

namespace cess::volume {
namespace {

constexpr std::uint64_t bytes_per_range = 2048;  // of a buffer, for each range that is remembered of it

}  // namespace

// What there is no room for counts as needed.
void segment_table::remember(const std::vector<overwritten_range>& overwritten, sequence_number at) {
    for (const auto& each : overwritten) {
        const auto it = m_segments.find({m_own, each.segment});
        if (it == m_segments.end() || !it->second.remembers) continue;
        auto& list = it->second.overwritten;
        if (!list.empty() && list.back().death == at && list.back().offset + list.back().length == each.offset) {
            list.back().length += each.length;
        } else if (list.size() < it->second.buffer->capacity() / bytes_per_range) {
            list.push_back(each);
            list.back().death = at;
        }
    }
}

void segment_table::forget_overwritten(segment_number number, state& s) {
    s.remembers = false;
    std::vector<overwritten_range>().swap(s.overwritten);
    m_buffered.erase(number);
    m_first_buffered = m_buffered.empty() ? ~std::uint64_t{0} : m_buffered.begin()->value;
}

// A cut names what was live then, and its root is to be whole: what died later is kept. What died after the sealing, by
// changes whose own bytes may be in no segment yet, would hold the location up in the journal until those are appended.
std::vector<overwritten_range> segment_table::take_overwritten(segment_number number, sequence_number durable) {
    const std::lock_guard lock(m_mutex);
    const auto it = m_segments.find({m_own, number});
    if (it == m_segments.end() || !it->second.remembers || !it->second.sealed) return {};
    auto& s = it->second;
    auto out = std::move(s.overwritten);
    forget_overwritten(number, s);
    auto until = std::max(durable, s.sealed_after);
    if (s.first_cut.value != 0) until = std::min(until, s.first_cut);
    std::erase_if(out, [until](const auto& each) { return each.death > until; });
    return out;
}

}  // namespace cess::volume
