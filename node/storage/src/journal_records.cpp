#include "journal_records.hpp"

#include <core/crypto/crypto.hpp>
#include <core/erasure/crc32c.hpp>

#include <numeric>

namespace cess::storage {
namespace {

constexpr std::uint32_t file_magic = 0x4c4a5343;    // "CSJL"
constexpr std::uint32_t record_magic = 0x524a5343;  // "CSJR"
constexpr std::uint32_t layout_version = 1;
constexpr std::size_t group_size_max = 64 + 4 * journal_entries_max + signature::size;

// The head without its sum.
bytes encode_head(const record_head& head) {
    wire::encoder out;
    out(record_magic, head.group_size, head.body_size, head.synced, head.chain, std::uint64_t{0});
    return std::move(out).take();
}

}  // namespace

bytes encode_file_header(const journal_file_header& header) {
    wire::encoder out;
    out(file_magic, layout_version, header.journal, header.first, header.previous, header.seed);
    auto raw = std::move(out).take();
    append(raw, byte_view(crypto::sha256(raw).raw).first(16));
    raw.resize(journal_header_size, std::byte{0});
    return raw;
}

result<journal_file_header> decode_file_header(byte_view raw) {
    wire::decoder in(raw);
    std::uint32_t magic = 0;
    std::uint32_t version = 0;
    journal_file_header header;
    in(magic, version, header.journal, header.first, header.previous, header.seed);
    if (in.failed() || magic != file_magic) return error(errc::corrupt, "not a journal file");
    const auto content = raw.first(raw.size() - in.rest().size());
    if (in.rest().size() < 16 || !equal(byte_view(crypto::sha256(content).raw).first(16), in.rest().first(16)))
        return error(errc::corrupt, "journal file header does not match its checksum");
    if (version != layout_version) return error(errc::unsupported, "journal file of a format this version does not know");
    return header;
}

void encode_record(bytes& to, std::uint32_t seed, const journal_record& record, byte_view payloads) {
    const auto group = wire::encode(record.group);
    record_head head;
    head.group_size = static_cast<std::uint32_t>(group.size());
    head.body_size = static_cast<std::uint32_t>(payloads.size());
    head.synced = record.synced;
    head.chain = record.chain;
    auto front = encode_head(head);
    const auto sum = erasure::crc32c(erasure::crc32c(erasure::crc32c(seed, front), group), payloads);
    wire::encoder tail;
    tail(sum);
    append(front, tail.view());
    front.resize(journal_record_head, std::byte{0});
    const auto end = to.size() + head.total();
    append(to, front);
    append(to, group);
    append(to, payloads);
    to.resize(end, std::byte{0});
}

std::optional<record_head> decode_record_head(byte_view raw) {
    if (raw.size() < journal_record_head) return std::nullopt;
    wire::decoder in(raw.first(journal_record_head));
    std::uint32_t magic = 0;
    std::uint64_t zero = 0;
    record_head head;
    in(magic, head.group_size, head.body_size, head.synced, head.chain, zero, head.sum);
    if (in.failed() || magic != record_magic || zero != 0) return std::nullopt;
    if (head.group_size > group_size_max || head.body_size > net::body_size_max) return std::nullopt;
    return head;
}

result<journal_record> decode_record(std::uint32_t seed, const record_head& head, byte_view raw_head, byte_view content) {
    constexpr std::size_t summed = 4 * sizeof(std::uint32_t) + hash256::size + sizeof(std::uint64_t);
    static_assert(summed + sizeof(std::uint32_t) <= journal_record_head);
    if (content.size() != head.content_size() || raw_head.size() < summed) return error(errc::corrupt, "journal record is cut short");
    if (erasure::crc32c(erasure::crc32c(seed, raw_head.first(summed)), content) != head.sum) return error(errc::corrupt, "journal record does not match its checksum");
    auto group = wire::decode<stored_group>(content.first(head.group_size));
    if (!group || group->lengths.empty()) return error(errc::corrupt, "journal record has no group");
    const auto payload = std::accumulate(group->lengths.begin(), group->lengths.end(), std::uint64_t{0});
    if (payload != head.body_size) return error(errc::corrupt, "journal record has a wrong length");
    return journal_record{std::move(*group), head.chain, head.synced};
}

}  // namespace cess::storage
