// Counts what is under way on other threads, and waits for its end.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace cess::fs {

class in_flight {
public:
    // While it lives, one more is under way. May end on any thread.
    class one {
    public:
        explicit one(in_flight& in) : m_in(in) {
            const std::lock_guard lock(m_in.m_mutex);
            ++m_in.m_count;
        }
        ~one() {
            const std::lock_guard lock(m_in.m_mutex);
            if (--m_in.m_count == 0) m_in.m_ended.notify_all();
        }
        one(const one&) = delete;
        one& operator=(const one&) = delete;

    private:
        in_flight& m_in;
    };

    // Whether none is under way, by `until` at the latest.
    [[nodiscard]] bool wait_for_none(std::chrono::steady_clock::time_point until) {
        std::unique_lock lock(m_mutex);
        return m_ended.wait_until(lock, until, [this] { return m_count == 0; });
    }

private:
    std::mutex m_mutex;
    std::condition_variable m_ended;
    std::size_t m_count = 0;
};

}  // namespace cess::fs
