// How fast one volume may be used: token buckets of operations and bytes a second, for reads, writes, and both.
//
// Every admitted request takes a place in line, in the order of arrival, and goes when the allowance has reached its
// place: no thread overtakes another. An operation goes when it is earned whole; bytes, when those asked for before it
// are, so that a large request does not wait for a full bucket.
// An idle volume saves up `burst` seconds of allowance. A request is admitted before it is begun: what waits here is
// neither applied nor acknowledged, so that a flush, which never comes here, has nothing to wait for.
//
// Thread-safe; admit() blocks.
#pragma once

#include <objectstore/client/limits.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>

namespace cess::blockdev {

enum class direction : std::uint8_t { read, write };

class limiter {
public:
    using duration = std::chrono::nanoseconds;
    struct time_source {
        std::function<duration()> now;         // monotonic
        std::function<bool(duration)> sleep;   // false: the client or the server is going, wait no longer
    };
    static time_source real_time();

    explicit limiter(time_source with = real_time());
    // In force at once, for those that wait as well.
    void set(const client::io_limits& to);
    // One operation of `size` bytes. errc::canceled if the wait was broken off; it then counts for nothing.
    [[nodiscard]] result<void> admit(direction which, std::uint64_t size);

private:
    struct bucket {
        double rate = 0;      // a second; 0: no limit
        double capacity = 0;  // saved up at most
        double earned = 0;    // allowance given so far; never more than `taken` + `capacity`
        double taken = 0;     // by all requests so far, those that wait included
    };
    enum bucket_index : std::size_t { operations, read_operations, write_operations, volume_bytes, read_bytes, write_bytes, bucket_count };
    using places = std::array<double, bucket_count>;  // of one request: what had been taken before it

    static double cost(std::size_t bucket, direction which, std::uint64_t size) noexcept;
    void earn();                                                   // REQUIRES: m_mutex
    [[nodiscard]] duration wait_for(const places& mine, direction which) const;  // REQUIRES: m_mutex

    const time_source m_time;
    std::atomic<bool> m_limited{false};
    std::mutex m_mutex;
    duration m_earned_at;
    std::array<bucket, bucket_count> m_buckets{};
};

}  // namespace cess::blockdev
