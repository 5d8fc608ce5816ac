#include "reading.hpp"

#include <algorithm>

namespace cess::volume {
namespace {

constexpr int lookups_max = 5;

struct plan {
    std::vector<layer::piece> pieces;
    std::vector<segment_table::location> keep;  // what the pieces point at
    bool stale = false;                         // a segment left the table after the map was read: look again
};

// Zeros the holes, copies what is still in buffers, and lists what is to be fetched.
plan plan_read(const std::vector<extent>& extents, const segment_table& segments, std::uint64_t offset, byte_span out) {
    plan todo;
    std::uint64_t filled = 0;
    for (const auto& e : extents) {
        const auto from = std::max(e.start, offset);
        const auto to = std::min(e.end, offset + out.size());
        std::ranges::fill(out.subspan(filled, from - offset - filled), std::byte{0});
        const auto part = out.subspan(from - offset, to - from);
        const auto place = std::uint64_t{e.offset} + (from - e.start);
        filled = to - offset;
        auto at = segments.find({e.lineage, e.segment});
        if (at.buffer) {
            std::memcpy(part.data(), at.buffer->at(place), part.size());
        } else if (at.at) {
            todo.pieces.push_back({at.at.get(), place, part});
            todo.keep.push_back(std::move(at.at));
        } else {
            todo.stale = true;
            return todo;
        }
    }
    std::ranges::fill(out.subspan(filled), std::byte{0});
    return todo;
}

}  // namespace

result<void> read_blob(const store& from, const segment_table& segments, layer::layer& on, const layer::keyring& keys,
                       blob_id blob, std::uint64_t offset, byte_span out) {
    if (out.empty()) return {};
    if (offset >= blob_size_max) {
        std::ranges::fill(out, std::byte{0});
        return {};
    }
    if (const auto rest = blob_size_max - offset; out.size() > rest) {
        std::ranges::fill(out.subspan(rest), std::byte{0});
        out = out.first(rest);
    }
    std::vector<extent> before;
    error failure;
    for (int attempt = 0; attempt < lookups_max; ++attempt) {
        TRY(auto extents, from.extents(blob, offset, offset + out.size()));
        // What was overwritten meanwhile may be freed already; what still stands is really lost.
        if (failure.code != errc::ok && extents == before) return failure;
        const auto todo = plan_read(extents, segments, offset, out);
        if (todo.stale) continue;
        if (todo.pieces.empty()) return {};
        auto done = on.read(keys, todo.pieces);
        if (done) return {};
        failure = std::move(done).error();
        before = std::move(extents);
    }
    if (failure.code != errc::ok) return failure;
    return error(errc::corrupt, "blob " + std::to_string(blob) + " at " + std::to_string(offset) + " names a segment that nobody knows");
}

result<std::vector<range>> map_blob(const store& from, blob_id blob, std::uint64_t offset, std::uint64_t length) {
    std::vector<range> out;
    if (length == 0) return out;
    const auto last = length > ~std::uint64_t{0} - offset ? ~std::uint64_t{0} : offset + length;
    const auto end = std::min(last, blob_size_max);
    TRY(auto extents, from.extents(blob, std::min(offset, end), end));
    const auto add = [&out](std::uint64_t begin, std::uint64_t until, bool data) {
        if (begin >= until) return;
        if (!out.empty() && out.back().data == data)
            out.back().length += until - begin;
        else
            out.push_back({begin, until - begin, data});
    };
    auto at = offset;
    for (const auto& e : extents) {
        add(at, std::max(e.start, at), false);
        at = std::max(e.start, at);
        add(at, std::min(e.end, end), true);
        at = std::min(e.end, end);
    }
    add(at, last, false);
    return out;
}

result<std::vector<key_value>> scan_keys(const store& from, byte_view prefix, byte_view begin, std::size_t limit) {
    return from.scan(row::user_key(prefix), row::user_key(begin), limit, 1);
}

}  // namespace cess::volume
