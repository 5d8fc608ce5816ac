#include <core/net/blocking.hpp>
#include <core/net/real_env.hpp>

#include <core/base/log.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <pthread.h>
#include <algorithm>
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

// One thread and what runs on it. Its own context, not a share of one: threads that share a context wake each other for
// every event, and lock for every post.
struct real_env::loop final : asio::io_context {
    loop() : asio::io_context(1), work(get_executor()) {}
    using asio::execution_context::shutdown;
    asio::executor_work_guard<executor_type> work;
    std::thread thread;
};

void real_env::run(loop& on) {
    // Signals belong to the program's own threads.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    pthread_setname_np(pthread_self(), "cess-net");
    runs_coroutines = true;
    on.run();
}

real_env::real_env(unsigned threads) {
    for (unsigned i = 0; i < std::max(threads, 1U); ++i) m_loops.push_back(std::make_unique<loop>());
    for (auto& each : m_loops) each->thread = std::thread([on = each.get()] { run(*on); });
}

real_env::~real_env() {
    for (auto& each : m_loops) {
        each->work.reset();
        each->stop();
    }
    for (auto& each : m_loops) each->thread.join();
    // What is suspended on one may hold timers and sockets of another: all is dropped before the first context goes, and
    // once more what those drops posted.
    for (int round = 0; round < 2; ++round)
        for (auto& each : m_loops) each->shutdown();
}

asio::any_io_executor real_env::executor() { return m_loops[m_next++ % m_loops.size()]->get_executor(); }

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
