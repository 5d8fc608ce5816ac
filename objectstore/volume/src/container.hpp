// Containers: segments that hold what is still needed of others, after a table that says so. And how bytes of a segment
// are found when it lives in one: from the segment table, and if that is behind, from the ledger.
#pragma once

#include "segment_table.hpp"

#include <list>
#include <unordered_set>

namespace cess::volume {

// Needed bytes past which copying a segment's does not pay: 1/1.5 of it, or there would be none to clean past the bound.
[[nodiscard]] constexpr bool pays_to_pack(std::uint64_t needed, std::uint64_t length) noexcept { return needed <= length / 10 * 7 + length % 10; }

inline constexpr std::size_t container_pieces_max = 64 * KiB;
inline constexpr std::uint64_t container_head_size = 5;    // version and count
inline constexpr std::uint64_t container_entry_size = 16;  // of a piece
inline constexpr std::uint64_t container_padding_max = 4 * KiB;

struct container_piece {  // of `number`; the bytes stand back to back from data_at() on, in the table's order
    segment_number number;
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.number, s.offset, s.length); }
};
struct container_table {
    static constexpr std::uint8_t wire_version = 2;
    std::vector<container_piece> pieces;  // ascending by (number, offset), never overlapping
    template <class S, class C> static void describe(S& s, C& c) { c(s.pieces); }
    [[nodiscard]] static constexpr std::uint64_t size_of(std::size_t pieces) noexcept { return container_head_size + container_entry_size * pieces; }
    // Where the first piece stands: after the table, and many whole blocks at a block's start, so that each is sealed alone.
    [[nodiscard]] std::uint64_t data_at() const noexcept;
};

// A table, ready to be asked. Immutable.
class piece_index {
public:
    // REQUIRES: the bytes of `table` are those of a container of `length` bytes.
    [[nodiscard]] static result<piece_index> make(container_table table, std::uint64_t length);
    struct run {
        std::uint64_t at = 0;      // in the container
        std::uint64_t length = 0;  // 0: not there
    };
    // Where the bytes from `offset` of `number` on are, as far as they stand together.
    [[nodiscard]] run find(segment_number number, std::uint64_t offset) const;
    [[nodiscard]] const std::vector<container_piece>& pieces() const noexcept { return m_pieces; }
    [[nodiscard]] std::uint64_t memory() const noexcept { return m_pieces.size() * (sizeof(container_piece) + sizeof(std::uint64_t)) + sizeof *this; }

private:
    std::vector<container_piece> m_pieces;
    std::vector<std::uint64_t> m_at;
};

// Finds bytes by (segment, offset) for the read path. Holds the tables of containers that were read lately, up to
// `memory` bytes. Thread-safe; calls block on the network, with nothing locked.
class locator {
public:
    locator(layer::layer& on, segment_table& segments, std::uint64_t memory) : m_layer(on), m_segments(segments), m_memory(memory) {}
    // Appends what is to be read for [offset, offset+out.size()) of `number`, which lives in `container`.
    [[nodiscard]] result<void> expand(const layer::keyring& keys, const segment_table::location& container, segment_number number,
                                      std::uint64_t offset, byte_span out, std::vector<layer::piece>& to);
    // The same for reading ahead, as far as it can be told without waiting for a table.
    void expand_known(const segment_table::location& container, segment_number number, std::uint64_t offset, std::uint64_t length,
                      std::vector<layer::coming>& to);
    [[nodiscard]] result<std::shared_ptr<const piece_index>> table_of(const layer::keyring& keys, const ledger::segment_record& container);
    // What the container with this id begins with, by whom it was made.
    void learn(const segment_id& container, std::shared_ptr<const piece_index> index);
    // Asks the ledger where an inherited segment is now; true if that is elsewhere than we thought.
    [[nodiscard]] result<bool> look_up(const segment_ref& ref);

private:
    [[nodiscard]] std::shared_ptr<const piece_index> known(const segment_id& container);
    struct kept {
        std::shared_ptr<const piece_index> index;
        std::list<segment_id>::iterator use;
    };
    layer::layer& m_layer;
    segment_table& m_segments;
    const std::uint64_t m_memory;
    std::mutex m_mutex;
    std::uint64_t m_held = 0;
    std::list<segment_id> m_uses;  // latest first
    std::unordered_map<segment_id, kept, id_hash> m_tables;
};

}  // namespace cess::volume
