#include "read_together.hpp"

#include <core/net/blocking.hpp>
#include <core/net/refusal.hpp>

#include <algorithm>

namespace cess::layer {
namespace {

using namespace std::chrono_literals;

constexpr unsigned requests_in_flight = 4;               // to one miner
constexpr std::size_t parts_max = 16;                    // of a request: a miner reads them one after the other
constexpr net::duration expiry_interval = 100ms;
static_assert(parts_max <= storage::ranges_max && parts_max * small_read_max <= storage::ranges_bytes_max);

net::awaitable<result<int>> stopped(net::task_group& tasks) {
    auto op = tasks.stop();
    co_await std::move(op);
    co_return 0;
}

}  // namespace

// A read that waits. What comes first, its answer, its deadline or its reader's giving up, ends it.
struct read_together::part {
    part(const storage::fragment_range& w, net::time_point d) : what(w), deadline(d) {}
    const storage::fragment_range what;
    const net::time_point deadline;
    std::mutex mutex;
    net::resumption<result<bytes>> waiting;

    void end(result<bytes> with) {
        std::unique_lock hold(mutex);
        if (!waiting) return;
        auto done = std::move(waiting);
        hold.unlock();
        done(std::move(with));
    }
    [[nodiscard]] bool ended() {
        const std::lock_guard hold(mutex);
        return !waiting;
    }
};

struct read_together::joining {
    read_together* in;
    node_id miner;
    std::shared_ptr<part> what;
    void operator()(net::resumption<result<bytes>> done) {
        done.on_cancel([weak = std::weak_ptr<part>(what)] {
            if (const auto p = weak.lock()) p->end(error(errc::canceled, "read given up"));
        });
        what->waiting = std::move(done);
        in->join(miner, std::move(what));
    }
};

// The parts of one request, known to its queue while it is under way. What it leaves unanswered is given up.
struct read_together::batch {
    batch(read_together& owner, queue& q) : in(owner), of(q) {}
    batch(const batch&) = delete;
    batch& operator=(const batch&) = delete;
    ~batch() {
        {
            const std::lock_guard hold(in.m_mutex);
            std::erase(of.under_way, this);
        }
        end(error(errc::canceled, "read given up"));
    }
    void end(const error& why) {
        for (const auto& p : parts) p->end(why);
    }
    read_together& in;
    queue& of;
    std::vector<std::shared_ptr<part>> parts;
};

// A coroutine's right to have a request under way. What came after its last look at the queue is for the next.
struct read_together::turn {
    turn(read_together& owner, const node_id& m, queue& q) : in(owner), miner(m), of(q) {}
    turn(const turn&) = delete;
    turn& operator=(const turn&) = delete;
    ~turn() {
        const std::lock_guard hold(in.m_mutex);
        --of.turns;
        if (!of.waiting.empty()) in.serve_another(miner, of);
    }
    read_together& in;
    const node_id miner;
    queue& of;
};

read_together::read_together(net::env& world, miner_link& link, counter& requests)
    : m_world(world), m_link(link), m_requests(requests), m_tasks(world.executor()) {}

read_together::~read_together() { (void)net::wait(m_world, stopped(m_tasks)); }

net::awaitable<result<bytes>> read_together::read(node_id miner, storage::fragment_range what, net::time_point deadline) {
    joining start{this, miner, std::make_shared<part>(what, deadline)};
    auto op = net::suspend<result<bytes>>(std::move(start));
    co_return co_await std::move(op);
}

void read_together::join(const node_id& miner, std::shared_ptr<part> what) {
    const std::lock_guard hold(m_mutex);
    auto& of = m_queues[miner];
    of.waiting.push_back(std::move(what));
    serve_another(miner, of);
    if (!m_expiring) m_expiring = m_tasks.spawn(expire());
}

void read_together::serve_another(const node_id& miner, queue& of) {
    if (of.starting || of.turns >= requests_in_flight) return;
    ++of.turns;
    of.starting = true;
    if (m_tasks.spawn(serve(miner))) return;
    --of.turns;
    of.starting = false;
    for (const auto& p : of.waiting) p->end(error(errc::canceled, "read given up"));
    of.waiting.clear();
}

// It starts behind what is ready to run, so that reads made together are all in the queue.
net::awaitable<void> read_together::serve(node_id miner) {
    auto* of = [&] {
        const std::lock_guard hold(m_mutex);
        return &m_queues[miner];  // stays where it is
    }();
    const turn mine(*this, miner, *of);
    for (;;) {
        batch next(*this, *of);
        take(miner, *of, next);
        if (next.parts.empty()) co_return;
        co_await ask(miner, next);
    }
}

void read_together::take(const node_id& miner, queue& from, batch& into) {
    const auto now = m_world.now();
    const std::lock_guard hold(m_mutex);
    while (!from.waiting.empty() && into.parts.size() < parts_max) {
        auto first = std::move(from.waiting.front());
        from.waiting.pop_front();
        if (first->deadline <= now) first->end(error(errc::timeout, "deadline passed"));
        if (!first->ended()) into.parts.push_back(std::move(first));
    }
    from.starting = false;
    if (into.parts.empty()) return;
    from.under_way.push_back(&into);
    if (!from.waiting.empty()) serve_another(miner, from);
}

net::awaitable<void> read_together::ask(node_id miner, batch& what) {
    storage::get_ranges_request asked;
    net::time_point deadline{};
    for (const auto& p : what.parts) {
        asked.ranges.push_back(p->what);
        deadline = std::max(deadline, p->deadline);
    }
    m_requests.add();
    const auto sent = m_world.now();
    auto answer = co_await m_link.ask<storage::get_ranges_reply>(miner, storage::method::get_ranges, std::move(asked), byte_view(), deadline, net::lane::bulk,
                                                                 judging::by_caller);
    if (answer)
        hand_out(miner, what, std::move(*answer), m_world.now() - sent);
    else
        what.end(answer.error());
}

void read_together::hand_out(const node_id& miner, batch& what, net::typed_reply<storage::get_ranges_reply> answer, net::duration took) {
    const auto& outcomes = answer.message.outcomes;
    std::uint64_t expected = 0;
    for (std::size_t i = 0; i < std::min(outcomes.size(), what.parts.size()); ++i)
        if (outcomes[i].code == 0) expected += what.parts[i]->what.length;
    if (outcomes.size() != what.parts.size() || answer.body.size() != expected) {
        m_link.directory().failed(miner);
        m_link.directory().distrust(miner);
        return what.end(error(errc::corrupt, "miner " + miner.brief() + " sent " + std::to_string(answer.body.size()) + " bytes for " +
                                                 std::to_string(outcomes.size()) + " ranges instead of " + std::to_string(expected) + " for " +
                                                 std::to_string(what.parts.size())));
    }
    bool answered = false, faulty = false;
    byte_view rest = answer.body;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
        auto& p = *what.parts[i];
        if (outcomes[i].code == 0) {
            p.end(to_bytes(rest.first(p.what.length)));
            rest = rest.subspan(p.what.length);
            answered = true;
            continue;
        }
        auto why = net::refusal_of_peer(outcomes[i].code, as_view(outcomes[i].why));
        faulty = faulty || is_miners_fault(why.code);
        p.end(std::move(why).with_context("miner " + miner.brief()));
    }
    if (answered || !faulty) m_link.directory().succeeded(miner, took);
    if (faulty) m_link.directory().failed(miner);
}

// A request waits as long as the most patient of its parts does; the others are ended in time here. Runs only while
// something waits, and looks so seldom that it costs nothing.
net::awaitable<void> read_together::expire() {
    for (;;) {
        auto slept = co_await m_world.sleep_for(expiry_interval);
        if (!slept) co_return;
        if (!expire_late(m_world.now())) co_return;
    }
}

// False, and no longer running, if nothing waits.
bool read_together::expire_late(net::time_point now) {
    const auto late = [now](const std::shared_ptr<part>& p) {
        if (p->deadline <= now) p->end(error(errc::timeout, "deadline passed"));
        return p->ended();
    };
    const std::lock_guard hold(m_mutex);
    bool waiting = false;
    for (auto& [miner, of] : m_queues) {
        std::erase_if(of.waiting, late);
        for (const auto* each : of.under_way)
            for (const auto& p : each->parts) (void)late(p);
        waiting = waiting || !of.waiting.empty() || !of.under_way.empty();
    }
    m_expiring = waiting;
    return waiting;
}

}  // namespace cess::layer
