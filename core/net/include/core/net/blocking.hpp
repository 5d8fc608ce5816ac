// From a thread to a coroutine and back: how the blocking parts of the house (engine, faces, programs) use the network.
#pragma once

#include <core/net/env.hpp>

#include <boost/asio/co_spawn.hpp>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>

namespace cess::net {

// Whether this thread runs coroutines of a real_env: blocking here could block what it waits for.
[[nodiscard]] bool on_executor_thread() noexcept;

namespace detail {
void require_blocking_allowed() noexcept;  // aborts, naming the mistake, on an executor thread
[[nodiscard]] error error_of(std::exception_ptr thrown);  // operation_aborted → errc::canceled, others rethrown
}  // namespace detail

// Runs `op` on an executor of the env and blocks this thread until it ends. The operation carries its own deadline.
template <class T>
result<T> wait(env& world, awaitable<result<T>> op) {
    detail::require_blocking_allowed();
    struct {
        std::mutex mutex;
        std::condition_variable wake;
        std::optional<result<T>> value;
        std::exception_ptr thrown;
        bool done = false;
    } slot;
    boost::asio::co_spawn(world.executor(), std::move(op), [&slot](std::exception_ptr thrown, result<T> value) {
        std::lock_guard lock(slot.mutex);
        slot.thrown = std::move(thrown);
        slot.value.emplace(std::move(value));
        slot.done = true;
        slot.wake.notify_one();  // under the lock: the waiter destroys the slot as soon as it can
    });
    std::unique_lock lock(slot.mutex);
    slot.wake.wait(lock, [&slot] { return slot.done; });
    if (slot.thrown) return detail::error_of(slot.thrown);
    return std::move(*slot.value);
}

}  // namespace cess::net
