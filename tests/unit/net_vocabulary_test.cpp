// The coroutine vocabulary of core/net, on real threads.
#include <core/net/blocking.hpp>
#include <core/net/channel.hpp>
#include <core/net/deadline.hpp>
#include <core/net/offload.hpp>
#include <core/net/quorum.hpp>
#include <core/net/real_env.hpp>
#include <core/net/retry.hpp>

#include <catch2/catch.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>

using namespace cess;
using namespace cess::net;
using namespace std::chrono_literals;

namespace {

// Counts coroutines that are alive through it.
struct alive {
    explicit alive(std::atomic<int>& in) : n(&in) { ++*n; }
    alive(const alive& o) : n(o.n) { ++*n; }
    ~alive() { --*n; }
    std::atomic<int>* n;
};

awaitable<result<int>> answer_after(env& world, duration d, int value) {
    auto slept = co_await world.sleep_for(d);
    if (!slept) co_return std::move(slept).error();
    if (value < 0) co_return error(errc::unavailable, "negative");
    co_return value;
}

awaitable<void> sleep_for_ever(env& world, std::atomic<int>& n) {
    alive here(n);
    for (;;) (void)co_await world.sleep_for(1h);
}

awaitable<result<std::size_t>> start_and_stop(env& world, std::atomic<int>& n) {
    task_group group(co_await boost::asio::this_coro::executor);
    for (int i = 0; i < 100; ++i) {
        auto task = sleep_for_ever(world, n);
        group.spawn_on(world.executor(), std::move(task));
    }
    (void)co_await world.sleep_for(5ms);
    const auto running = group.running();
    co_await group.stop();
    auto late = sleep_for_ever(world, n);
    if (group.spawn(std::move(late))) co_return error(errc::invalid, "spawned after stop");
    co_return running;
}

awaitable<void> touch(std::shared_ptr<alive>, std::atomic<int>& touched) {
    ++touched;
    co_return;
}

// Cancelled while it sleeps, it never comes to join(): what it spawned last has not started, and uses what it lent.
awaitable<void> owner_given_up(env& world, std::atomic<int>& n, std::atomic<int>& touched) {
    task_group group(co_await boost::asio::this_coro::executor);
    (void)co_await world.sleep_for(1h);
    auto here = std::make_shared<alive>(n);
    auto task = touch(std::move(here), touched);
    group.spawn(std::move(task));
    co_await group.join();
}

awaitable<result<int>> give_an_owner_up(env& world, std::atomic<int>& n, std::atomic<int>& touched) {
    task_group owners(co_await boost::asio::this_coro::executor);
    auto owner = owner_given_up(world, n, touched);
    owners.spawn(std::move(owner));
    (void)co_await world.sleep_for(1ms);
    co_await owners.stop();
    (void)co_await world.sleep_for(1ms);
    co_return touched.load();
}

}  // namespace

namespace {

awaitable<void> raise_flag(env& world, bool& begun, bool& ended) {
    begun = true;
    (void)co_await world.sleep_for(1ms);
    ended = true;
}

awaitable<result<std::pair<bool, bool>>> begun_at_once(env& world) {
    const auto here = co_await boost::asio::this_coro::executor;
    task_group group(here);
    bool begun = false, ended = false;
    auto task = raise_flag(world, begun, ended);
    const bool taken = group.spawn_here(here, std::move(task));
    const std::pair<bool, bool> seen(taken && begun, ended);
    co_await group.join();
    if (!ended) co_return error(errc::invalid, "joined before its end");
    group.cancel();
    auto late = raise_flag(world, begun, ended);
    if (group.spawn_here(here, std::move(late))) co_return error(errc::invalid, "spawned after its end");
    co_return seen;
}

struct keep_resumption {
    resumption<result<int>>* into;
    std::atomic<bool>* kept;
    void operator()(resumption<result<int>> r) {
        *into = std::move(r);
        *kept = true;
    }
};

awaitable<void> wait_for_it(keep_resumption start, std::thread::id& where) {
    auto op = suspend<result<int>>(std::move(start));
    (void)co_await std::move(op);
    where = std::this_thread::get_id();
}

// Ends the wait of a coroutine of `there`: whether it has gone on, on this thread, when the call returns.
awaitable<result<bool>> goes_on_inside(boost::asio::any_io_executor there) {
    task_group group(there);
    resumption<result<int>> waiting;
    std::atomic<bool> kept = false;
    std::thread::id where;
    const keep_resumption start{&waiting, &kept};
    auto task = wait_for_it(start, where);
    const bool same = there == co_await boost::asio::this_coro::executor;
    same ? group.spawn_here(there, std::move(task)) : group.spawn(std::move(task));
    while (!kept) std::this_thread::yield();
    waiting.at_once(1);
    const bool inside = same && where == std::this_thread::get_id();
    co_await group.join();
    if (!same && where == std::this_thread::get_id()) co_return error(errc::invalid, "on the wrong thread");
    co_return inside;
}

// Suspended for ever on one executor, with a timer of another.
awaitable<void> hold_timer_of(boost::asio::any_io_executor other, std::atomic<int>& n) {
    alive here(n);
    boost::asio::steady_timer foreign(other, 1h);
    co_await foreign.async_wait(boost::asio::use_awaitable);
}

}  // namespace

