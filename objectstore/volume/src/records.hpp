// What the engine writes: journal entries, rows of its key-value store, and the manifest of a root.
// docs/formats/volume.md has the layouts.
#pragma once

#include "entry_name.hpp"

#include <objectstore/volume/volume.hpp>

namespace cess::volume {

inline constexpr std::uint64_t blob_size_max = (std::uint64_t{1} << 63) - 1;
inline constexpr std::size_t change_size_max = 4 * MiB;       // keys, values and extent edits of one change, without its data
inline constexpr std::uint64_t segment_length_max = 32 * MiB;
inline constexpr unsigned segment_counter_bits = 40;          // below the term in a segment number

[[nodiscard]] constexpr segment_number first_segment(term_number term) noexcept { return {(term.value << segment_counter_bits) | 1}; }

// ---- the journal -----------------------------------------------------------------------------------------

// Where written bytes are: always in a segment of the volume's own lineage.
struct placement {
    segment_number segment;
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.segment, s.offset, s.length); }
};

struct put_edit { bytes key, value; template <class S, class C> static void describe(S& s, C& c) { c(s.key, s.value); } };
struct erase_edit { bytes key; template <class S, class C> static void describe(S& s, C& c) { c(s.key); } };
struct write_edit {
    blob_id blob = 0;
    std::uint64_t offset = 0;
    std::vector<placement> places;  // in order of the blob's bytes
    template <class S, class C> static void describe(S& s, C& c) { c(s.blob, s.offset, s.places); }
};
struct zero_edit {
    blob_id blob = 0;
    std::uint64_t offset = 0, length = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.blob, s.offset, s.length); }
};
struct share_edit {
    blob_id from = 0, to = 0;
    std::uint64_t from_offset = 0, to_offset = 0, length = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.from, s.to, s.from_offset, s.to_offset, s.length); }
};
struct drop_edit { blob_id blob = 0; template <class S, class C> static void describe(S& s, C& c) { c(s.blob); } };
struct snapshot_edit {
    std::string name;
    std::uint64_t created_unix = 0, size = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.name, s.created_unix, s.size); }
};

using edit_record = std::variant<put_edit, erase_edit, write_edit, zero_edit, share_edit, drop_edit, snapshot_edit>;

struct change_record {  // atomic; takes one sequence number
    std::vector<edit_record> edits;
    template <class S, class C> static void describe(S& s, C& c) { c(s.edits); }
};

struct payload_run {
    segment_number segment;
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.segment, s.offset, s.length); }
};

// Where a segment was stored. `squeezed`: as a container of itself, without what was overwritten before.
struct location_record {
    ledger::segment_record at;
    bool squeezed = false;
    template <class S, class C> static void describe(S& s, C& c) { c(s.at, s.squeezed); }
};

// An entry: this, then the payload's bytes back to back. A location makes payload of its segment needless; payload
// that a change needs stands in its entry or an earlier one.
struct entry_header {
    static constexpr std::uint8_t wire_version = 3;
    entry_name name;                                 // stays when a later term appends it again
    sequence_number first;                           // of changes[0]; the others follow one by one
    std::vector<location_record> locations;          // of segments stored since the last entry
    std::vector<payload_run> payload;
    std::vector<bytes> changes;                      // encoded change_records
    template <class S, class C> static void describe(S& s, C& c) { c(s.name, s.first, s.locations, s.payload, s.changes); }
};

// ---- rows ------------------------------------------------------------------------------------------------

struct extent {  // [start, end) of a blob
    std::uint64_t start = 0, end = 0;
    std::uint32_t lineage = 0;       // index in the lineage table
    segment_number segment;
    std::uint32_t offset = 0;        // of start in the segment
    [[nodiscard]] std::uint64_t length() const noexcept { return end - start; }
    friend bool operator==(const extent&, const extent&) = default;
};

// A view at v with birth <= v < death may name it.
struct dead_range {
    segment_number segment;
    std::uint32_t offset = 0, length = 0;
    sequence_number birth;  // of the segment
    sequence_number death;  // the change that stopped naming it
};

