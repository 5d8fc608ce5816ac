// SIGTERM, SIGINT and SIGHUP as a call on a thread of its own. The signals must be blocked before any thread starts.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace cess::fs::program {

class stop_signals {
public:
    static void block();  // in this thread, and in those it starts; SIGPIPE is ignored

    [[nodiscard]] static bool pending();  // one has come that nobody has taken yet

    explicit stop_signals(std::function<void()> on_stop);  // called at most once
    ~stop_signals();
    stop_signals(const stop_signals&) = delete;
    stop_signals& operator=(const stop_signals&) = delete;

private:
    void watch();
    std::function<void()> m_on_stop;
    std::atomic<bool> m_done{false};
    std::thread m_thread;
};

}  // namespace cess::fs::program
