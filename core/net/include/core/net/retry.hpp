// Try again what may work later.
#pragma once

#include <core/net/env.hpp>

namespace cess::net {

struct retry_policy {
    duration first = std::chrono::milliseconds(20);  // pause after the first failure; doubles
    duration max = std::chrono::seconds(1);
    unsigned attempts = 0;                           // at most; 0: as many as fit before the deadline
};

// Worth another try: unreachable, slow, overloaded, or lost a race.
[[nodiscard]] constexpr bool is_transient(errc code) noexcept {
    return code == errc::unavailable || code == errc::timeout || code == errc::exhausted || code == errc::busy;
}

// The pause before attempt `attempt` + 1 (from 1): doubling, with up to half of it random.
[[nodiscard]] inline duration pause_after(const retry_policy& policy, unsigned attempt, random_source& random) {
    duration base = policy.first;
    for (unsigned i = 1; i < attempt && base < policy.max; ++i) base *= 2;
    if (base > policy.max) base = policy.max;
    const auto half = static_cast<std::uint64_t>(base.count() / 2);
    return base - duration(static_cast<std::int64_t>(half == 0 ? 0 : random.below(half)));
}

// Calls `make()` (→ awaitable<result<T>>) until it succeeds, fails with an error that is not transient, or no time is
// left for another pause; answers the last error then. Each attempt's own deadline is its own matter.
template <class T, class Make>
awaitable<result<T>> retry(env& world, retry_policy policy, time_point deadline, Make make) {
    for (unsigned attempt = 1;; ++attempt) {
        auto op = make();
        auto got = co_await std::move(op);
        if (got || !is_transient(got.error().code) || attempt == policy.attempts) co_return got;
        const auto again = world.now() + pause_after(policy, attempt, world.random());
        if (again >= deadline) co_return got;
        auto slept = co_await world.sleep_until(again);
        if (!slept) co_return std::move(slept).error();
    }
}

}  // namespace cess::net
