// Ask n at once, go on with the first k that succeed.
#pragma once

#include <core/net/task_group.hpp>

#include <boost/asio/this_coro.hpp>

#include <utility>
#include <vector>

namespace cess::net {

// What came back before the quorum was decided, by index of the operation.
template <class T>
struct quorum_result {
    std::vector<std::pair<std::size_t, T>> succeeded;  // in order of arrival
    std::vector<std::pair<std::size_t, error>> failed;
    bool reached = false;  // k or more succeeded
};

namespace detail {
template <class T>
awaitable<void> count_in(awaitable<result<T>> op, std::size_t index, std::size_t needed, std::size_t of, quorum_result<T>& out, task_group& all) {
    auto got = co_await std::move(op);
    if (all.stopping()) co_return;  // decided
    if (got) {
        out.succeeded.emplace_back(index, std::move(*got));
        out.reached = out.succeeded.size() >= needed;
    } else {
        out.failed.emplace_back(index, std::move(got).error());
    }
    if (out.reached || out.failed.size() > of - needed) all.cancel();
}
}  // namespace detail

// Runs all operations at once; ends when k have succeeded or can no longer, cancels the others and waits for them
// (see with_deadline). REQUIRES: k <= ops.size()
template <class T>
awaitable<quorum_result<T>> first_k(std::size_t k, std::vector<awaitable<result<T>>> ops) {
    task_group all(co_await boost::asio::this_coro::executor);
    quorum_result<T> out;
    out.reached = k == 0;
    if (out.reached) co_return out;
    const auto n = ops.size();
    for (std::size_t i = 0; i < n; ++i) all.spawn(detail::count_in<T>(std::move(ops[i]), i, k, n, out, all));
    co_await all.join();
    co_return out;
}

namespace detail {
template <class T>
awaitable<void> put_in(awaitable<result<T>> op, result<T>& out) {
    auto got = co_await std::move(op);
    out = std::move(got);
}
}  // namespace detail

// Runs all operations at once and waits for each: result i belongs to operation i.
template <class T>
awaitable<std::vector<result<T>>> all_of(std::vector<awaitable<result<T>>> ops) {
    task_group all(co_await boost::asio::this_coro::executor);
    std::vector<result<T>> out(ops.size(), result<T>(error(errc::canceled, "operation given up")));
    for (std::size_t i = 0; i < ops.size(); ++i) all.spawn(detail::put_in<T>(std::move(ops[i]), out[i]));
    co_await all.join();
    co_return out;
}

}  // namespace cess::net
