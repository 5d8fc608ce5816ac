#include "session_loop.hpp"

#include "device.hpp"

#include <core/base/log.hpp>

#include <csignal>
#include <cstdlib>

namespace cess::fs {
namespace {

constexpr int wake_signal = SIGUSR1;
constexpr auto wake_again = std::chrono::milliseconds(1);

sigset_t wake_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, wake_signal);
    return set;
}

// Interrupts a read of the device that waits; a read that has a request returns it all the same.
void take_wake_signal() {
    struct sigaction how {};
    how.sa_handler = [](int) {};
    sigemptyset(&how.sa_mask);
    ::sigaction(wake_signal, &how, nullptr);  // without SA_RESTART
}

struct request_buffer {
    fuse_buf raw{};
    ~request_buffer() { std::free(raw.mem); }
};

byte_view view_of(const fuse_buf& request) { return {static_cast<const std::byte*>(request.mem), request.size}; }

}  // namespace

session_loop::session_loop(fuse_session* of, unsigned threads_max, const request_meter* meter)
    : m_session(of), m_threads_max(threads_max), m_meter(meter) {
    take_wake_signal();
}

result<serve_end> session_loop::run() {
    std::unique_lock lock(m_mutex);
    m_pausing = m_paused = false;
    m_stopping = m_leaving;
    m_serving = true;
    start_worker();
    while (m_running > 0 || (m_pausing && !m_paused)) {
        if (m_running == 0 || !ends()) {
            m_changed.wait(lock);
            continue;
        }
        // A thread may look whether it is to stop just before the signal, and read just after: so again and again.
        wake_readers();
        m_changed.wait_for(lock, wake_again);
    }
    m_serving = false;
    join_ended();
    if (m_failed != 0) return errno_error("serve the FUSE device", m_failed);
    return m_paused && !fuse_session_exited(m_session) ? serve_end::paused : serve_end::unmounted;
}

bool session_loop::ends() const { return m_stopping || fuse_session_exited(m_session); }

bool session_loop::pause(time_point until, const std::function<bool(time_point)>& others_done) {
    std::unique_lock lock(m_mutex);
    if (m_pause_forbidden || m_leaving || !m_serving || m_pausing) return false;
    m_pausing = m_stopping = true;
    m_changed.notify_all();
    const auto none_runs = [&] { return m_changed.wait_until(lock, until, [this] { return m_running == 0; }); };
    bool done = none_runs();  // who starts from now on leaves nothing to others
    if (done) {
        lock.unlock();
        done = others_done(until);
        lock.lock();
        done = done && none_runs();  // who took their writes
    }
    const bool exited = fuse_session_exited(m_session);
    m_paused = done && !exited;
    if (!m_paused) {
        m_pausing = false;
        m_stopping = m_leaving;
        const bool nobody_reads = m_idle <= 0 && m_running < m_threads_max;  // those that are busy read again
        if (!exited && (nobody_reads || !m_kept.empty())) start_worker();
    }
    m_changed.notify_all();
    return m_paused;
}

bool session_loop::forbid_pause() {
    std::unique_lock lock(m_mutex);
    m_pause_forbidden = true;
    m_changed.wait(lock, [this] { return !m_pausing || m_paused; });  // pause() has a deadline
    if (m_paused) m_pause_forbidden = false;
    return !m_paused;
}

void session_loop::leave() {
    const std::lock_guard lock(m_mutex);
    fuse_session_exit(m_session);
    m_leaving = m_stopping = true;
    m_changed.notify_all();
}

std::vector<bytes> session_loop::take_kept() {
    const std::lock_guard lock(m_mutex);
    std::vector<bytes> out;
    for (auto& each : m_kept) out.push_back(std::move(each.request));
    m_kept.clear();
    m_kept_count = 0;
    return out;
}

void session_loop::begin_with(const std::vector<bytes>& kept) {
    for (const auto& each : kept) {
        if (m_meter) measure_request(*m_meter, each);
        keep(each);
    }
    measured_request().take_over();
}

session_loop::kernel_wait::kernel_wait(session_loop& in) : m_in(in) {
    const std::lock_guard lock(in.m_mutex);
    ++in.m_kernel_waits;
    if (in.m_pausing && in.m_readers == 0) in.start_worker();
}

