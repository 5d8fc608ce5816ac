// What is still needed of segments: ranges that the head names, and ranges that only views may name.
#pragma once

#include "store.hpp"

namespace cess::volume {

struct byte_range {
    std::uint32_t offset = 0, end = 0;
    friend bool operator==(const byte_range&, const byte_range&) = default;
};
using ranges_by_segment = std::unordered_map<segment_number, std::vector<byte_range>, id_hash>;

void merge(std::vector<byte_range>& ranges);  // sorted, neither overlapping nor touching
[[nodiscard]] std::uint64_t bytes_in(const std::vector<byte_range>& merged) noexcept;

// Walks over the store as it was at one moment, without holding anything else still. Not thread-safe.
class need_scan {
public:
    // REQUIRES: the apply lock, so that the two walks see one moment; `views` are all that may stand since, ascending.
    need_scan(const store& of, const segment_table& segments, std::vector<sequence_number> views);
    ~need_scan();
    using stopping = std::function<bool()>;

    // Of every segment, the bytes that a view needs, whatever the head does; `useless`: rows of ranges that none needs.
    [[nodiscard]] result<std::unordered_map<segment_number, std::uint64_t, id_hash>> held_by_views(std::vector<bytes>& useless, std::size_t useless_max,
                                                                                                  const stopping& stop);
    // All that is needed of the segments that `of` has keys for, merged. errc::exhausted past `ranges_max` in all.
    [[nodiscard]] result<void> collect(ranges_by_segment& of, std::size_t ranges_max, const stopping& stop);

private:
    [[nodiscard]] bool needed(const dead_range& range) const;

    const segment_table& m_segments;
    const std::vector<sequence_number> m_views;
    std::unique_ptr<rocksdb::Iterator> m_extents, m_dead;
};

}  // namespace cess::volume
