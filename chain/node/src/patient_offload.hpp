// Offloading of work that must not be dropped: waits while the pool's queue is full.
#pragma once

#include <core/net/offload.hpp>

namespace cess::chain {

// Like net::offload, but a full queue only delays it. `f` is copied for each attempt.
template <class F>
auto patient_offload(net::env& world, net::worker_pool& pool, F f) -> net::awaitable<typename net::detail::offloaded<F>::answer> {
    for (;;) {
        auto job = net::offload(pool, f);
        auto done = co_await std::move(job);
        if (done || done.error().code != errc::exhausted) co_return done;
        auto slept = co_await world.sleep_for(std::chrono::milliseconds(1));
        if (!slept) co_return std::move(slept).error();
    }
}

}  // namespace cess::chain
