#include <blockdev/device.hpp>
#include <support/memory_volume.hpp>

#include <catch2/catch.hpp>

#include <condition_variable>
#include <thread>

using namespace cess;
using blockdev::device;
using blockdev::direction;
using blockdev::limiter;
using namespace std::chrono_literals;

namespace {

// Time that only sleeping moves.
struct fake_time {
    std::atomic<std::int64_t> now{0};
    std::atomic<bool> going_on{true};
    std::function<void()> during_sleep;

    limiter::time_source source() {
        limiter::time_source out;
        out.now = [this] { return limiter::duration(now.load()); };
        out.sleep = [this](limiter::duration t) {
            if (during_sleep) during_sleep();
            if (!going_on) return false;
            now += t.count();
            return true;
        };
        return out;
    }
    [[nodiscard]] double seconds() const { return static_cast<double>(now.load()) / 1e9; }
};

client::io_limits operations(std::uint64_t iops, std::uint32_t burst = 1) {
    client::io_limits out;
    out.iops = iops;
    out.burst_seconds = burst;
    return out;
}

// How long `count` requests of `size` take.
double time_of(limiter& on, const fake_time& time, int count, direction which = direction::write, std::uint64_t size = 4096) {
    const auto began = time.seconds();
    for (int i = 0; i < count; ++i) REQUIRE(on.admit(which, size));
    return time.seconds() - began;
}

}  // namespace

TEST_CASE("a burst goes at once, what follows at the rate, and idling saves up a burst and no more") {
    fake_time time;
    limiter on(time.source());
    CHECK(time_of(on, time, 1000) == 0);  // no limits yet
    on.set(operations(100, 3));
    CHECK(time_of(on, time, 300) == 0);
    CHECK(time_of(on, time, 500) == Approx(5).epsilon(0.02));
    time.now += std::chrono::nanoseconds(1h).count();
    CHECK(time_of(on, time, 300) == 0);
    CHECK(time_of(on, time, 100) == Approx(1).epsilon(0.02));
}

TEST_CASE("bytes are counted, and a request larger than a burst is paid for by those behind it") {
    fake_time time;
    limiter on(time.source());
    client::io_limits limits;
    limits.bandwidth = 8 * MiB;
    on.set(limits);
    CHECK(time_of(on, time, 1, direction::read, 32 * MiB) == 0);
    CHECK(time_of(on, time, 1, direction::read, 4096) == Approx(3).epsilon(0.02));
    CHECK(time_of(on, time, 16, direction::write, MiB) == Approx(2).epsilon(0.1));
    CHECK(time_of(on, time, 1000, direction::write, 0) <= 0.2);  // trims are no bytes
}

TEST_CASE("reads and writes have limits of their own beside the common one") {
    fake_time time;
    limiter on(time.source());
    client::io_limits limits;
    limits.read_iops = 1000;
    limits.write_iops = 10;
    limits.write_bandwidth = 1 * MiB;
    on.set(limits);
    CHECK(time_of(on, time, 1000, direction::read, MiB) == 0);
    CHECK(time_of(on, time, 10, direction::write, 512) == 0);
    CHECK(time_of(on, time, 20, direction::write, 512) == Approx(2).epsilon(0.05));
    CHECK(time_of(on, time, 500, direction::read, 512) <= 0.5);
    limits.iops = 5;
    on.set(limits);
    (void)time_of(on, time, 5, direction::read, 512);
    CHECK(time_of(on, time, 10, direction::read, 512) == Approx(2).epsilon(0.05));
}

TEST_CASE("new limits hold at once, for those that wait as well") {
    fake_time time;
    limiter on(time.source());
    on.set(operations(1));
    CHECK(time_of(on, time, 1) == 0);
    int naps = 0;
    time.during_sleep = [&] {
        if (++naps == 4) on.set(operations(1'000'000));
    };
    CHECK(time_of(on, time, 1) < 0.3);
    on.set(operations(1));
    naps = 0;
    time.during_sleep = [&] {
        if (++naps == 4) on.set(client::io_limits());
    };
    CHECK(time_of(on, time, 5) < 1.3);
    CHECK(time_of(on, time, 1'000'000) == 0);
}