TEST_CASE("an env that goes drops what is suspended, also if it holds another thread's timer") {
    std::atomic<int> n = 0;
    {
        real_env world(3);
        for (int i = 0; i < 9; ++i) {  // each thread's coroutines hold timers of each
            const auto on = world.executor();
            for (int skip = i / 3; skip > 0; --skip) (void)world.executor();
            boost::asio::co_spawn(on, hold_timer_of(world.executor(), n), boost::asio::detached);
        }
        while (n < 9) std::this_thread::yield();
    }
    CHECK(n == 0);
}

TEST_CASE("a task spawned here has begun, and ends like any other") {
    real_env world(1);
    CHECK(wait(world, begun_at_once(world)).value() == std::pair(true, false));
}

TEST_CASE("a wait ended at once goes on inside the call on its own thread, and on its own thread only") {
    real_env one(1), other(1);
    CHECK(wait(one, goes_on_inside(one.executor())).value());
    CHECK_FALSE(wait(one, goes_on_inside(other.executor())).value());
}

TEST_CASE("waiting from a thread gives the coroutine's result or its error") {
    real_env world(2);
    CHECK(wait(world, answer_after(world, 1ms, 7)).value() == 7);
    CHECK(wait(world, answer_after(world, 1ms, -1)).error().code == errc::unavailable);
    CHECK_FALSE(on_executor_thread());
}

TEST_CASE("a stopped task group has cancelled and awaited every task and takes no more") {
    real_env world(2);
    std::atomic<int> n = 0;
    for (int round = 0; round < 20; ++round) {
        CHECK(wait(world, start_and_stop(world, n)).value() == 100);
        CHECK(n == 0);
    }
}

TEST_CASE("no task starts once its owner is gone, and its frame is freed") {
    real_env world(1);
    std::atomic<int> n = 0, touched = 0;
    for (int round = 0; round < 20; ++round) CHECK(wait(world, give_an_owner_up(world, n, touched)).value() == 0);
    CHECK(n == 0);
}

TEST_CASE("an operation past its deadline times out, one before it does not") {
    real_env world(2);
    const auto began = world.now();
    CHECK(wait(world, with_deadline<int>(world, answer_after(world, 10s, 1), world.now() + 20ms)).error().code == errc::timeout);
    CHECK(world.now() - began < 5s);
    CHECK(wait(world, with_deadline<int>(world, answer_after(world, 1ms, 3), world.now() + 10s)).value() == 3);
    CHECK(wait(world, with_deadline<int>(world, answer_after(world, 1ms, -3), world.now() + 10s)).error().code == errc::unavailable);
    CHECK(world.now() - began < 5s);
}

TEST_CASE("deadlines nest and the nearest one counts") {
    real_env world(1);
    auto inner = with_deadline<int>(world, answer_after(world, 10s, 1), world.now() + 9s);
    auto outer = with_deadline<int>(world, std::move(inner), world.now() + 20ms);
    CHECK(wait(world, std::move(outer)).error().code == errc::timeout);
}

TEST_CASE("a quorum goes on with the first k and cancels the slow ones") {
    real_env world(2);
    std::vector<awaitable<result<int>>> ops;
    ops.push_back(answer_after(world, 1h, 0));
    ops.push_back(answer_after(world, 1ms, 1));
    ops.push_back(answer_after(world, 1ms, -1));
    ops.push_back(answer_after(world, 5ms, 3));
    struct run {
        static awaitable<result<quorum_result<int>>> go(std::vector<awaitable<result<int>>> all) {
            auto got = co_await first_k<int>(2, std::move(all));
            co_return got;
        }
    };
    auto got = wait(world, run::go(std::move(ops))).value();
    CHECK(got.reached);
    REQUIRE(got.succeeded.size() == 2);
    CHECK(got.succeeded[0].first == 1);
    CHECK(got.succeeded[1].second == 3);
    CHECK(got.failed.size() == 1);
}

TEST_CASE("a quorum that can no longer be reached ends at once") {
    real_env world(2);
    std::vector<awaitable<result<int>>> ops;
    ops.push_back(answer_after(world, 1h, 0));
    ops.push_back(answer_after(world, 1ms, -1));
    ops.push_back(answer_after(world, 1ms, -1));
    struct run {
        static awaitable<result<quorum_result<int>>> go(std::vector<awaitable<result<int>>> all) {
            auto got = co_await first_k<int>(2, std::move(all));
            co_return got;
        }
        static awaitable<result<std::vector<result<int>>>> all(std::vector<awaitable<result<int>>> ops) {
            auto got = co_await all_of<int>(std::move(ops));
            co_return got;
        }
    };
    auto got = wait(world, run::go(std::move(ops))).value();
    CHECK_FALSE(got.reached);
    CHECK(got.failed.size() == 2);

    std::vector<awaitable<result<int>>> more;
    more.push_back(answer_after(world, 3ms, 0));
    more.push_back(answer_after(world, 1ms, -1));
    auto each = wait(world, run::all(std::move(more))).value();
    CHECK(each[0].value() == 0);
    CHECK(each[1].error().code == errc::unavailable);
}

