#include <core/net/deadline.hpp>
#include <core/net/blocking.hpp>
#include <core/net/suspend.hpp>
#include <core/net/task_group.hpp>

#include <core/base/log.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>

#include <list>
#include <mutex>
#include <optional>
#include <vector>

namespace cess::net {
namespace asio = boost::asio;

namespace {

bool is_cancellation(const std::exception_ptr& thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const boost::system::system_error& e) {
        return e.code() == asio::error::operation_aborted;
    } catch (...) {
        return false;
    }
}

std::exception_ptr unless_cancelled(std::exception_ptr thrown) {
    if (!thrown || is_cancellation(thrown)) return nullptr;
    try {
        std::rethrow_exception(thrown);
    } catch (const std::exception& e) {
        log::error("net", "a task ended with an exception: {}", e.what());
    } catch (...) {
        log::error("net", "a task ended with an exception that is none of the library's");
    }
    return thrown;
}

}  // namespace

struct task_group::state : std::enable_shared_from_this<state> {
    struct task {
        asio::any_io_executor executor;
        asio::cancellation_signal signal;
    };
    using place = std::list<std::shared_ptr<task>>::iterator;

    std::mutex mutex;
    bool stopping = false;
    std::list<std::shared_ptr<task>> tasks;
    std::vector<resumption<result<void>>> joiners;
    std::exception_ptr broken;  // what a task threw that was not its cancellation, and nobody was told
    listener tell;

    bool is_stopping() {
        std::lock_guard lock(mutex);
        return stopping;
    }
    // No place once the group is stopping.
    std::optional<place> enter(asio::any_io_executor on) {
        auto entry = std::make_shared<task>();
        entry->executor = std::move(on);
        std::lock_guard lock(mutex);
        if (stopping) return std::nullopt;
        return tasks.insert(tasks.end(), std::move(entry));
    }
    // REQUIRES: on the task's executor
    void start(place at, awaitable<void> what) {
        auto entry = *at;
        auto done = [s = shared_from_this(), at](std::exception_ptr thrown) { s->ended(at, s->untold(std::move(thrown))); };
        asio::co_spawn(entry->executor, std::move(what), asio::bind_cancellation_slot(entry->signal.slot(), std::move(done)));
    }
    void cancel() {
        std::lock_guard lock(mutex);
        if (std::exchange(stopping, true)) return;
        for (const auto& t : tasks) asio::post(t->executor, [t] { t->signal.emit(asio::cancellation_type::terminal); });
    }
    std::exception_ptr untold(std::exception_ptr thrown) {
        if (!tell) return unless_cancelled(std::move(thrown));
        if (thrown && !is_cancellation(thrown)) tell(std::move(thrown));
        return nullptr;
    }
    void ended(place at, std::exception_ptr thrown) {
        std::vector<resumption<result<void>>> told;
        {
            std::lock_guard lock(mutex);
            tasks.erase(at);
            if (thrown && !broken) broken = std::move(thrown);
            if (tasks.empty()) told.swap(joiners);
        }
        for (auto& t : told) t(result<void>());
    }
    void join(resumption<result<void>> done) {
        done.on_cancel([weak = weak_from_this()] {
            if (auto self = weak.lock()) self->cancel();
        });
        std::unique_lock lock(mutex);
        if (!tasks.empty()) return joiners.push_back(std::move(done));
        lock.unlock();
        done(result<void>());
    }
};

namespace {

struct joining {
    std::shared_ptr<task_group::state> on;
    void operator()(resumption<result<void>> done) { on->join(std::move(done)); }
};

}  // namespace

task_group::task_group(asio::any_io_executor on) : m_executor(std::move(on)), m_state(std::make_shared<state>()) {}
task_group::task_group(asio::any_io_executor on, listener broken) : task_group(std::move(on)) { m_state->tell = std::move(broken); }
task_group::~task_group() { cancel(); }

bool task_group::spawn(awaitable<void> task) { return spawn_on(m_executor, std::move(task)); }

bool task_group::spawn_on(asio::any_io_executor on, awaitable<void> what) {
    const auto at = m_state->enter(on);
    if (!at) return false;
    // By post, since co_spawn may start a task on the spot, and so that no cancellation comes before it has started.
    asio::post(on, [s = m_state, at = *at, what = std::move(what)]() mutable {
        if (s->is_stopping()) {
            // Its owner may have been cancelled before it came to join(), and be gone: nothing that it lent may be touched.
            { const auto dropped = std::move(what); }
            return s->ended(at, nullptr);
        }
        s->start(at, std::move(what));
    });
    return true;
}

// A cancellation is posted to `on`, and so comes after the start.
bool task_group::spawn_here(asio::any_io_executor on, awaitable<void> what) {
    const auto at = m_state->enter(std::move(on));
    if (at) m_state->start(*at, std::move(what));
    return at.has_value();
}

void task_group::cancel() { m_state->cancel(); }

awaitable<void> task_group::join() {
    auto keep = m_state;
    auto op = suspend<result<void>>(joining{keep});
    (void)co_await std::move(op);
    std::exception_ptr broken;
    {
        std::lock_guard lock(keep->mutex);
        broken = std::exchange(keep->broken, nullptr);
    }
    if (broken) std::rethrow_exception(broken);
}

awaitable<void> task_group::stop() {
    cancel();
    return join();
}

std::size_t task_group::running() const {
    std::lock_guard lock(m_state->mutex);
    return m_state->tasks.size();
}

bool task_group::stopping() const { return m_state->is_stopping(); }

namespace detail {

awaitable<void> ring_at(env& world, time_point when, bool& rang, task_group& all) {
    auto slept = co_await world.sleep_until(when);
    if (!slept) co_return;
    rang = true;
    all.cancel();
}

error error_of(std::exception_ptr thrown) {
    if (!unless_cancelled(thrown)) return error(errc::canceled, "operation given up");
    std::rethrow_exception(thrown);
}

}  // namespace detail
}  // namespace cess::net
