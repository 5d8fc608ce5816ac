#include "reading.hpp"

#include "rocks.hpp"

#include <algorithm>

namespace cess::volume {
namespace {

struct plan {
    std::vector<layer::piece> pieces;
    std::vector<segment_table::location> keep;  // what the pieces point at
    std::vector<segment_ref> from;              // the segments named, one each
    error failure;                              // while it was planned
    std::optional<segment_ref> unknown;         // left the table after the map was read: look again
};

// Zeros the holes, copies what is still in buffers, and lists what is to be fetched.
plan plan_read(const std::vector<extent>& extents, const segment_table& segments, locator& where, const key_holder& keys,
               std::uint64_t offset, byte_span out) {
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
            todo.keep.push_back(at.at);
            todo.from.push_back({e.lineage, e.segment});
            if (!at.packed) {
                todo.pieces.push_back({at.at.get(), place, part});
            } else if (auto done = where.expand(*keys.ring(), at.at, e.segment, place, part, todo.pieces); !done) {
                todo.failure = std::move(done).error();
                return todo;
            }
        } else {
            todo.unknown = segment_ref{e.lineage, e.segment};
            return todo;
        }
    }
    std::ranges::fill(out.subspan(filled), std::byte{0});
    return todo;
}

// Whether any of them is elsewhere by now, as the ledger says: their owner cleans while we read.
bool found_elsewhere(const plan& of, locator& where) {
    bool any = false;
    for (const auto& ref : of.from) {
        const auto news = where.look_up(ref);
        any = any || (news && *news);
    }
    return any;
}

error nobody_knows(blob_id blob, const segment_ref& which) {
    return {errc::corrupt, "blob " + std::to_string(blob) + " names segment " + std::to_string(which.number.value) + " of lineage " +
                               std::to_string(which.lineage) + ", which nobody knows"};
}

}  // namespace

result<void> read_blob(const store& from, const segment_table& segments, locator& where, layer::layer& on, const key_holder& keys,
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
    // However long its owner goes on moving what is read here, each look finds it a move later: only time ends this.
    const auto give_up = on.world().now() + on.limits().read;
    std::vector<extent> named, unknown;
    std::vector<segment_table::location> before;
    error failure;
    for (;;) {
        TRY(auto extents, from.extents(blob, offset, offset + out.size()));
        auto todo = plan_read(extents, segments, where, keys, offset, out);
        if (todo.unknown) {
            // The map lets go of a segment before the table does, so a map that still names it is wrong.
            if (extents == unknown) return nobody_knows(blob, *todo.unknown);
            unknown = std::move(extents);
            continue;
        }
        unknown.clear();
        if (todo.pieces.empty() && todo.failure.code == errc::ok) return {};
        // What was overwritten, or moved, meanwhile may be freed already; what still stands where it stood is really lost.
        if (failure.code != errc::ok && extents == named && todo.keep == before) {
            if (!found_elsewhere(todo, where)) return failure;
            failure = {};
            continue;
        }
        failure = todo.failure;
        if (failure.code == errc::ok) {
            auto done = on.read(*keys.ring(), todo.pieces);
            if (done) return {};
            failure = std::move(done).error();
        }
        if (on.world().now() >= give_up) return failure;
        named = std::move(extents);
        before = std::move(todo.keep);
    }
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

result<std::vector<volume_id>> lineages_of(const store& from) {
    TRY(auto rows, from.scan(row::one(row::lineage_kind), {}, SIZE_MAX, 1));
    std::vector<volume_id> out;
    for (const auto& each : rows) {
        TRY(auto id, wire::decode<volume_id>(each.value));
        out.push_back(id);
    }
    return out;
}

// Seeks from one to the next. Rows of a generation that was dropped, and is not cleared yet, stand before the present one's.
result<std::vector<blob_id>> list_blobs(const store& from, blob_id first, std::size_t limit) {
    std::vector<blob_id> out;
    const auto it = from.walk(row::extent_kind);
    it->Seek(slice(row::extent_prefix(first, from.generation(first))));
    while (it->Valid() && it->key().size() > sizeof(blob_id) && it->key()[0] == row::extent_kind && out.size() < limit) {
        const auto blob = row::big_endian(view(it->key()).subspan(1));
        const auto prefix = row::extent_prefix(blob, from.generation(blob));
        if (!it->key().starts_with(slice(prefix))) it->Seek(slice(prefix));
        if (it->Valid() && it->key().starts_with(slice(prefix))) {
            out.push_back(blob);
            if (blob == ~blob_id{0}) break;
            it->Seek(slice(row::extent_prefix(blob + 1, 0)));
        }
    }
    if (!it->status().ok()) return rocks_error(it->status(), "read of the extent map");
    return out;
}

result<std::vector<placed_range>> place_blob(const store& from, blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit) {
    end = std::min(end, blob_size_max);
    TRY(const auto lineages, lineages_of(from));
    TRY(const auto extents, from.extents(blob, std::min(offset, end), end, limit));
    std::vector<placed_range> out;
    out.reserve(extents.size());
    for (const auto& e : extents) {
        if (e.lineage >= lineages.size()) return error(errc::corrupt, "extent of a lineage that the volume does not know");
        const auto start = std::max(e.start, offset);
        out.push_back({start, std::min(e.end, end) - start, lineages[e.lineage], e.segment, e.offset + (start - e.start)});
    }
    return out;
}

result<std::vector<located_range>> locate_blob(const store& from, const segment_table& segments, blob_id blob, std::uint64_t offset,
                                               std::uint64_t end, std::size_t limit) {
    TRY(const auto lineages, lineages_of(from));
    TRY(const auto places, place_blob(from, blob, offset, end, limit));
    std::vector<located_range> out;
    out.reserve(places.size());
    for (const auto& place : places) {
        const auto lineage = std::find(lineages.begin(), lineages.end(), place.lineage) - lineages.begin();
        out.push_back({place, segments.find({static_cast<std::uint32_t>(lineage), place.segment}).at});
    }
    return out;
}

result<std::vector<key_value>> scan_keys(const store& from, byte_view prefix, byte_view begin, std::size_t limit) {
    return from.scan(row::user_key(prefix), row::user_key(begin), limit, 1);
}

}  // namespace cess::volume
