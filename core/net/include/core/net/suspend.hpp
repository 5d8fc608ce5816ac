// The bridge from callbacks to coroutines, on which the rest of the vocabulary stands.
//
//     awaitable<result<reply>> op = suspend<result<reply>>(starter{...});   // name it first: g++ 12 and co_await
//     auto answered = co_await std::move(op);
//
// `start(resumption<T>)` runs at once on the awaiting coroutine's thread and keeps the resumption; whoever calls it,
// once, from any thread, ends the wait with a value, and the coroutine goes on on its own executor (by post, never inside
// the call, unless that is asked for). A resumption that dies uncalled destroys the coroutine, as Asio does with its handlers.
#pragma once

#include <core/net/env.hpp>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <functional>
#include <memory>

namespace cess::net {

template <class T>
class resumption {
public:
    resumption() = default;
    explicit operator bool() const noexcept { return m_waiting != nullptr; }

    void operator()(T value) {
        auto waiting = std::move(m_waiting);
        waiting->resume(std::move(value));
    }
    // The same, but on the coroutine's executor it goes on inside the call.
    // REQUIRES: no lock is held, and nothing after the call relies on what the coroutine may touch
    void at_once(T value) {
        auto waiting = std::move(m_waiting);
        waiting->resume_at_once(std::move(value));
    }
    // Called on the coroutine's executor when it is cancelled; the resumption must still be called, soon. May be
    // called after the wait has ended, so `f` looks its wait up and holds weak references only.
    // REQUIRES: called inside `start`, before the resumption is handed to another thread.
    void on_cancel(std::function<void()> f) { m_waiting->on_cancel(std::move(f)); }

    template <class Handler>
    static resumption of(Handler handler) {
        resumption r;
        r.m_waiting = std::make_unique<waiting_with<Handler>>(std::move(handler));
        return r;
    }

private:
    struct waiting_base {
        virtual ~waiting_base() = default;
        virtual void resume(T value) = 0;
        virtual void resume_at_once(T value) = 0;
        virtual void on_cancel(std::function<void()> f) = 0;
    };
    template <class Handler>
    struct waiting_with final : waiting_base {
        explicit waiting_with(Handler h) : handler(std::move(h)), work(boost::asio::get_associated_executor(handler)) {}
        void resume(T value) override {
            boost::asio::post(work.get_executor(), [h = std::move(handler), v = std::move(value)]() mutable { std::move(h)(std::move(v)); });
        }
        void resume_at_once(T value) override {
            boost::asio::dispatch(work.get_executor(), [h = std::move(handler), v = std::move(value)]() mutable { std::move(h)(std::move(v)); });
        }
        void on_cancel(std::function<void()> f) override {
            auto slot = boost::asio::get_associated_cancellation_slot(handler);
            if (slot.is_connected()) slot.assign([f = std::move(f)](boost::asio::cancellation_type_t) { f(); });
        }
        Handler handler;
        boost::asio::executor_work_guard<boost::asio::associated_executor_t<Handler>> work;
    };
    std::unique_ptr<waiting_base> m_waiting;
};

template <class T, class Start>
awaitable<T> suspend(Start start) {
    return boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void(T)>(
        [](auto handler, Start begin) { begin(resumption<T>::of(std::move(handler))); }, boost::asio::use_awaitable, std::move(start));
}

}  // namespace cess::net
