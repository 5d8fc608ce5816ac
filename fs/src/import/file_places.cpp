#include "file_places.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::fs::importing {
namespace {

constexpr volume::blob_id aside = std::uint64_t{1} << 63;  // added to a file's number
constexpr std::size_t batch = 1024;                        // extents

result<std::optional<volume::blob_id>> blob_from(volume::reader& in, volume::blob_id from) {
    TRY(const auto next, in.blobs(from, 1));
    if (next.empty() || next.front() >= aside) return std::optional<volume::blob_id>();
    return std::optional(next.front());
}

}  // namespace

void file_extents::add(const volume::placed_range& each, std::uint64_t at) {
    if (m_count++ == 0) m_first = at;
    if (m_kept.size() < kept_max) m_kept.push_back(each);
}

result<void> file_extents::for_each(const std::function<result<void>(const volume::placed_range&)>& each) const {
    if (m_count == m_kept.size()) {
        for (const auto& extent : m_kept) CHECK_OK(each(extent));
        return {};
    }
    stream_reader again(m_from, m_first);
    for (auto left = m_count; left > 0; --left) {
        TRY(const auto line, again.next());
        const auto* const extent = line ? std::get_if<extent_line>(&*line) : nullptr;
        if (!extent) return error(errc::invalid, "the stream changed while it was read");
        CHECK_OK(each(extent->place));
    }
    return {};
}

// Whether the file itself has that place there.
result<bool> file_places::is_at(inode_number ino, const volume::placed_range& wanted) {
    for (auto at = wanted.offset; at < wanted.end();) {
        TRY(const auto pieces, m_in.places(ino.value, at, wanted.end(), batch));
        if (pieces.empty()) return false;
        for (const auto& piece : pieces) {
            const bool same = piece.offset == at && piece.lineage == wanted.lineage && piece.segment == wanted.segment &&
                              piece.at == wanted.at + (at - wanted.offset);
            if (!same) return false;
            at = piece.end();
        }
    }
    return true;
}

result<bool> file_places::is_as_described(inode_number ino, const file_extents& extents) {
    bool same = true;
    std::uint64_t described = 0, mapped = 0;
    CHECK_OK(extents.for_each([&](const volume::placed_range& each) -> result<void> {
        described += each.length;
        if (!same) return {};
        TRY(same, is_at(ino, each));
        return {};
    }));
    for (std::uint64_t at = 0; same;) {
        TRY(const auto pieces, m_in.places(ino.value, at, file_size_max + 1, batch));
        for (const auto& piece : pieces) mapped += piece.length;
        if (pieces.size() < batch) return mapped == described;
        at = pieces.back().end();
    }
    return false;
}

result<void> file_places::prepare(inode_number ino, const file_extents& extents) {
    TRY(const bool same, is_as_described(ino, extents));
    if (same) return {};
    return extents.for_each([&](const volume::placed_range& each) -> result<void> {
        TRY(const bool here, is_at(ino, each));
        if (here) {
            m_changes.next().share(ino.value, each.offset, aside + ino.value, each.offset, each.length);
            return m_changes.added();
        }
        m_wanted.push_back({{each.lineage, each.segment, each.at}, each.length, ino, each.offset});
        return m_wanted.size() >= m_wanted_max ? find_wanted() : result<void>();
    });
}

result<void> file_places::end_prepare() {
    CHECK_OK(find_wanted());
    return m_changes.flush();
}

// One walk through all extents that the files have.
result<void> file_places::find_wanted() {
    if (m_wanted.empty()) return {};
    std::sort(m_wanted.begin(), m_wanted.end(), [](const wanted_range& a, const wanted_range& b) { return a.from < b.from; });
    std::map<place, std::uint64_t> needs;  // with their lengths; files may share them, so those that overlap are one
    auto last = needs.end();
    for (const auto& each : m_wanted) {
        const bool joins = last != needs.end() && last->first.lineage == each.from.lineage && last->first.segment == each.from.segment &&
                           each.from.at <= last->first.at + last->second;
        if (joins) last->second = std::max(last->second, each.from.at + each.length - last->first.at);
        else last = needs.emplace(each.from, each.length).first;
    }
    named_ranges found;
    TRY(auto blob, blob_from(m_in, 0));
    while (blob) {
        CHECK_OK(look_at_blob(*blob, needs, found));
        TRY(blob, blob_from(m_in, *blob + 1));
    }
    for (const auto& each : m_wanted) CHECK_OK(share_wanted(each, found));
    m_wanted.clear();
    return {};
}

