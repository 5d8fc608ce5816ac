// The env of programs: the machine's clocks, the kernel's randomness, and threads that run coroutines.
#pragma once

#include <core/net/env.hpp>

#include <atomic>
#include <memory>
#include <vector>

namespace cess::net {

// Starts its threads at once (so: after any fork) and joins them on destruction. Everything that uses it must have
// been stopped before; coroutines still suspended then are destroyed where they stand.
class real_env final : public env {
public:
    explicit real_env(unsigned threads = 2);
    ~real_env() override;

    [[nodiscard]] time_point now() const override { return std::chrono::steady_clock::now(); }
    [[nodiscard]] std::chrono::system_clock::time_point wall_now() const override { return std::chrono::system_clock::now(); }
    [[nodiscard]] random_source& random() override { return m_random; }
    // One of its threads, the next each call: coroutines spawned on it never run at the same time.
    [[nodiscard]] boost::asio::any_io_executor executor() override;
    awaitable<result<void>> sleep_until(time_point when) override;

private:
    struct loop;
    static void run(loop& on);

    system_random m_random;
    std::vector<std::unique_ptr<loop>> m_loops;
    std::atomic<std::size_t> m_next{0};
};

}  // namespace cess::net
