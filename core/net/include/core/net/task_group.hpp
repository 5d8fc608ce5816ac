// Coroutines that live as long as their owner, and no longer: the owner spawns them here, and stop() refuses new
// ones, cancels those that run, and waits for the last.
//
// Thread-safe. Cancellation reaches a task at its current co_await (errc::canceled from our operations) and makes the
// next one throw operation_aborted, so a task unwinds whatever its loops do; it cleans up by destructors.
#pragma once

#include <core/net/env.hpp>

#include <exception>
#include <functional>
#include <memory>

namespace cess::net {

class task_group {
public:
    // Tasks run on `on`: a strand, or an executor with a single thread (cancellation is not safe on others).
    explicit task_group(boost::asio::any_io_executor on);
    // Told, on the task's executor and before join() ends, what a task threw that was not its cancellation; join() then does not
    // throw it. For owners whose state may not be used any more after that. May not throw.
    using listener = std::function<void(std::exception_ptr)>;
    task_group(boost::asio::any_io_executor on, listener broken);
    // REQUIRES: empty (stopped, or all tasks ended), or the executor runs no more.
    ~task_group();
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;

    // False, and the task never starts, once cancel() or stop() was called. A task that was accepted and has not started
    // by then never does; its frame is freed.
    bool spawn(awaitable<void> task);
    bool spawn_on(boost::asio::any_io_executor on, awaitable<void> task);
    // The same, but the task runs up to its first wait inside the call. REQUIRES: called on `on`
    bool spawn_here(boost::asio::any_io_executor on, awaitable<void> task);

    void cancel();            // refuses and cancels, waits for nothing
    awaitable<void> join();   // waits until no task runs; a cancelled joiner cancels the group and still waits
    awaitable<void> stop();   // cancel and join
    [[nodiscard]] std::size_t running() const;
    [[nodiscard]] bool stopping() const;

    struct state;

private:
    boost::asio::any_io_executor m_executor;
    std::shared_ptr<state> m_state;
};

}  // namespace cess::net
