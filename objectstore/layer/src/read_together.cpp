#include "read_together.hpp"

#include <core/net/blocking.hpp>
#include <core/net/refusal.hpp>

#include <algorithm>

namespace cess::layer {
namespace {

using namespace std::chrono_literals;

constexpr unsigned requests_in_flight = 4;               // to one miner
constexpr std::size_t parts_max = 16;                    // of a request: a miner reads them one after the other
constexpr net::duration expiry_interval = 25ms;
static_assert(parts_max <= storage::ranges_max && parts_max * small_read_max <= storage::ranges_bytes_max);

net::awaitable<result<int>> stopped(net::task_group& tasks) {
    auto op = tasks.stop();
    co_await std::move(op);
    co_return 0;
}

}  // namespace

// A read that waits. What comes first, its answer, its deadline or its reader's giving up, ends it.
struct read_together::part {
    part(const storage::fragment_range& w, net::time_point d, net::time_point a) : what(w), deadline(d), asked_until(a) {}
    const storage::fragment_range what;
    const net::time_point deadline;     // of whoever waits
    const net::time_point asked_until;  // of the request, which says of the miner what its reader has no time for
    std::mutex mutex;
    finished waiting;

    void end(result<bytes> with) {
        std::unique_lock hold(mutex);
        const auto done = std::exchange(waiting, nullptr);
        hold.unlock();
        if (done) done(std::move(with));
    }
    [[nodiscard]] bool ended() {
        const std::lock_guard hold(mutex);
        return !waiting;
    }
};

void read_together::give_up(const parts& what) {
    for (const auto& p : what) p->end(error(errc::canceled, "read given up"));
}

struct read_together::joining {
    read_together* in;
    node_id miner;
    std::shared_ptr<part> what;
    void operator()(net::resumption<result<bytes>> done) {
        done.on_cancel([weak = std::weak_ptr<part>(what)] {
            if (const auto p = weak.lock()) p->end(error(errc::canceled, "read given up"));
        });
        const auto resume = std::make_shared<net::resumption<result<bytes>>>(std::move(done));
        what->waiting = [resume](result<bytes> got) { (*resume)(std::move(got)); };
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
        std::unique_lock hold(in.m_mutex);
        --of.turns;
        if (of.waiting.empty()) return;
        const auto refused = in.serve_another(miner, of);
        hold.unlock();
        give_up(refused);
    }
    read_together& in;
    const node_id miner;
    queue& of;
};

read_together::read_together(net::env& world, miner_link& link, counter& requests)
    : m_world(world), m_link(link), m_requests(requests), m_tasks(world.executor()) {}

read_together::~read_together() { (void)net::wait(m_world, stopped(m_tasks)); }

net::awaitable<result<bytes>> read_together::read(node_id miner, storage::fragment_range what, net::time_point deadline) {
    joining start{this, miner, std::make_shared<part>(what, deadline, deadline)};
    auto op = net::suspend<result<bytes>>(std::move(start));
    co_return co_await std::move(op);
}

void read_together::read(const node_id& miner, const storage::fragment_range& what, reading_until until, finished done) {
    auto p = std::make_shared<part>(what, until.answer, until.request);
    p->waiting = std::move(done);
    join(miner, std::move(p));
}

void read_together::join(const node_id& miner, std::shared_ptr<part> what) {
    std::unique_lock hold(m_mutex);
    auto& of = m_queues[miner];
    of.waiting.push_back(std::move(what));
    const auto refused = serve_another(miner, of);
    if (!m_expiring) m_expiring = m_tasks.spawn(expire());
    hold.unlock();
    give_up(refused);
}

read_together::parts read_together::serve_another(const node_id& miner, queue& of) {
    if (of.starting || of.turns >= requests_in_flight) return {};
    ++of.turns;
    of.starting = true;
    if (m_tasks.spawn(serve(miner))) return {};
    --of.turns;
    of.starting = false;
    parts refused(of.waiting.begin(), of.waiting.end());
    of.waiting.clear();
    return refused;
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
    parts refused;
    {
        const std::lock_guard hold(m_mutex);
        while (!from.waiting.empty() && into.parts.size() < parts_max) {
            auto first = std::move(from.waiting.front());
            from.waiting.pop_front();
            if (!first->ended()) into.parts.push_back(std::move(first));
        }
        from.starting = false;
        if (into.parts.empty()) return;
        from.under_way.push_back(&into);
        if (!from.waiting.empty()) refused = serve_another(miner, from);
    }
    give_up(refused);
}

net::awaitable<void> read_together::ask(node_id miner, batch& what) {
    storage::get_ranges_request asked;
    net::time_point deadline{};
    for (const auto& p : what.parts) {
        asked.ranges.push_back(p->what);
        deadline = std::max(deadline, p->asked_until);
    }
    m_requests.add();
    const auto sent = m_world.now();
    auto answer = co_await m_link.ask<storage::get_ranges_reply>(miner, storage::method::get_ranges, std::move(asked), net::request_body(), deadline, net::lane::bulk,
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

// A request waits as long as the most patient of its parts has it; who waits is told in time here. Runs only while
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
    parts late, unsent;
    const auto out_of_time = [now](const std::shared_ptr<part>& p, parts& into) {
        if (p->deadline > now) return p->ended();
        into.push_back(p);
        return true;
    };
    bool waiting = false;
    {
        const std::lock_guard hold(m_mutex);
        for (auto& [miner, of] : m_queues) {
            std::erase_if(of.waiting, [&](const std::shared_ptr<part>& p) { return out_of_time(p, unsent); });
            for (const auto* each : of.under_way)
                for (const auto& p : each->parts) (void)out_of_time(p, late);
            waiting = waiting || !of.waiting.empty() || !of.under_way.empty();
        }
        m_expiring = waiting;
    }
    for (const auto& p : late) p->end(error(errc::timeout, "deadline passed"));
    for (const auto& p : unsent) p->end(error(errc::exhausted, "deadline passed before its turn came"));
    return waiting;
}

}  // namespace cess::layer
