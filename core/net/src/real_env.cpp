#include <core/net/blocking.hpp>
#include <core/net/real_env.hpp>

#include <core/base/log.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <pthread.h>
#include <csignal>
#include <cstdlib>
#include <thread>

namespace cess::net {
namespace asio = boost::asio;

namespace {
thread_local bool runs_coroutines = false;
}

bool on_executor_thread() noexcept { return runs_coroutines; }

namespace detail {
void require_blocking_allowed() noexcept {
    if (!runs_coroutines) return;
    log::error("net", "a blocking call was made on an executor thread");
    std::abort();
}
}  // namespace detail

struct real_env::state {
    explicit state(unsigned n) : context(static_cast<int>(n)), work(context.get_executor()) {}
    asio::io_context context;
    asio::executor_work_guard<asio::io_context::executor_type> work;
    std::vector<std::thread> threads;
};

real_env::real_env(unsigned threads) : m_state(std::make_unique<state>(threads == 0 ? 1 : threads)) {
    for (unsigned i = 0; i < (threads == 0 ? 1 : threads); ++i) {
        m_state->threads.emplace_back([s = m_state.get()] {
            // Signals belong to the program's own threads.
            sigset_t all;
            sigfillset(&all);
            pthread_sigmask(SIG_BLOCK, &all, nullptr);
            pthread_setname_np(pthread_self(), "cess-net");
            runs_coroutines = true;
            s->context.run();
        });
    }
}

real_env::~real_env() {
    m_state->work.reset();
    m_state->context.stop();
    for (auto& t : m_state->threads) t.join();
}

asio::any_io_executor real_env::executor() { return asio::make_strand(m_state->context.get_executor()); }

awaitable<result<void>> real_env::sleep_until(time_point when) {
    asio::steady_timer timer(co_await asio::this_coro::executor, when);
    boost::system::error_code failed;
    auto token = asio::redirect_error(asio::use_awaitable, failed);
    auto op = timer.async_wait(token);
    co_await std::move(op);
    if (failed) co_return error(errc::canceled, "sleep given up");
    co_return result<void>();
}

}  // namespace cess::net
