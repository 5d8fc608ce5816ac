// The threads that serve a session: as many as ever were busy at once, up to a bound, each with a clone of the FUSE device
// of its own. libfuse's own loop cancels its threads, and with one the request that it has just read; this one stops
// between requests: what was read is answered, what was not stays in the kernel for who serves next.
//
// What these threads left to others, who wait for the kernel to write pages back, ends before that, and only while somebody
// takes those writes. So long one thread goes on. What it reads beside the writes and would leave to others again, so that
// there were no end to it, it keeps for who serves next: read from the session's own device, which goes to him.
#pragma once

#include "fuse_api.hpp"
#include "request_meter.hpp"

#include <core/base/bytes.hpp>
#include <fs/fuse_mount.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace cess::fs {

class session_loop {
public:
    using time_point = std::chrono::steady_clock::time_point;

    // The session outlives it, and so does who measures its requests, if anybody. Takes SIGUSR1 for itself.
    session_loop(fuse_session* of, unsigned threads_max, const request_meter* meter = nullptr);
    session_loop(const session_loop&) = delete;
    session_loop& operator=(const session_loop&) = delete;

    // Blocks until unmounted, paused, or told to leave; may be called again after a pause.
    [[nodiscard]] result<serve_end> run();

    // True: run() returns serve_end::paused, and no thread serves any more. False: it goes on as if nothing had happened,
    // since some request takes longer than `until`, or since the end has come. `others_done` waits for those to whom requests were
    // left; called when they get no more of them.
    [[nodiscard]] bool pause(time_point until, const std::function<bool(time_point)>& others_done);
    // No pause from now on; false if it has paused. Waits for one that is under way to succeed or fail. leave() ends run().
    [[nodiscard]] bool forbid_pause();
    void leave();

    // What was kept while it paused. REQUIRES: run() is not running.
    [[nodiscard]] std::vector<bytes> take_kept();
    void begin_with(const std::vector<bytes>& kept);

    // While somebody waits for the kernel, which waits for one of these threads. Not on one of these threads.
    class kernel_wait {
    public:
        explicit kernel_wait(session_loop& in);
        ~kernel_wait();
        kernel_wait(const kernel_wait&) = delete;
        kernel_wait& operator=(const kernel_wait&) = delete;

    private:
        session_loop& m_in;
    };

private:
    struct kept_request {
        bytes request;
        measured_request measured;  // since it was read, or taken over
    };
    enum class turn { serve, spare, end };  // spare: only so that the kernel's writes are taken
    struct worker {
        std::atomic<bool> reading{false};
        bool ended = false;  // guarded by m_mutex
        std::thread thread;
    };
    void work(worker& self);
    void read_and_answer(worker& self);
    [[nodiscard]] turn next_turn();
    [[nodiscard]] bool receive(worker& self, fuse_buf& into);
    void process(const fuse_buf& request);
    [[nodiscard]] kept_request next_kept();
    void keep(byte_view request);
    void grow();
    [[nodiscard]] bool ends() const;  // REQUIRES: the lock
    void start_worker();  // REQUIRES: the lock
    void join_ended();    // REQUIRES: the lock
    void wake_readers();  // REQUIRES: the lock

    fuse_session* const m_session;
    const unsigned m_threads_max;
    const request_meter* const m_meter;
    std::atomic<int> m_idle{0};          // threads that will take a request
    std::atomic<bool> m_stopping{false};  // pausing or leaving
    std::mutex m_mutex;
    std::condition_variable m_changed;
    std::list<worker> m_workers;
    unsigned m_running = 0;
    unsigned m_readers = 0;  // of those, which will read again
    unsigned m_kernel_waits = 0;
    bool m_pausing = false, m_paused = false, m_pause_forbidden = false, m_leaving = false, m_serving = false;
    std::deque<kept_request> m_kept;
    std::atomic<std::size_t> m_kept_count{0};
    int m_failed = 0;  // an errno
};

}  // namespace cess::fs
