#include "committer.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::s3 {

struct committer::waiting {
    committer* to;
    sequence_number upto;
    void operator()(net::resumption<result<void>> done) {
        const std::lock_guard hold(to->m_mutex);
        to->m_waiters.push_back({upto, std::move(done)});
        to->m_wake.notify_one();
    }
};

committer::committer(bucket& of) : m_bucket(of), m_garbage(of.has_garbage()) {
    of.on_garbage([this] {
        const std::lock_guard hold(m_mutex);
        m_garbage = true;
        m_wake.notify_one();
    });
    m_thread = std::thread([this] { run(); });
}

committer::~committer() {
    {
        const std::lock_guard hold(m_mutex);
        m_stopping = true;
        m_wake.notify_one();
    }
    m_thread.join();
    m_bucket.on_garbage({});
}

net::awaitable<result<void>> committer::durable(sequence_number upto) {
    const auto& head = *m_bucket.head();
    if (head.confirmed() && (upto.value == 0 || upto <= head.durable())) co_return result<void>();
    auto wait = net::suspend<result<void>>(waiting{this, upto});
    co_return co_await std::move(wait);
}

void committer::run() {
    std::unique_lock hold(m_mutex);
    for (;;) {
        m_wake.wait(hold, [this] { return m_stopping || m_garbage || !m_waiters.empty(); });
        if (!m_waiters.empty()) {
            auto answered = std::exchange(m_waiters, {});
            hold.unlock();
            const auto upto = std::max_element(answered.begin(), answered.end(), [](auto& a, auto& b) { return a.upto < b.upto; })->upto;
            auto synced = m_bucket.head()->sync(upto);
            if (synced) synced = wait_confirmed(*m_bucket.head());
            for (auto& w : answered) w.done(synced);
            hold.lock();
        } else if (m_stopping) {
            return;
        } else if (m_garbage) {
            m_garbage = false;
            hold.unlock();
            tidy();
            hold.lock();
        }
    }
}

// A bounded step, so that nobody waits behind a large deletion.
void committer::tidy() {
    const auto more = m_bucket.reclaim();
    if (!more) log::warn("s3", "dropping deleted objects failed, tried again with the next deletion error=\"{}\"", more.error().message());
    if (!more || !*more) return;
    const std::lock_guard hold(m_mutex);
    m_garbage = true;
}

}  // namespace cess::s3
