// How fast a block volume may be used. Kept in the volume itself, so that nobody else sees it, a snapshot has it, and a
// clone starts with it; the process that has the volume attached keeps to it.
#pragma once

#include <core/base/result.hpp>
#include <core/base/bytes.hpp>

#include <cstdint>

namespace cess::client {

// A second, on average; 0 is no limit. What is not used is saved up for `burst_seconds`, and may be spent at once.
struct io_limits {
    static constexpr std::uint8_t wire_version = 1;
    std::uint64_t iops = 0, read_iops = 0, write_iops = 0;                 // operations: reads and writes together, and each
    std::uint64_t bandwidth = 0, read_bandwidth = 0, write_bandwidth = 0;  // bytes, likewise
    std::uint32_t burst_seconds = 1;
    template <class S, class C> static void describe(S& s, C& c) {
        c(s.iops, s.read_iops, s.write_iops, s.bandwidth, s.read_bandwidth, s.write_bandwidth, s.burst_seconds);
    }
    friend bool operator==(const io_limits&, const io_limits&) = default;
};

inline constexpr std::uint64_t bandwidth_min = 1 * MiB;  // the largest request takes 32 s then, and no client waits for ever
inline constexpr std::uint32_t burst_seconds_max = 3600;
// errc::invalid says which of them is out of range.
[[nodiscard]] result<void> check_limits(const io_limits& what);

}  // namespace cess::client
