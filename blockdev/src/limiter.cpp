#include <blockdev/limiter.hpp>

#include <algorithm>
#include <thread>

namespace cess::blockdev {
namespace {

// New limits and a server that ends are noticed within this time.
constexpr limiter::duration nap = std::chrono::milliseconds(50);

double seconds(limiter::duration t) { return std::chrono::duration<double>(t).count(); }

}  // namespace

limiter::time_source limiter::real_time() {
    time_source out;
    out.now = [] { return std::chrono::duration_cast<duration>(std::chrono::steady_clock::now().time_since_epoch()); };
    out.sleep = [](duration t) {
        std::this_thread::sleep_for(t);
        return true;
    };
    return out;
}

limiter::limiter(time_source with) : m_time(std::move(with)), m_earned_at(m_time.now()) {}

void limiter::set(const client::io_limits& to) {
    const std::lock_guard lock(m_mutex);
    earn();
    const std::array<std::uint64_t, bucket_count> rates{to.iops, to.read_iops, to.write_iops, to.bandwidth, to.read_bandwidth, to.write_bandwidth};
    bool any = false;
    for (std::size_t i = 0; i < bucket_count; ++i) {
        auto& b = m_buckets[i];
        const bool is_new = b.rate == 0;
        b.rate = static_cast<double>(rates[i]);
        b.capacity = b.rate * to.burst_seconds;
        if (is_new) b.earned = b.taken + b.capacity;  // nothing was counted while there was no limit: start full
        any = any || b.rate != 0;
    }
    m_limited = any;
}

double limiter::cost(std::size_t bucket, direction which, std::uint64_t size) noexcept {
    if (bucket == read_operations || bucket == read_bytes) {
        if (which != direction::read) return 0;
    } else if (bucket == write_operations || bucket == write_bytes) {
        if (which != direction::write) return 0;
    }
    return bucket < volume_bytes ? 1 : static_cast<double>(size);
}

void limiter::earn() {
    const auto now = m_time.now();
    const auto passed = seconds(now - m_earned_at);
    m_earned_at = now;
    for (auto& b : m_buckets) b.earned = std::min(b.earned + b.rate * passed, b.taken + b.capacity);
}

limiter::duration limiter::wait_for(const places& mine, direction which) const {
    double longest = 0;
    for (std::size_t i = 0; i < bucket_count; ++i) {
        const auto& b = m_buckets[i];
        if (b.rate == 0 || cost(i, which, 1) == 0) continue;
        const bool counts_bytes = i >= volume_bytes;
        const auto wanted = counts_bytes ? mine[i] : mine[i] + 1;
        if (counts_bytes ? wanted < b.earned : wanted <= b.earned) continue;
        longest = std::max({longest, (wanted - b.earned) / b.rate, 1e-9});  // at its place exactly: the next moment
    }
    return std::chrono::ceil<duration>(std::chrono::duration<double>(longest));
}

result<void> limiter::admit(direction which, std::uint64_t size) {
    if (!m_limited) return {};
    std::unique_lock lock(m_mutex);
    earn();
    places mine{};
    for (std::size_t i = 0; i < bucket_count; ++i) {
        mine[i] = m_buckets[i].taken;
        m_buckets[i].taken += cost(i, which, size);
    }
    for (;;) {
        const auto left = wait_for(mine, which);
        if (left == duration::zero()) return {};
        lock.unlock();
        const bool go_on = m_time.sleep(std::min(left, nap));
        lock.lock();
        earn();
        if (go_on) continue;
        for (std::size_t i = 0; i < bucket_count; ++i) m_buckets[i].earned += cost(i, which, size);  // those behind move up
        return error(errc::canceled, "the wait for the volume's limits was broken off");
    }
}

}  // namespace cess::blockdev
