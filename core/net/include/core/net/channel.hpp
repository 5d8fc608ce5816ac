// A queue between coroutines, with a bound: who sends faster than the others receive waits.
#pragma once

#include <core/net/suspend.hpp>

#include <deque>
#include <mutex>
#include <optional>

namespace cess::net {

// Thread-safe; senders and receivers may run on any executors. Waits end by cancellation (with_deadline gives them a
// deadline) or close(): senders then get errc::canceled at once, receivers after what was sent before has been taken.
template <class T>
class bounded_channel {
public:
    // REQUIRES: capacity > 0
    explicit bounded_channel(std::size_t capacity) : m_state(std::make_shared<state>(capacity)) {}
    ~bounded_channel() { close(); }
    bounded_channel(const bounded_channel&) = delete;
    bounded_channel& operator=(const bounded_channel&) = delete;

    awaitable<result<void>> send(T value) { return suspend<result<void>>(sending{m_state, std::move(value)}); }
    awaitable<result<T>> receive() { return suspend<result<T>>(receiving{m_state}); }
    // errc::exhausted when full, errc::canceled when closed.
    result<void> try_send(T value) {
        std::unique_lock lock(m_state->mutex);
        if (m_state->closed) return error(errc::canceled, "channel closed");
        if (m_state->items.size() >= m_state->capacity) return error(errc::exhausted, "channel full");
        m_state->put(std::move(value));
        return {};
    }
    void close() { m_state->close(); }
    [[nodiscard]] std::size_t size() const {
        std::lock_guard lock(m_state->mutex);
        return m_state->items.size();
    }

private:
    struct sender {
        std::uint64_t id;
        T value;
        resumption<result<void>> done;
    };
    struct receiver {
        std::uint64_t id;
        resumption<result<T>> done;
    };
    struct state {
        explicit state(std::size_t c) : capacity(c) {}
        std::mutex mutex;
        const std::size_t capacity;
        bool closed = false;
        std::uint64_t ids = 0;
        std::deque<T> items;
        std::deque<sender> senders;      // only while items is full
        std::deque<receiver> receivers;  // only while items is empty

        // REQUIRES: the lock is held, and room for one more or a receiver waiting
        void put(T value) {
            if (receivers.empty()) return items.push_back(std::move(value));
            auto first = std::move(receivers.front());
            receivers.pop_front();
            first.done(result<T>(std::move(value)));
        }
        void take(resumption<result<T>>& to) {
            T value = std::move(items.front());
            items.pop_front();
            if (!senders.empty()) {
                auto next = std::move(senders.front());
                senders.pop_front();
                items.push_back(std::move(next.value));
                next.done(result<void>());
            }
            to(result<T>(std::move(value)));
        }
        template <class Queue>
        static void give_up(Queue& queue, std::uint64_t id) {
            for (auto at = queue.begin(); at != queue.end(); ++at) {
                if (at->id != id) continue;
                auto done = std::move(at->done);
                queue.erase(at);
                done(error(errc::canceled, "wait on a channel given up"));
                return;
            }
        }
        void close() {
            std::lock_guard lock(mutex);
            closed = true;
            while (!senders.empty()) give_up(senders, senders.front().id);
            while (!receivers.empty()) give_up(receivers, receivers.front().id);
        }
    };
    struct sending {
        std::shared_ptr<state> on;
        T value;
        void operator()(resumption<result<void>> done) {
            std::lock_guard lock(on->mutex);
            if (on->closed) return done(error(errc::canceled, "channel closed"));
            if (on->items.size() < on->capacity) {
                on->put(std::move(value));
                return done(result<void>());
            }
            const auto id = ++on->ids;
            done.on_cancel([weak = std::weak_ptr<state>(on), id] {
                auto s = weak.lock();
                if (!s) return;
                std::lock_guard relock(s->mutex);
                state::give_up(s->senders, id);
            });
            on->senders.push_back(sender{id, std::move(value), std::move(done)});
        }
    };
    struct receiving {
        std::shared_ptr<state> on;
        void operator()(resumption<result<T>> done) {
            std::lock_guard lock(on->mutex);
            if (!on->items.empty()) return on->take(done);
            if (on->closed) return done(error(errc::canceled, "channel closed"));
            const auto id = ++on->ids;
            done.on_cancel([weak = std::weak_ptr<state>(on), id] {
                auto s = weak.lock();
                if (!s) return;
                std::lock_guard relock(s->mutex);
                state::give_up(s->receivers, id);
            });
            on->receivers.push_back(receiver{id, std::move(done)});
        }
    };
    std::shared_ptr<state> m_state;
};

}  // namespace cess::net
