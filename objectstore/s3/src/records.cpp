#include "records.hpp"

namespace cess::s3 {

namespace {

void append_big_endian(bytes& to, std::uint64_t value, unsigned size) {
    for (unsigned i = size; i-- > 0;) to.push_back(static_cast<std::byte>(value >> 8 * i & 255));
}

std::uint64_t tail_number(byte_view key, std::size_t size) noexcept {
    std::uint64_t out = 0;
    if (key.size() < size) return 0;
    for (const auto b : key.last(size)) out = out << 8 | std::to_integer<std::uint64_t>(b);
    return out;
}

}  // namespace

namespace at {

bytes prefix(char family) { return bytes(1, static_cast<std::byte>(family)); }

bytes object(std::string_view key) {
    auto out = prefix('o');
    append(out, as_view(key));
    return out;
}

bytes upload(std::string_view key, std::string_view id) {
    auto out = prefix('u');
    append(out, as_view(key));
    out.push_back(std::byte{0});
    append(out, as_view(id));
    return out;
}

bytes parts(std::string_view id) {
    auto out = prefix('p');
    append(out, as_view(id));
    return out;
}

bytes part(std::string_view id, std::uint32_t number) {
    auto out = parts(id);
    append_big_endian(out, number, 4);
    return out;
}

bytes ended_upload(std::string_view id) {
    auto out = prefix('x');
    append(out, as_view(id));
    return out;
}

bytes dropped_blob(volume::blob_id blob) {
    auto out = prefix('d');
    append_big_endian(out, blob, 8);
    return out;
}

bytes next_blob() { return prefix('n'); }

}  // namespace at

std::uint32_t part_number_of(byte_view key) noexcept { return static_cast<std::uint32_t>(tail_number(key, 4)); }
volume::blob_id blob_of(byte_view key) noexcept { return tail_number(key, 8); }

}  // namespace cess::s3
