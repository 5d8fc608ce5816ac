// A condition that coroutines of one strand wait for.
//
// Waits and notifications happen on one strand, so no wake-up between a check and the wait can be lost:
//     while (!ready()) co_await woken.wait();
#pragma once

#include <core/net/env.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace cess::layer {

class signal {
public:
    explicit signal(boost::asio::any_io_executor on) : m_timer(std::move(on)) { m_timer.expires_at(forever()); }

    // Until the next notify(). Bounded by the life of what notifies: every owner notifies when it stops.
    net::awaitable<void> wait() {
        boost::system::error_code ignored;
        co_await m_timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    }
    void notify() { m_timer.expires_at(forever()); }  // cancels all that wait

private:
    static boost::asio::steady_timer::time_point forever() { return boost::asio::steady_timer::time_point::max(); }
    boost::asio::steady_timer m_timer;
};

}  // namespace cess::layer
