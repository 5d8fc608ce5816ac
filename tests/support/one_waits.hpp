// A change between the placing of its bytes and its applying.
#pragma once

#include <core/base/crash_points.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace cess::support {

// Holds the one thread that gets to it next between placing its bytes and applying its change.
class one_waits final : public crash_points {
public:
    void hold() { m_armed = true; }
    void wait() {
        std::unique_lock lock(m_mutex);
        REQUIRE(m_changed.wait_for(lock, std::chrono::seconds(30), [this] { return m_waits; }));
    }
    void go_on() {
        const std::lock_guard lock(m_mutex);
        m_go_on = true;
        m_changed.notify_all();
    }
    void reached(crash_point at) noexcept override {
        if (at != crash_point::change_placed || !m_armed.exchange(false)) return;
        std::unique_lock lock(m_mutex);
        m_waits = true;
        m_changed.notify_all();
        m_changed.wait_for(lock, std::chrono::seconds(30), [this] { return m_go_on; });
    }

private:
    std::atomic<bool> m_armed{false};
    std::mutex m_mutex;
    std::condition_variable m_changed;
    bool m_waits = false, m_go_on = false;
};

}  // namespace cess::support