TEST_CASE("a wait that is broken off counts for nothing") {
    fake_time time;
    limiter on(time.source());
    on.set(operations(1));
    CHECK(time_of(on, time, 1) == 0);
    time.going_on = false;
    for (int i = 0; i < 100; ++i) CHECK(on.admit(direction::read, 512).error() == errc::canceled);
    time.going_on = true;
    CHECK(time_of(on, time, 1) <= 1.1);
}

TEST_CASE("nobody overtakes: threads get the rate in the order in which they came") {
    // One thread at a time really sleeps; time moves when all wait.
    std::mutex mutex;
    std::condition_variable changed;
    std::int64_t now = 0;
    limiter::time_source source;
    source.now = [&] {
        const std::lock_guard lock(mutex);
        return limiter::duration(now);
    };
    source.sleep = [&](limiter::duration) {
        std::unique_lock lock(mutex);
        const auto before = now;
        changed.wait_for(lock, 10s, [&] { return now != before; });
        return true;
    };
    limiter on(std::move(source));
    on.set(operations(10));
    for (int i = 0; i < 10; ++i) REQUIRE(on.admit(direction::write, 512));  // the burst
    constexpr int threads = 8;
    std::vector<int> order;
    std::atomic<int> waiting = 0;
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t) {
        all.emplace_back([&, t] {
            ++waiting;
            const auto done = on.admit(t % 2 == 0 ? direction::read : direction::write, 512);
            const std::lock_guard lock(mutex);
            if (done) order.push_back(t);
        });
        while (waiting != t + 1) std::this_thread::yield();
        std::this_thread::sleep_for(20ms);  // until it has its place
    }
    for (int i = 0; i < threads; ++i) {
        {
            const std::lock_guard lock(mutex);
            CHECK(order.size() == static_cast<std::size_t>(i));
            now += std::chrono::nanoseconds(100ms).count() + 1000;
        }
        changed.notify_all();
        for (int spins = 0; spins < 10'000; ++spins) {
            std::this_thread::sleep_for(1ms);
            const std::lock_guard lock(mutex);
            if (order.size() > static_cast<std::size_t>(i)) break;
        }
    }
    for (auto& t : all) t.join();
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("a device counts reads, writes, trims and prefetches; a flush and block status never wait") {
    fake_time time;
    testing::memory_volume volume(true, 8 * MiB);
    limiter limits(time.source());
    device disk(volume, &volume, &limits);
    limits.set(operations(2));
    REQUIRE(disk.write(0, bytes(4096, std::byte{1}), false));
    REQUIRE(disk.trim(4096, 4096, false));
    CHECK(time.seconds() == 0);
    for (int i = 0; i < 100; ++i) REQUIRE(disk.flush());
    REQUIRE(disk.extents(0, 8 * MiB).has_value());
    CHECK(time.seconds() == 0);
    bytes back(4096);
    REQUIRE(disk.read(0, back));
    CHECK(time.seconds() == Approx(0.5).epsilon(0.05));
    REQUIRE(disk.prefetch(0, 4096));
    CHECK(time.seconds() == Approx(1).epsilon(0.05));
    REQUIRE(disk.write(0, back, true));
    CHECK(time.seconds() == Approx(1.5).epsilon(0.05));
}

TEST_CASE("a write that its limits hold back is not applied, and a flush meanwhile does not wait for it") {
    fake_time time;
    testing::memory_volume volume(true, 8 * MiB);
    limiter limits(time.source());
    device disk(volume, &volume, &limits);
    limits.set(operations(1));
    REQUIRE(disk.write(0, bytes(512, std::byte{1}), false));
    bool flushed = false;
    time.during_sleep = [&] {
        if (flushed) return;
        flushed = true;
        const auto before = volume.applied();
        REQUIRE(disk.flush());
        CHECK(volume.applied() == before);
        CHECK(volume.durable() == before);
        time.going_on = false;  // the client goes
    };
    CHECK(disk.write(0, bytes(512, std::byte{2}), true).error() == errc::canceled);
    CHECK(flushed);
    limits.set(client::io_limits());
    bytes back(512);
    REQUIRE(disk.read(0, back));
    CHECK(back == bytes(512, std::byte{1}));
}
