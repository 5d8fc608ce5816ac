// What differs between two states of a blob, told from their extent maps alone: no data is read, and the time follows
// the number of extents. The states may be of one volume or of its clones.
//
// What is told as changed may hold the same bytes (they were written again); what is not told is the same.
#pragma once

#include <objectstore/volume/volume.hpp>

namespace cess::volume {

// One walk over [offset, end). The readers must not change meanwhile: snapshots, or a head that nobody writes.
// Not thread-safe; calls block on the readers.
class comparison {
public:
    // `from` null: nothing was there, so that all data is new.
    comparison(reader* from, reader& to, blob_id blob, std::uint64_t offset, std::uint64_t end);

    // The next changed range, with what it is in `to`: data, or a hole that was data before. In order; neighbours of
    // one kind are one range. None at the end.
    [[nodiscard]] result<std::optional<range>> next();

private:
    // One map, read a batch at a time.
    class side {
    public:
        side(reader* of, blob_id blob, std::uint64_t end) : m_of(of), m_blob(blob), m_end(end) {}
        struct here {
            const placed_range* place = nullptr;  // null: a hole
            std::uint64_t until = 0;              // the same place, or hole, reaches so far
        };
        [[nodiscard]] result<here> at(std::uint64_t position);  // REQUIRES: positions never go back

    private:
        reader* m_of;
        blob_id m_blob;
        std::uint64_t m_end;
        std::vector<placed_range> m_batch;
        std::size_t m_next = 0;
        std::uint64_t m_known = 0;  // the batch tells everything before it
        bool m_started = false;
    };

    side m_from, m_to;
    std::uint64_t m_at, m_end;
};

}  // namespace cess::volume
