#include "records.hpp"

namespace cess::volume {
namespace row {
namespace {

void put_big_endian(bytes& to, std::uint64_t value, int width) {
    for (int shift = (width - 1) * 8; shift >= 0; shift -= 8) to.push_back(static_cast<std::byte>(value >> shift));
}

}  // namespace

std::uint64_t big_endian(byte_view from) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 8; ++i) value = value << 8 | std::to_integer<std::uint64_t>(from[i]);
    return value;
}

std::uint32_t big_endian32(byte_view from) noexcept {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::uint32_t>(from[i]);
    return value;
}

bytes one(char kind) { return bytes(1, static_cast<std::byte>(kind)); }

bytes user_key(byte_view key) {
    auto out = one(user_kind);
    append(out, key);
    return out;
}

bytes extent_prefix(blob_id blob, std::uint32_t generation) {
    auto out = one(extent_kind);
    out.reserve(21);
    put_big_endian(out, blob, 8);
    put_big_endian(out, generation, 4);
    return out;
}

bytes extent_key(blob_id blob, std::uint32_t generation, std::uint64_t end) {
    auto out = extent_prefix(blob, generation);
    put_big_endian(out, end, 8);
    return out;
}

bytes extent_value(const extent& e) {
    bytes out;
    out.reserve(20);
    put_big_endian(out, e.length(), 4);
    put_big_endian(out, e.lineage, 4);
    put_big_endian(out, e.segment.value, 8);
    put_big_endian(out, e.offset, 4);
    return out;
}

result<extent> parse_extent(byte_view key, byte_view value) {
    if (key.size() != 21 || value.size() != 20) return error(errc::corrupt, "extent row of the wrong size");
    extent e;
    e.end = big_endian(key.subspan(13));
    const auto length = big_endian32(value);
    if (length == 0 || length > e.end) return error(errc::corrupt, "extent row with an impossible length");
    e.start = e.end - length;
    e.lineage = big_endian32(value.subspan(4));
    e.segment.value = big_endian(value.subspan(8));
    e.offset = big_endian32(value.subspan(16));
    return e;
}

bytes segment_key(std::uint32_t lineage, segment_number number) {
    auto out = one(segment_kind);
    put_big_endian(out, lineage, 4);
    put_big_endian(out, number.value, 8);
    return out;
}

result<std::pair<std::uint32_t, segment_number>> parse_segment_key(byte_view key) {
    if (key.size() != 13) return error(errc::corrupt, "segment row of the wrong size");
    return std::pair(big_endian32(key.subspan(1)), segment_number{big_endian(key.subspan(5))});
}

bytes dead_prefix(segment_number number) {
    auto out = one(dead_kind);
    put_big_endian(out, number.value, 8);
    return out;
}

bytes dead_key(const dead_range& range) {
    auto out = dead_prefix(range.segment);
    put_big_endian(out, range.offset, 4);
    put_big_endian(out, range.length, 4);
    put_big_endian(out, range.death.value, 8);
    return out;
}

bytes dead_value(sequence_number birth) {
    bytes out;
    put_big_endian(out, birth.value, 8);
    return out;
}

result<dead_range> parse_dead(byte_view key, byte_view value) {
    if (key.size() != 25 || value.size() != 8) return error(errc::corrupt, "row of a dead range of the wrong size");
    dead_range out;
    out.segment.value = big_endian(key.subspan(1));
    out.offset = big_endian32(key.subspan(9));
    out.length = big_endian32(key.subspan(13));
    out.death.value = big_endian(key.subspan(17));
    out.birth.value = big_endian(value);
    if (out.length == 0 || std::uint64_t{out.offset} + out.length > segment_length_max) return error(errc::corrupt, "dead range that no segment has");
    return out;
}

bytes lineage_key(std::uint32_t index) {
    auto out = one(lineage_kind);
    put_big_endian(out, index, 4);
    return out;
}

bytes generation_key(blob_id blob) {
    auto out = one(generation_kind);
    put_big_endian(out, blob, 8);
    return out;
}

bytes dropped_key(blob_id blob, std::uint32_t generation) {
    auto out = one(dropped_kind);
    put_big_endian(out, blob, 8);
    put_big_endian(out, generation, 4);
    return out;
}

}  // namespace row

bool valid_name(std::string_view name) noexcept {
    if (name.empty() || name.size() > 63 || name.find("..") != std::string_view::npos) return false;
    const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    if (!plain(name.front())) return false;
    for (const char c : name)
        if (!plain(c) && c != '.' && c != '-') return false;
    return true;
}

}  // namespace cess::volume
