#include <core/erasure/crc32c.hpp>

#include <isa-l/crc.h>

#include <algorithm>

namespace cess::erasure {

std::uint32_t crc32c(std::uint32_t before, byte_view data) {
    constexpr std::size_t step = std::size_t{1} << 30;  // ISA-L counts bytes with an int
    while (!data.empty()) {
        const auto part = data.first(std::min(step, data.size()));
        before = crc32_iscsi(reinterpret_cast<unsigned char*>(const_cast<std::byte*>(part.data())), static_cast<int>(part.size()), before);
        data = data.subspan(part.size());
    }
    return before;
}

}  // namespace cess::erasure