TEST_CASE("retrying goes on while failures are transient and time is left") {
    real_env world(1);
    int calls = 0;
    auto make = [&] { return answer_after(world, 0ms, ++calls < 4 ? -1 : 9); };
    retry_policy quick;
    quick.first = 1ms;
    CHECK(wait(world, retry<int>(world, quick, world.now() + 10s, make)).value() == 9);
    CHECK(calls == 4);
    calls = -1'000'000;
    CHECK(wait(world, retry<int>(world, quick, world.now() + 50ms, make)).error().code == errc::unavailable);
    calls = -1'000'000;
    quick.attempts = 3;
    CHECK(wait(world, retry<int>(world, quick, world.now() + 10s, make)).error().code == errc::unavailable);
    CHECK(calls == -999'997);
}

namespace {
awaitable<result<int>> send_all(bounded_channel<int>& to, int n) {
    for (int i = 1; i <= n; ++i) {
        auto sent = co_await to.send(i);
        if (!sent) co_return std::move(sent).error();
    }
    co_return n;
}
awaitable<result<int>> sum_until_closed(bounded_channel<int>& from) {
    int sum = 0;
    for (;;) {
        auto got = co_await from.receive();
        if (!got) co_return sum;
        sum += *got;
    }
}
awaitable<result<int>> pass_through(env& world, bounded_channel<int>& by) {
    task_group group(co_await boost::asio::this_coro::executor);
    int sum = 0;
    struct summing {
        static awaitable<void> into(bounded_channel<int>& by, int& out) {
            auto got = co_await sum_until_closed(by);
            out = *got;
        }
    };
    auto task = summing::into(by, sum);
    group.spawn_on(world.executor(), std::move(task));
    auto sent = co_await send_all(by, 10'000);
    by.close();
    co_await group.join();
    if (!sent) co_return std::move(sent).error();
    co_return sum;
}
}  // namespace

TEST_CASE("a channel carries everything, never more than its bound at a time, and drains when closed") {
    real_env world(2);
    bounded_channel<int> channel(3);
    CHECK(wait(world, pass_through(world, channel)).value() == 10'000 * 10'001 / 2);
    CHECK(channel.try_send(1).error().code == errc::canceled);
}

TEST_CASE("waits on a channel end by deadline and a full channel refuses to try") {
    real_env world(2);
    bounded_channel<int> channel(1);
    CHECK(wait(world, with_deadline<int>(world, channel.receive(), world.now() + 10ms)).error().code == errc::timeout);
    CHECK(channel.try_send(1).has_value());
    CHECK(channel.try_send(2).error().code == errc::exhausted);
    CHECK(wait(world, with_deadline<void>(world, channel.send(3), world.now() + 10ms)).error().code == errc::timeout);
    CHECK(channel.size() == 1);
    CHECK(wait(world, channel.receive()).value() == 1);
}

TEST_CASE("offloaded work runs on other threads and comes back with its result") {
    real_env world(1);
    worker_pool pool(2, 4);
    CHECK(wait(world, offload(pool, [] { return on_executor_thread() ? 1 : 2; })).value() == 2);
    CHECK(wait(world, offload(pool, []() -> result<int> { return error(errc::io, "disk"); })).error().code == errc::io);
    CHECK(wait(world, offload(pool, [] {})).has_value());
    worker_pool here(0);
    CHECK(wait(world, offload(here, [] { return on_executor_thread() ? 1 : 2; })).value() == 1);
    pool.stop();
    CHECK(wait(world, offload(pool, [] { return 1; })).error().code == errc::canceled);
}

TEST_CASE("a full worker pool refuses work instead of queueing without end") {
    real_env world(2);
    worker_pool pool(1, 2);
    std::atomic<bool> go = false;
    std::atomic<int> refused = 0, done = 0;
    struct run {
        static awaitable<void> one(worker_pool& pool, std::atomic<bool>& go, std::atomic<int>& refused, std::atomic<int>& done) {
            auto work = offload(pool, [&go] { go.wait(false); });
            auto got = co_await std::move(work);
            ++(got ? done : refused);
        }
        static awaitable<result<int>> all(env& world, worker_pool& pool, std::atomic<bool>& go, std::atomic<int>& refused, std::atomic<int>& done) {
            task_group group(co_await boost::asio::this_coro::executor);
            for (int i = 0; i < 10; ++i) group.spawn(one(pool, go, refused, done));
            (void)co_await world.sleep_for(20ms);
            go = true;
            go.notify_all();
            co_await group.join();
            co_return 0;
        }
    };
    CHECK(wait(world, run::all(world, pool, go, refused, done)));
    CHECK(done >= 2);
    CHECK(done <= 3);
    CHECK(done + refused == 10);
}
