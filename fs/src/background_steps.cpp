#include "background_steps.hpp"

#include <core/base/log.hpp>

namespace cess::fs {
namespace {

constexpr std::chrono::seconds retry_after{5};

}  // namespace

background_steps::background_steps(std::string what, std::function<answer<bool>()> step, std::chrono::seconds period, bool enabled)
    : m_what(std::move(what)), m_step(std::move(step)), m_period(period), m_enabled(enabled) {}

background_steps::~background_steps() {
    {
        const std::lock_guard lock(m_mutex);
        m_stopping = true;
    }
    m_changed.notify_all();
    if (m_thread.joinable()) m_thread.join();
}

void background_steps::wake() noexcept {
    if (!m_enabled) return;
    const std::lock_guard lock(m_mutex);
    m_wanted = true;
    try {
        if (!m_thread.joinable()) m_thread = std::thread([this] { run(); });
    } catch (const std::exception& e) {
        log::error("fs", "{} waits for the next need of it or the next mount: no thread ({})", m_what, e.what());
    }
    m_changed.notify_all();
}

void background_steps::wait(std::unique_lock<std::mutex>& lock) {
    const auto due = [this] { return m_stopping || m_wanted; };
    if (m_period.count() == 0) m_changed.wait(lock, due);
    else m_changed.wait_for(lock, m_period, due);
}

void background_steps::run() {
    std::unique_lock lock(m_mutex);
    while (!m_stopping) {
        wait(lock);
        if (m_stopping) return;
        m_wanted = false;
        lock.unlock();
        const auto more = try_step();
        lock.lock();
        if (more && *more) m_wanted = true;
        if (more || more.error().number == EROFS) continue;  // EROFS: the volume takes no more changes
        m_changed.wait_for(lock, retry_after, [&] { return m_stopping; });
        m_wanted = true;
    }
}

// No exception leaves the thread.
answer<bool> background_steps::try_step() noexcept {
    int failed = EIO;
    try {
        const auto more = m_step();
        if (more) return more;
        failed = more.error().number;
    } catch (const std::bad_alloc&) {
        failed = ENOMEM;
    } catch (const std::exception& e) {
        log::error("fs", "{}: {}", m_what, e.what());
    }
    log::warn("fs", "{} waits (errno {})", m_what, failed);
    return refuse(failed);
}

}  // namespace cess::fs
