// An operation that must end by a time.
#pragma once

#include <core/net/task_group.hpp>

#include <boost/asio/this_coro.hpp>

#include <optional>

namespace cess::net {

namespace detail {
template <class T>
awaitable<void> keep_result(awaitable<result<T>> op, std::optional<result<T>>& out, task_group& all) {
    auto got = co_await std::move(op);
    out.emplace(std::move(got));
    all.cancel();
}
awaitable<void> ring_at(env& world, time_point when, bool& rang, task_group& all);
}  // namespace detail

// The operation's result, or errc::timeout at `when`. The operation is then cancelled and waited for, so that what it
// refers to may be the caller's locals; it must end soon after a cancellation (all of core/net does).
template <class T>
awaitable<result<T>> with_deadline(env& world, awaitable<result<T>> op, time_point when) {
    task_group both(co_await boost::asio::this_coro::executor);
    std::optional<result<T>> out;
    bool rang = false;
    both.spawn(detail::keep_result<T>(std::move(op), out, both));
    both.spawn(detail::ring_at(world, when, rang, both));
    co_await both.join();
    const bool gave_up = !out || (out->has_error() && out->error().code == errc::canceled);
    if (rang && gave_up) co_return error(errc::timeout, "deadline passed");
    if (!out) co_return error(errc::canceled, "operation given up");
    co_return std::move(*out);
}

}  // namespace cess::net