result<void> file_places::look_at_blob(volume::blob_id blob, const std::map<place, std::uint64_t>& needs, named_ranges& found) {
    for (std::uint64_t at = 0;;) {
        TRY(const auto pieces, m_in.places(blob, at, file_size_max + 1, batch));
        for (const auto& piece : pieces) note(piece, blob, needs, found);
        if (pieces.size() < batch) return {};
        at = pieces.back().end();
    }
}

// What of the piece is needed and not found yet.
void file_places::note(const volume::placed_range& piece, volume::blob_id blob, const std::map<place, std::uint64_t>& needs, named_ranges& found) {
    const place begin{piece.lineage, piece.segment, piece.at};
    const auto in_segment = [&](const place& p) { return p.lineage == begin.lineage && p.segment == begin.segment; };
    const auto end = piece.at + piece.length;
    auto need = needs.upper_bound(begin);
    if (need != needs.begin()) --need;
    for (; need != needs.end() && (need->first <= begin || (in_segment(need->first) && need->first.at < end)); ++need) {
        if (!in_segment(need->first)) continue;
        auto at = std::max(piece.at, need->first.at);
        const auto upto = std::min(end, need->first.at + need->second);
        while (at < upto) {
            auto after = found.upper_bound({begin.lineage, begin.segment, at});
            if (after != found.begin()) {
                const auto& [from, named] = *std::prev(after);
                if (in_segment(from) && from.at + named.length > at) {
                    at = from.at + named.length;
                    continue;
                }
            }
            const auto gap_end = after != found.end() && in_segment(after->first) ? std::min(upto, after->first.at) : upto;
            found.emplace(place{begin.lineage, begin.segment, at}, named_range{gap_end - at, blob, piece.offset + (at - piece.at)});
            at = gap_end;
        }
    }
}

result<void> file_places::share_wanted(const wanted_range& wanted, const named_ranges& found) {
    for (std::uint64_t done = 0; done < wanted.length;) {
        const place now{wanted.from.lineage, wanted.from.segment, wanted.from.at + done};
        auto it = found.upper_bound(now);
        const bool any = it != found.begin();
        if (any) --it;
        if (!any || it->first.lineage != now.lineage || it->first.segment != now.segment || it->first.at + it->second.length <= now.at)
            return error(errc::not_found, fmt::format("bytes of inode {} from {} on, which no file there names any more (lineage {}, segment {}, at {})",
                                                      wanted.ino.value, wanted.offset + done, now.lineage.hex(), now.segment.value, now.at));
        const auto skip = now.at - it->first.at;
        const auto length = std::min(wanted.length - done, it->second.length - skip);
        m_changes.next().share(it->second.blob, it->second.offset + skip, aside + wanted.ino.value, wanted.offset + done, length);
        CHECK_OK(m_changes.added());
        done += length;
    }
    return {};
}

// ---- settling ------------------------------------------------------------------------------------------------

result<void> file_places::drop_before(volume::blob_id end) {
    if (!std::exchange(m_settling, true)) {
        TRY(m_blob, blob_from(m_in, 0));
    }
    while (m_blob && *m_blob < end) {
        m_changes.next().drop(*m_blob);
        CHECK_OK(m_changes.added());
        TRY(m_blob, blob_from(m_in, *m_blob + 1));
    }
    return {};
}

result<void> file_places::settle(inode_number ino, const file_extents& extents) {
    CHECK_OK(drop_before(ino.value));
    TRY(const bool same, is_as_described(ino, extents));
    if (m_blob == ino.value) {
        TRY(m_blob, blob_from(m_in, ino.value + 1));
    }
    if (same) return {};
    ++m_moved;
    m_changes.next().drop(ino.value);
    CHECK_OK(extents.for_each([&](const volume::placed_range& each) {
        m_changes.next().share(aside + ino.value, each.offset, ino.value, each.offset, each.length);
        return m_changes.added();
    }));
    m_changes.next().drop(aside + ino.value);
    return m_changes.added();
}

result<void> file_places::end_settle() {
    CHECK_OK(drop_before(aside));
    return m_changes.flush();
}

}  // namespace cess::fs::importing