inline constexpr std::size_t drop_at_once_max = 1024;  // extents; of larger blobs the generation is dropped

namespace row {
inline constexpr char user_kind = 'k', extent_kind = 'x', segment_kind = 's', lineage_kind = 'l', generation_kind = 'g', dropped_kind = 'd', position_kind = 'q', dead_kind = 'y';

[[nodiscard]] bytes user_key(byte_view key);
// Extents are found by their end, so that one seek finds the first that reaches past an offset. The generation of a
// blob rises when it is dropped at once; rows of older generations are cleared behind.
[[nodiscard]] bytes extent_key(blob_id blob, std::uint32_t generation, std::uint64_t end);
[[nodiscard]] bytes extent_prefix(blob_id blob, std::uint32_t generation);
[[nodiscard]] bytes extent_value(const extent& e);
[[nodiscard]] result<extent> parse_extent(byte_view key, byte_view value);
[[nodiscard]] bytes segment_key(std::uint32_t lineage, segment_number number);
[[nodiscard]] result<std::pair<std::uint32_t, segment_number>> parse_segment_key(byte_view key);
[[nodiscard]] bytes lineage_key(std::uint32_t index);
[[nodiscard]] bytes generation_key(blob_id blob);
[[nodiscard]] bytes dropped_key(blob_id blob, std::uint32_t generation);
// A range of an own segment that the head stopped naming, of a segment in whose time a snapshot was taken.
[[nodiscard]] bytes dead_key(const dead_range& range);
[[nodiscard]] bytes dead_prefix(segment_number number);
[[nodiscard]] bytes dead_value(sequence_number birth);
[[nodiscard]] result<dead_range> parse_dead(byte_view key, byte_view value);
[[nodiscard]] bytes one(char kind);
[[nodiscard]] std::uint64_t big_endian(byte_view from) noexcept;  // of the first 8 bytes; REQUIRES: from.size() >= 8
[[nodiscard]] std::uint32_t big_endian32(byte_view from) noexcept;
}  // namespace row

// What the head knows of a segment; a row of the store, and for those stored after its cut, of the manifest.
struct segment_row {
    static constexpr std::uint8_t wire_version = 2;
    ledger::segment_record at;    // birth: the first change that used it, 0 = none yet
    std::uint64_t live = 0;       // bytes of it that extents of the head name
    sequence_number emptied;      // the change that made live 0
    segment_number container;     // that holds what is needed of it, 0 = `at` holds all of it, its own number = `at` is a container of itself
    bool declared = false;        // the ledger knows its death; kept here while a view may need parts of it
    template <class S, class C> static void describe(S& s, C& c) { c(s.at, s.live, s.emptied, s.container, s.declared); }
};

// ---- roots -----------------------------------------------------------------------------------------------

struct stored_file {
    std::string name;
    std::uint64_t size = 0;
    hash256 hash;                                  // of its content
    std::vector<ledger::segment_record> parts;
    template <class S, class C> static void describe(S& s, C& c) { c(s.name, s.size, s.hash, s.parts); }
};
struct inline_file {
    std::string name;
    bytes content;
    template <class S, class C> static void describe(S& s, C& c) { c(s.name, s.content); }
};
struct late_row {
    std::uint32_t lineage = 0;
    segment_row row;
    template <class S, class C> static void describe(S& s, C& c) { c(s.lineage, s.row); }
};
// The content of a root's manifest segment.
struct root_manifest {
    static constexpr std::uint8_t wire_version = 1;
    volume_id volume;
    sequence_number sequence;
    std::vector<stored_file> files;        // immutable tables
    std::vector<inline_file> small;        // RocksDB's own manifest, options and CURRENT
    std::vector<late_row> rows;            // that came or changed too late for the store; they win over its rows
    std::vector<segment_number> declared;  // declared dead in the transaction that made this root the head
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.sequence, s.files, s.small, s.rows, s.declared); }
};

[[nodiscard]] bool valid_name(std::string_view name) noexcept;  // [a-z0-9][a-z0-9.-]{0,62} without ".."

}  // namespace cess::volume
