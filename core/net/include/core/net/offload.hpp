// Blocking work (disks, bulk cryptography, erasure coding) on threads of its own, awaited from coroutines.
#pragma once

#include <core/net/suspend.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace cess::net {

// A fixed number of threads and a bounded queue. With 0 threads work runs at once on the caller's thread: so a
// simulation stays on one thread. Thread-safe. stop() refuses new work, finishes what is queued, and joins; the
// destructor does too.
class worker_pool {
public:
    explicit worker_pool(unsigned threads, std::size_t queue_max = 1024);
    ~worker_pool();
    worker_pool(const worker_pool&) = delete;
    worker_pool& operator=(const worker_pool&) = delete;

    // errc::exhausted when the queue is full, errc::canceled after stop(). `work` may not throw.
    struct task {
        virtual ~task() = default;
        virtual void run() noexcept = 0;
    };
    result<void> submit(std::unique_ptr<task>& work);  // takes it on success only
    void stop();
    [[nodiscard]] std::size_t queued() const;

private:
    void work();

    const std::size_t m_queue_max;
    const bool m_inline;
    mutable std::mutex m_mutex;
    std::condition_variable m_wake;
    std::deque<std::unique_ptr<task>> m_queue;
    bool m_stopping = false;
    std::vector<std::thread> m_threads;
};

namespace detail {
template <class T>
struct result_of {
    using type = result<T>;
};
template <class T>
struct result_of<result<T>> {
    using type = result<T>;
};

template <class F>
struct offloaded final : worker_pool::task {
    using value = std::invoke_result_t<F>;
    using answer = typename result_of<value>::type;
    offloaded(F f, resumption<answer> d) : function(std::move(f)), done(std::move(d)) {}
    void run() noexcept override {
        if constexpr (std::is_void_v<value>) {
            function();
            done(answer());
        } else {
            done(answer(function()));
        }
    }
    F function;
    resumption<answer> done;
};
template <class F>
struct offloading {
    worker_pool* pool;
    F function;
    void operator()(resumption<typename offloaded<F>::answer> done) {
        auto work = std::make_unique<offloaded<F>>(std::move(function), std::move(done));
        std::unique_ptr<worker_pool::task> task = std::move(work);
        auto taken = pool->submit(task);
        if (taken) return;
        static_cast<offloaded<F>&>(*task).done(std::move(taken).error());
    }
};
}  // namespace detail

// Runs f() (→ T or result<T>) on the pool and resumes here with result<T>. Not cancellable: what f refers to stays
// alive because the awaiting coroutine waits for it in any case.
template <class F>
auto offload(worker_pool& pool, F f) -> awaitable<typename detail::offloaded<F>::answer> {
    return suspend<typename detail::offloaded<F>::answer>(detail::offloading<F>{&pool, std::move(f)});
}

}  // namespace cess::net
