#include "needed.hpp"

#include "rocks.hpp"

#include <algorithm>

namespace cess::volume {
namespace {

constexpr std::size_t rows_between_looks = 4096;

bool of_kind(const rocksdb::Iterator& it, char kind) {
    return it.Valid() && it.key().size() > 0 && it.key()[0] == kind;
}

}  // namespace

void merge(std::vector<byte_range>& ranges) {
    std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
    std::size_t last = 0;
    for (std::size_t i = 1; i < ranges.size(); ++i) {
        if (ranges[i].offset <= ranges[last].end)
            ranges[last].end = std::max(ranges[last].end, ranges[i].end);
        else
            ranges[++last] = ranges[i];
    }
    if (!ranges.empty()) ranges.resize(last + 1);
}

std::uint64_t bytes_in(const std::vector<byte_range>& merged) noexcept {
    std::uint64_t sum = 0;
    for (const auto& each : merged) sum += each.end - each.offset;
    return sum;
}

need_scan::need_scan(const store& of, const segment_table& segments, std::vector<sequence_number> views)
    : m_segments(segments), m_views(std::move(views)), m_extents(of.walk(row::extent_kind)), m_dead(of.walk(row::dead_kind)) {}

need_scan::~need_scan() = default;

bool need_scan::needed(const dead_range& range) const {
    const auto first = std::lower_bound(m_views.begin(), m_views.end(), range.birth);
    return first != m_views.end() && *first < range.death;
}

result<std::unordered_map<segment_number, std::uint64_t, id_hash>> need_scan::held_by_views(std::vector<bytes>& useless, std::size_t useless_max,
                                                                                           const stopping& stop) {
    std::unordered_map<segment_number, std::uint64_t, id_hash> out;
    segment_number current;
    bool known = false;
    std::vector<byte_range> ranges;
    const auto close = [&] {
        merge(ranges);
        if (!ranges.empty()) out[current] = bytes_in(ranges);
        ranges.clear();
    };
    std::size_t rows = 0;
    for (m_dead->Seek(slice(row::one(row::dead_kind))); of_kind(*m_dead, row::dead_kind); m_dead->Next()) {
        if (++rows % rows_between_looks == 0 && stop()) return error(errc::canceled, "volume is closed");
        TRY(const auto range, row::parse_dead(view(m_dead->key()), view(m_dead->value())));
        if (range.segment != current || rows == 1) {
            close();
            current = range.segment;
            known = m_segments.find({m_segments.own(), current}).at || m_segments.find({m_segments.own(), current}).buffer;
        }
        if (known && needed(range))
            ranges.push_back({range.offset, range.offset + range.length});
        else if (useless.size() < useless_max)
            useless.push_back(to_bytes(view(m_dead->key())));
    }
    close();
    if (!m_dead->status().ok()) return rocks_error(m_dead->status(), "read of dead ranges");
    return out;
}

result<void> need_scan::collect(ranges_by_segment& of, std::size_t ranges_max, const stopping& stop) {
    std::size_t total = 0, rows = 0;
    const auto add = [&](std::vector<byte_range>& to, std::uint32_t offset, std::uint64_t length) -> result<void> {
        const auto end = std::min<std::uint64_t>(offset + length, segment_length_max);
        if (!to.empty() && to.back().end == offset)
            to.back().end = static_cast<std::uint32_t>(end);
        else if (++total > ranges_max)
            return error(errc::exhausted, "more ranges than a pass may hold");
        else
            to.push_back({offset, static_cast<std::uint32_t>(end)});
        return {};
    };
    for (m_extents->Seek(slice(row::one(row::extent_kind))); of_kind(*m_extents, row::extent_kind); m_extents->Next()) {
        if (++rows % rows_between_looks == 0 && stop()) return error(errc::canceled, "volume is closed");
        TRY(const auto e, row::parse_extent(view(m_extents->key()), view(m_extents->value())));
        if (e.lineage != m_segments.own()) continue;
        if (const auto it = of.find(e.segment); it != of.end()) CHECK_OK(add(it->second, e.offset, e.length()));
    }
    if (!m_extents->status().ok()) return rocks_error(m_extents->status(), "read of the extent map");
    for (auto& [number, ranges] : of) {
        const auto prefix = row::dead_prefix(number);
        for (m_dead->Seek(slice(prefix)); of_kind(*m_dead, row::dead_kind); m_dead->Next()) {
            TRY(const auto range, row::parse_dead(view(m_dead->key()), view(m_dead->value())));
            if (range.segment != number) break;
            if (needed(range)) CHECK_OK(add(ranges, range.offset, range.length));
        }
        merge(ranges);
    }
    if (!m_dead->status().ok()) return rocks_error(m_dead->status(), "read of dead ranges");
    return {};
}

}  // namespace cess::volume
