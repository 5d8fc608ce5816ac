// The bytes of a journal's files: a header, then records, then zeros written ahead.
//
// A record is one signed group. Its checksum is seeded by the file's own random seed, so that no payload can pass for a
// record. `synced` says up to where the file was on stable storage when the record was written: a record that cannot
// be read at or after the last `synced` is a torn tail and was never acknowledged; one before it is damage.
#pragma once

#include <node/storage/protocol.hpp>

namespace cess::storage {

inline constexpr std::size_t journal_header_size = 128;
inline constexpr std::size_t journal_record_head = 64;
inline constexpr std::size_t journal_entries_max = 65536;  // of one group

struct journal_file_header {
    journal_ref journal;
    entry_index first;  // of the first record
    hash256 previous;   // chain hash before it
    std::uint32_t seed = 0;
};
[[nodiscard]] bytes encode_file_header(const journal_file_header& header);
[[nodiscard]] result<journal_file_header> decode_file_header(byte_view raw);

struct journal_record {
    stored_group group;
    hash256 chain;             // after the last entry
    std::uint32_t synced = 0;  // bytes of this file that were durable when it was written
};
// The head of a record as read from a file, before its body is.
struct record_head {
    std::uint32_t group_size = 0;
    std::uint32_t body_size = 0;
    std::uint32_t synced = 0;
    std::uint32_t sum = 0;
    hash256 chain;
    [[nodiscard]] std::size_t content_size() const noexcept { return std::size_t{group_size} + body_size; }
    [[nodiscard]] std::size_t total() const noexcept { return (journal_record_head + content_size() + 7) / 8 * 8; }
};
// Appends it to `to`, which needs record_head::total() bytes more.
void encode_record(bytes& to, std::uint32_t seed, const journal_record& record, byte_view payloads);
// Nothing if there is no record here: zeros, or not the magic, or sizes that cannot be.
[[nodiscard]] std::optional<record_head> decode_record_head(byte_view raw);
// `content` is group ‖ payloads, content_size() bytes. errc::corrupt
[[nodiscard]] result<journal_record> decode_record(std::uint32_t seed, const record_head& head, byte_view raw_head, byte_view content);

[[nodiscard]] inline entry_index end_of(const stored_group& group) noexcept { return {group.first.value + group.lengths.size()}; }

}  // namespace cess::storage
