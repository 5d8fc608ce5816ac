// The extent rows of hot places of blobs, as the store has them, so that a small write need not seek in RocksDB for
// what it overwrites. REQUIRES: the apply lock, for everything.
//
// A chunk is 256 KiB of a blob and knows all rows that reach into it or end where it begins. It is filled when it is
// asked for a second time, and every later change of a row goes through inserted() and erased().
#pragma once

#include "records.hpp"

#include <array>
#include <list>
#include <span>
#include <unordered_map>

namespace cess::volume {

class extent_cache {
public:
    static constexpr std::uint64_t chunk_size = 256 * KiB;

    explicit extent_cache(std::uint64_t bytes_max) : m_bytes_max(bytes_max) {}

    struct place {
        blob_id blob = 0;
        std::uint32_t generation = 0;
        std::uint64_t chunk = 0;  // offset / chunk_size
        friend bool operator==(const place&, const place&) = default;
    };
    using rows = std::vector<extent>;  // by their ends; they never overlap

    // Null if it is not known. Valid until the next call that is not const.
    [[nodiscard]] const rows* find(const place& at);
    // Whether a chunk that is not known is worth filling now.
    [[nodiscard]] bool wanted(const place& at);
    const rows& fill(const place& at, rows what);

    // A row was written, or removed; a row that is written in another's stead is removed first.
    void inserted(blob_id blob, std::uint32_t generation, const extent& row);
    void erased(blob_id blob, std::uint32_t generation, const extent& row);

    [[nodiscard]] std::uint64_t bytes() const noexcept { return m_bytes; }

private:
    struct place_hash {
        std::size_t operator()(const place& p) const noexcept {
            return std::hash<std::uint64_t>()((p.blob * 0x9e3779b97f4a7c15U ^ p.chunk) * 0xbf58476d1ce4e5b9U + p.generation);
        }
    };
    struct chunk {
        place at;
        rows content;
    };
    using queue = std::list<chunk>;

    [[nodiscard]] static std::uint64_t cost(const chunk& c) noexcept { return 160 + c.content.capacity() * sizeof(extent); }
    template <class Change>
    void change(blob_id blob, std::uint32_t generation, const extent& row, Change&& what);
    void evict();

    const std::uint64_t m_bytes_max;
    std::uint64_t m_bytes = 0;
    queue m_chunks;  // used last in front
    std::unordered_map<place, queue::iterator, place_hash> m_index;
    std::array<std::uint64_t, 4096> m_missed{};  // hashes of chunks asked for once
};

}  // namespace cess::volume
