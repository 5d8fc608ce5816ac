#include "readahead.hpp"

#include "container.hpp"
#include "store.hpp"

#include <algorithm>
#include <atomic>

namespace cess::volume {
namespace {

constexpr std::uint64_t window_min = 128 * KiB;
constexpr std::uint64_t slack_reads = 16;       // how many reads may be under way at once
constexpr std::uint64_t slack_min = 64 * KiB;
constexpr std::uint64_t slack_max = 8 * MiB;
constexpr std::uint64_t proof_reads = 2;        // before a stream is believed
constexpr std::uint64_t proof_bytes = 16 * KiB;
constexpr std::uint64_t memory_bytes = 16 * MiB;  // of its past that a stream is judged by
constexpr std::size_t extents_max = 4096;         // of one window

layer::stream_id new_stream() {
    static std::atomic<std::uint64_t> last{0};
    return static_cast<layer::stream_id>(++last);
}

}  // namespace

stream_detector::advice stream_detector::note(blob_id blob, std::uint64_t offset, std::uint64_t length) {
    advice out;
    const auto end = offset + length;
    if (length == 0 || end < offset || end + m_window_max < end) return out;
    const auto slack = std::clamp(slack_reads * length, slack_min, slack_max);
    const std::lock_guard lock(m_mutex);
    ++m_reads;
    if (auto* known = find(blob, offset, end, slack)) {
        advance(*known, offset, end, out);
        return out;
    }
    if (m_streams.size() < streams_max) {
        begin(m_streams.emplace_back(), blob, offset, end, out);
        return out;
    }
    const auto oldest = std::min_element(m_streams.begin(), m_streams.end(), [](const stream& a, const stream& b) { return a.touched < b.touched; });
    begin(*oldest, blob, offset, end, out);
    return out;
}

std::vector<layer::stream_id> stream_detector::all() {
    const std::lock_guard lock(m_mutex);
    std::vector<layer::stream_id> out;
    for (const auto& s : m_streams)
        if (s.ahead != 0) out.push_back(s.id);
    return out;
}

// Of several that come near, one that is believed before those that are not, and the nearest: what random reads have left
// behind does not take a stream over that passes by.
stream_detector::stream* stream_detector::find(blob_id blob, std::uint64_t offset, std::uint64_t end, std::uint64_t slack) {
    stream* best = nullptr;
    const auto rank = [offset](const stream& s) { return std::pair(s.window == 0, offset > s.end ? offset - s.end : s.end - offset); };
    for (auto& s : m_streams) {
        const bool near = offset <= s.end + slack && end + slack >= s.end;
        if (s.blob != blob || !near || s.reads == 0) continue;
        if (best == nullptr || rank(s) < rank(*best)) best = &s;
    }
    return best;
}

void stream_detector::begin(stream& on, blob_id blob, std::uint64_t offset, std::uint64_t end, advice& out) {
    if (on.ahead != 0) out.over = on.id;
    on = {};
    on.id = new_stream();
    on.blob = blob;
    on.start = offset;
    on.end = end;
    on.bytes = end - offset;
    on.reads = 1;
    on.touched = m_reads;
}

void stream_detector::advance(stream& on, std::uint64_t offset, std::uint64_t end, advice& out) {
    const auto before = on.end;
    on.touched = m_reads;
    on.start = std::min(on.start, offset);
    on.end = std::max(on.end, end);
    on.bytes += end - offset;
    ++on.reads;
    const auto passed = on.end - on.start;
    if (on.bytes > 2 * passed || on.bytes * 2 < passed) {  // it reads here again and again, or here and there
        begin(on, on.blob, offset, end, out);
        return;
    }
    if (passed > memory_bytes) {
        on.start += passed / 2;
        on.bytes /= 2;
    }
    if (on.reads <= proof_reads && on.bytes < proof_bytes) return;
    if (on.end == before || on.bytes < proof_bytes) return;
    if (on.window != 0 && on.end + on.window / 2 < on.ahead) return;
    on.window = std::min(std::max({2 * on.window, 2 * (end - offset), window_min}), m_window_max);
    out.of = on.id;
    out.from = std::max(on.ahead, on.end);
    out.to = on.end + on.window;
    on.ahead = std::max(on.ahead, out.to);
}

readahead::~readahead() {
    for (const auto id : m_detector.all()) m_layer.give_up(id);
}

void readahead::before(const store& from, const segment_table& segments, locator& where, const layer::keyring& keys, blob_id blob, std::uint64_t offset,
                       std::uint64_t length) {
    if (!m_on) return;
    const auto advice = m_detector.note(blob, offset, length);
    if (advice.over) m_layer.give_up(*advice.over);
    if (advice.from >= advice.to) return;
    const auto extents = from.extents(blob, advice.from, advice.to, extents_max);
    if (!extents) return;  // the read itself will say so
    std::vector<layer::coming> what;
    std::vector<segment_table::location> keep;
    for (const auto& e : *extents) {
        auto found = segments.find({e.lineage, e.segment});
        if (!found.at) continue;
        const auto begin = std::max(e.start, advice.from), end = std::min(e.end, advice.to);
        const auto place = e.offset + (begin - e.start);
        if (found.packed)
            where.expand_known(found.at, e.segment, place, end - begin, what);
        else
            what.push_back({found.at.get(), place, end - begin});
        keep.push_back(std::move(found.at));
    }
    if (!what.empty()) m_layer.read_ahead(keys, what, advice.of);
}

}  // namespace cess::volume
