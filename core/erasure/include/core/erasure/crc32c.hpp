// CRC-32C (Castagnoli, RFC 3720) by ISA-L: against accidents on a disk, not against people.
#pragma once

#include <core/base/bytes.hpp>

#include <cstdint>

namespace cess::erasure {

// Of `data`, going on from `before` (0, a seed, or the sum of what precedes). Without the customary final inversion.
[[nodiscard]] std::uint32_t crc32c(std::uint32_t before, byte_view data);

}  // namespace cess::erasure
