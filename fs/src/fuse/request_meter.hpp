// Counts what the kernel asks: how often, how long each takes from its receipt to its answer, and which were refused. The thread that
// works on a request knows it, and hands that on with the work. It costs two looks at the clock and two or three additions.
#pragma once

#include <core/base/bytes.hpp>
#include <core/base/metrics.hpp>

#include <array>
#include <chrono>

namespace cess::fs {

// The request that this thread works on.
struct measured_request {
    std::uint64_t unique = 0;  // the kernel's number for it; 0: none
    std::uint32_t opcode = 0;
    std::chrono::steady_clock::time_point received;

    [[nodiscard]] static measured_request current() noexcept;
    void take_over() const noexcept;  // on the thread that goes on with it
};

// Thread-safe. What has no answer (forget) is not counted, nor what opens the session.
class request_meter {
public:
    explicit request_meter(metrics& count);
    void received(std::uint32_t opcode, std::uint64_t unique) const noexcept;
    // `error`: an errno, or 0.
    void answered(std::uint64_t unique, int error, byte_view body) noexcept;

private:
    struct row {
        latency_histogram* time = nullptr;
        counter* refused = nullptr;
    };
    static constexpr std::size_t opcodes = 64;

    counter& m_read;
    counter& m_written;
    std::array<row, opcodes> m_rows;
};

}  // namespace cess::fs
