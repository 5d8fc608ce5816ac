// Requests that wait for the kernel to write pages back: FUSE's threads must stay free to take those pages. A few threads of the
// line's own run them. As many stand here as callers block in the kernel, up to the bound.
#pragma once

#include "in_flight.hpp"

#include <core/net/offload.hpp>

#include <functional>

namespace cess::fs {

class waiting_line {
public:
    // False: it is full, or the caller is one of the line's threads, for which there is nothing more to wait for.
    [[nodiscard]] bool add(std::function<void()> request);
    // Whether this thread may wait.
    [[nodiscard]] static bool is_here() noexcept;
    // Whether all that stood in it is done, by `until` at the latest.
    [[nodiscard]] bool drain(std::chrono::steady_clock::time_point until) { return m_under_way.wait_for_none(until); }
    // Runs what stands in it, and ends its threads; nothing can be added any more.
    void finish() { m_threads.stop(); }

private:
    static constexpr std::size_t length_max = 4096;
    static constexpr unsigned thread_count = 4;

    in_flight m_under_way;
    net::worker_pool m_threads{thread_count, length_max};
};

}  // namespace cess::fs
