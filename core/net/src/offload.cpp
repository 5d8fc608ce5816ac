#include <core/net/offload.hpp>

namespace cess::net {

worker_pool::worker_pool(unsigned threads, std::size_t queue_max) : m_queue_max(queue_max), m_inline(threads == 0) {
    for (unsigned i = 0; i < threads; ++i) m_threads.emplace_back([this] { work(); });
}

worker_pool::~worker_pool() { stop(); }

result<void> worker_pool::submit(std::unique_ptr<task>& work) {
    {
        std::lock_guard lock(m_mutex);
        if (m_stopping) return error(errc::canceled, "worker pool is stopped");
        if (!m_inline) {
            if (m_queue.size() >= m_queue_max) return error(errc::exhausted, "worker pool's queue is full");
            m_queue.push_back(std::move(work));
        }
    }
    if (m_inline) {
        const auto now = std::move(work);
        now->run();
    } else {
        m_wake.notify_one();  // without the lock, for which the woken thread would only wait again
    }
    return {};
}

void worker_pool::work() {
    std::unique_lock lock(m_mutex);
    for (;;) {
        m_wake.wait(lock, [this] { return m_stopping || !m_queue.empty(); });
        if (m_queue.empty()) return;
        auto next = std::move(m_queue.front());
        m_queue.pop_front();
        lock.unlock();
        next->run();
        next.reset();
        lock.lock();
    }
}

void worker_pool::stop() {
    {
        std::lock_guard lock(m_mutex);
        m_stopping = true;
    }
    m_wake.notify_all();
    for (auto& t : m_threads)
        if (t.joinable()) t.join();
}

std::size_t worker_pool::queued() const {
    std::lock_guard lock(m_mutex);
    return m_queue.size();
}

}  // namespace cess::net
