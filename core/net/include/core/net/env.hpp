// What a component may know of the world: time, randomness, and where its coroutines run. Handed in, so that
// a simulation can own all three.
#pragma once

#include <core/base/random.hpp>
#include <core/base/result.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>

namespace cess::net {

using boost::asio::awaitable;
using duration = std::chrono::nanoseconds;
using time_point = std::chrono::time_point<std::chrono::steady_clock, duration>;  // monotonic; in simulation it starts at 0

class env {
public:
    virtual ~env() = default;
    [[nodiscard]] virtual time_point now() const = 0;
    [[nodiscard]] virtual std::chrono::system_clock::time_point wall_now() const = 0;
    [[nodiscard]] virtual random_source& random() = 0;
    [[nodiscard]] virtual boost::asio::any_io_executor executor() = 0;
    // Resumes at `when` on the awaiting coroutine's executor. errc::canceled when the coroutine is cancelled
    // (asio's cancellation of the enclosing co_spawn, or `a || b`).
    virtual awaitable<result<void>> sleep_until(time_point when) = 0;

    awaitable<result<void>> sleep_for(duration d) { return sleep_until(now() + d); }
};

}  // namespace cess::net
