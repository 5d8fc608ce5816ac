// Where each block of the disk tier lies: 16 bytes a block, open addressing, and the ghosts of S3-FIFO at 4 bytes each.
//
// A block is known by a 64-bit tag of its key. Two keys with one tag cost a miss, never wrong bytes: what is read
// opens as the block that was asked for, or not at all. Not thread-safe.
#pragma once

#include <cache/block_cache.hpp>

#include <core/base/memory.hpp>

#include <functional>
#include <optional>
#include <vector>

namespace cess::cache {

using block_tag = std::uint64_t;
[[nodiscard]] block_tag tag_of(const block_key& key) noexcept;

inline constexpr std::uint64_t region_align = 16;  // of blocks within their region

class disk_index {
public:
    static constexpr std::uint64_t bytes_a_block = 23;  // slots are never more than 7/8 full, and a ghost for each

    struct place {
        std::uint32_t region = 0;  // < 2^24
        std::uint32_t offset = 0;  // in it, a multiple of region_align, < 2^20
        std::uint32_t length = 0;  // sealed, < 2^20
        std::uint8_t asked = 0;    // how often since it was written, at most 3
    };

    explicit disk_index(std::uint64_t blocks_max);
    void prefetch(block_tag tag) const noexcept;  // of many tags all before the first is looked for: each is a miss of the processor's cache
    [[nodiscard]] std::optional<place> find(block_tag tag) const;
    [[nodiscard]] std::optional<place> ask(block_tag tag);  // and counts it
    bool insert(block_tag tag, const place& at);            // replaces; false if there is no room
    bool erase(block_tag tag, std::uint32_t region);        // if it is there
    void erase_region(std::uint32_t region);                // slow: looks at every slot
    [[nodiscard]] std::size_t size() const noexcept { return m_size; }
    [[nodiscard]] std::size_t room() const noexcept { return m_size_max - m_size; }
    [[nodiscard]] std::uint64_t memory_bytes() const noexcept { return m_slots.size() * sizeof(slot) + m_ghosts.size() * sizeof(std::uint32_t); }

    void add_ghost(block_tag tag) noexcept { m_ghosts[home(tag, m_ghosts.size())] = ghost_of(tag); }
    [[nodiscard]] bool is_ghost(block_tag tag) const noexcept { return m_ghosts[home(tag, m_ghosts.size())] == ghost_of(tag); }

private:
    struct slot {
        block_tag tag = 0;  // 0: empty
        std::uint64_t at = 0;
    };
    [[nodiscard]] static std::uint64_t pack(const place& at) noexcept;
    [[nodiscard]] static place unpack(std::uint64_t at) noexcept;
    [[nodiscard]] static std::size_t home(block_tag tag, std::size_t of) noexcept;
    [[nodiscard]] static std::uint32_t ghost_of(block_tag tag) noexcept { return static_cast<std::uint32_t>(tag) | 1; }
    [[nodiscard]] std::size_t next(std::size_t i) const noexcept { return i + 1 == m_slots.size() ? 0 : i + 1; }
    [[nodiscard]] std::size_t slot_of(block_tag tag) const noexcept;  // its, or the empty one where it would go
    void erase_slot(std::size_t i) noexcept;

    std::vector<slot, huge_page_allocator<slot>> m_slots;
    std::vector<std::uint32_t, huge_page_allocator<std::uint32_t>> m_ghosts;  // each where its tag falls; a newer one takes the place
    std::size_t m_size = 0, m_size_max;
};

}  // namespace cess::cache
