#include "frame.hpp"

#include <core/net/deadline.hpp>
#include <core/net/local_network.hpp>
#include <core/net/refusal.hpp>
#include <core/net/suspend.hpp>

#include <atomic>

namespace cess::net {
namespace asio = boost::asio;

struct local_network::state : std::enable_shared_from_this<state> {
    explicit state(env& w) : world(w), serving(w.executor()) {}
    env& world;
    task_group serving;
    std::mutex mutex;
    std::map<node_id, service*> services;
    std::map<node_id, fate> fates;

    service* find(const node_id& id) {
        std::lock_guard lock(mutex);
        const auto at = services.find(id);
        return at == services.end() ? nullptr : at->second;
    }
    fate fate_of(const node_id& id, const request& what) {
        std::lock_guard lock(mutex);
        const auto at = fates.find(id);
        return at != fates.end() && (!at->second.only || at->second.only(what)) ? at->second : fate();
    }
};

namespace {

// One call under way: who comes first, the reply or the caller's giving up, takes the resumption.
struct flight {
    std::mutex mutex;
    resumption<result<reply>> waiting;
    void land(result<reply> with) {
        std::unique_lock lock(mutex);
        if (!waiting) return;
        auto done = std::move(waiting);
        lock.unlock();
        done(std::move(with));
    }
};

awaitable<void> carry(std::shared_ptr<local_network::state> on, node_id to, node_id from, request what, local_network::fate met, std::shared_ptr<flight> trip) {
    if (met.delay > duration::zero()) {
        auto slept = co_await on->world.sleep_for(met.delay);
        if (!slept) co_return trip->land(std::move(slept).error());
    }
    auto* at = on->find(to);  // it may have died on the way
    if (at == nullptr) co_return trip->land(error(errc::unavailable, "node " + to.brief() + " is not there"));
    auto answer = co_await at->serve(from, std::move(what));
    if (met.lose_replies) co_return;
    if (met.alter) met.alter(answer);
    if (answer.failure.code != errc::ok) co_return trip->land(refusal_of_peer(std::move(answer.failure)));
    trip->land(std::move(answer));
}

struct departing {
    std::shared_ptr<local_network::state> on;
    node_id to;
    node_id from;
    request what;
    local_network::fate met;
    std::shared_ptr<flight> trip;

    void operator()(resumption<result<reply>> waiting) {
        waiting.on_cancel([weak = std::weak_ptr<flight>(trip)] {
            if (auto t = weak.lock()) t->land(error(errc::canceled, "call given up"));
        });
        trip->waiting = std::move(waiting);
        if (met.lose_requests) return;
        auto task = carry(on, to, from, std::move(what), std::move(met), trip);
        if (!on->serving.spawn_on(on->world.executor(), std::move(task))) trip->land(error(errc::unavailable, "network is stopped"));
    }
};

class local_caller final : public caller {
public:
    local_caller(std::shared_ptr<local_network::state> on, node_id self) : m_on(std::move(on)), m_self(self) {}

    awaitable<result<reply>> call(peer to, request what, time_point deadline, lane) override {
        auto on = m_on;
        if (what.head.size() > head_size_max || what.body.size() > body_size_max) co_return error(errc::too_large, "request");
        auto met = on->fate_of(to.id, what);
        if (met.down || on->find(to.id) == nullptr) co_return error(errc::unavailable, "node " + to.id.brief() + " is not there");
        auto trip = std::make_shared<flight>();  // lives here, so that a lost call waits for its deadline
        departing start{on, to.id, m_self, std::move(what), std::move(met), trip};
        auto op = suspend<result<reply>>(std::move(start));
        auto timed = with_deadline<reply>(on->world, std::move(op), deadline);
        co_return co_await std::move(timed);
    }

private:
    std::shared_ptr<local_network::state> m_on;
    node_id m_self;
};

}  // namespace

local_network::local_network(env& world) : m_state(std::make_shared<state>(world)) {}
local_network::~local_network() = default;

void local_network::add(node_id id, service& at) {
    std::lock_guard lock(m_state->mutex);
    m_state->services[id] = &at;
}
void local_network::remove(const node_id& id) {
    std::lock_guard lock(m_state->mutex);
    m_state->services.erase(id);
}
void local_network::set_fate(const node_id& id, fate what) {
    std::lock_guard lock(m_state->mutex);
    m_state->fates[id] = std::move(what);
}
std::unique_ptr<caller> local_network::caller_as(node_id self) { return std::make_unique<local_caller>(m_state, self); }
awaitable<void> local_network::stop() { return m_state->serving.stop(); }

}  // namespace cess::net