session_loop::kernel_wait::~kernel_wait() {
    const std::lock_guard lock(m_in.m_mutex);
    --m_in.m_kernel_waits;
}

void session_loop::join_ended() {
    m_workers.remove_if([](worker& each) {
        if (each.ended) each.thread.join();
        return each.ended;
    });
}

void session_loop::start_worker() {
    join_ended();
    // Before it runs: a thread that had a request before it was counted as idle would not see that it was the last.
    ++m_running;
    ++m_readers;
    ++m_idle;
    const auto workers = m_workers.size();
    try {
        auto& made = m_workers.emplace_back();
        made.thread = std::thread([this, &made] { work(made); });
    } catch (const std::exception& e) {  // no thread, no memory
        if (m_workers.size() > workers) m_workers.pop_back();
        --m_running;
        --m_readers;
        --m_idle;
        log::warn("fs", "no further thread to serve with: {}", e.what());
        if (m_running == 0 && !m_pausing) m_failed = EAGAIN;
    }
    m_changed.notify_all();
}

void session_loop::wake_readers() {
    for (auto& each : m_workers)
        if (!each.ended && each.reading.load(std::memory_order_relaxed)) ::pthread_kill(each.thread.native_handle(), wake_signal);
}

void session_loop::grow() {
    const std::lock_guard lock(m_mutex);
    if (m_stopping || m_idle > 0 || m_running >= m_threads_max) return;
    start_worker();
}

session_loop::turn session_loop::next_turn() {
    if (!m_stopping.load(std::memory_order_relaxed) && !fuse_session_exited(m_session)) return turn::serve;
    const std::lock_guard lock(m_mutex);
    if (!m_leaving && !fuse_session_exited(m_session)) {
        if (!m_pausing) return turn::serve;
        if (m_kernel_waits > 0 && m_readers == 1) return turn::spare;
    }
    --m_readers;
    --m_idle;
    return turn::end;
}

void session_loop::work(worker& self) {
    read_and_answer(self);
    const std::lock_guard lock(m_mutex);
    self.ended = true;
    --m_running;
    m_changed.notify_all();
}

void session_loop::read_and_answer(worker& self) {
    const auto set = wake_signals();
    ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);  // whatever we were started with
    const auto own = clone_device(m_session);
    request_buffer read;
    for (auto now = next_turn(); now != turn::end; now = next_turn()) {
        auto kept = now == turn::serve ? next_kept() : kept_request();
        if (!kept.request.empty()) {
            kept.measured.take_over();
            fuse_buf again{};
            again.mem = kept.request.data();
            again.size = kept.request.size();
            process(again);
            continue;
        }
        const at_device there(now == turn::serve ? own : device_clone());
        if (!receive(self, read.raw)) continue;
        if (now == turn::spare && goes_elsewhere(view_of(read.raw))) keep(view_of(read.raw));
        else process(read.raw);
    }
}

bool session_loop::receive(worker& self, fuse_buf& into) {
    self.reading.store(true, std::memory_order_relaxed);
    const int n = fuse_session_receive_buf(m_session, &into);
    self.reading.store(false, std::memory_order_relaxed);
    if (n > 0) return true;
    if (n == -EINTR || n == -EAGAIN) return false;
    const std::lock_guard lock(m_mutex);
    if (n < 0) m_failed = -n;
    fuse_session_exit(m_session);
    return false;
}

void session_loop::process(const fuse_buf& request) {
    if (m_idle.fetch_sub(1) == 1) grow();
    fuse_session_process_buf(m_session, &request);
    m_idle.fetch_add(1);
}

session_loop::kept_request session_loop::next_kept() {
    if (m_kept_count.load(std::memory_order_relaxed) == 0) return {};
    const std::lock_guard lock(m_mutex);
    if (m_kept.empty()) return {};
    auto first = std::move(m_kept.front());
    m_kept.pop_front();
    --m_kept_count;
    return first;
}

void session_loop::keep(byte_view request) {
    const std::lock_guard lock(m_mutex);
    m_kept.push_back({to_bytes(request), measured_request::current()});
    ++m_kept_count;
}

}  // namespace cess::fs
