#include <support/simulation.hpp>

#include <boost/asio/detached.hpp>

#include <cstdio>
#include <cstdlib>

namespace cess::simulation {

// ---- the world -------------------------------------------------------------------------------------------

std::chrono::system_clock::time_point world::wall_now() const {
    return std::chrono::system_clock::time_point(std::chrono::seconds(1'800'000'000)) +
           std::chrono::duration_cast<std::chrono::system_clock::duration>(m_now.time_since_epoch());
}

// Waits that never end are dropped while everything they could look at is still there.
world::~world() {
    while (!m_events.empty()) {
        m_times.erase(m_events.begin()->first.second);
        const auto gone = m_events.extract(m_events.begin());
    }
}

namespace {

using nap_done = net::resumption<result<void>>;

struct nap {
    world* in;
    net::time_point until;
    void operator()(nap_done done) {
        auto held = std::make_shared<nap_done>(std::move(done));
        auto id = std::make_shared<world::event>(0);
        std::weak_ptr<nap_done> weak = held;
        held->on_cancel([weak, id, w = in] {
            const auto waiting = weak.lock();
            if (!waiting || !*waiting) return;
            w->cancel(*id);
            (*waiting)(error(errc::canceled));
        });
        *id = in->at(until, [held] {
            if (*held) (*held)(result<void>());
        });
    }
};

}  // namespace

net::awaitable<result<void>> world::sleep_until(net::time_point when) {
    return net::suspend<result<void>>(nap{this, std::max(when, m_now)});
}

world::event world::at(net::time_point when, std::function<void()> what) {
    const auto id = m_next_event++;
    m_events.emplace(std::pair(when, id), std::move(what));
    m_times.emplace(id, when);
    return id;
}

bool world::cancel(event which) {
    const auto found = m_times.find(which);
    if (found == m_times.end()) return false;
    const auto gone = m_events.extract({found->second, which});  // destroyed after the maps are right again
    m_times.erase(found);
    return !gone.empty();
}

bool world::drive(const std::function<bool()>& done, net::time_point limit) {
    for (;;) {
        m_io.restart();
        while (m_io.poll_one() > 0) {
            ++m_steps;
            if (done()) return true;
        }
        if (done()) return true;
        if (m_events.empty() || m_events.begin()->first.first > limit) {
            m_now = std::max(m_now, limit);
            return false;
        }
        auto next = m_events.extract(m_events.begin());
        m_times.erase(next.key().second);
        m_now = std::max(m_now, next.key().first);
        ++m_steps;
        next.mapped()();
    }
}

void world::spawn(net::awaitable<void> op) { boost::asio::co_spawn(m_io, std::move(op), boost::asio::detached); }

net::duration world::between(net::duration low, net::duration high) {
    return low + net::duration(static_cast<std::int64_t>(below(static_cast<std::uint64_t>((high - low).count()) + 1)));
}

void world::trace(std::string_view what) {
    const auto when = m_now.time_since_epoch().count();
    m_trace = crypto::sha256({m_trace.view(), std::as_bytes(std::span(&when, 1)), as_view(what)});
}

void world::stuck() {
    std::fprintf(stderr, "simulation: an operation did not end within its limit\n");
    std::abort();
}

// ---- the network -----------------------------------------------------------------------------------------

struct network::flight {
    node_id from, to;
    net::request what;
    net::time_point deadline;
    world::event timeout = 0;
    net::resumption<result<net::reply>> waiting;
};

class simulated_caller final : public net::caller {
public:
    simulated_caller(network& on, node_id self) : m_on(on), m_self(self) {}
    net::awaitable<result<net::reply>> call(net::peer to, net::request what, net::time_point deadline, net::lane) override {
        auto trip = std::make_shared<network::flight>();
        trip->from = m_self;
        trip->to = to.id;
        trip->what = std::move(what);
        trip->deadline = deadline;
        return net::suspend<result<net::reply>>(start{&m_on, std::move(trip)});
    }

private:
    struct start {
        network* on;
        std::shared_ptr<network::flight> trip;
        void operator()(net::resumption<result<net::reply>> done) {
            trip->waiting = std::move(done);
            std::weak_ptr<network::flight> weak = trip;
            trip->waiting.on_cancel([weak, n = on] {
                if (const auto t = weak.lock()) n->land(t, error(errc::canceled));
            });
            on->depart(std::move(trip));
        }
    };
    network& m_on;
    node_id m_self;
};

std::unique_ptr<net::caller> network::caller_as(const node_id& self) { return std::make_unique<simulated_caller>(*this, self); }

void network::up(const node_id& id, std::shared_ptr<net::service> service) {
    node n;
    n.service = std::move(service);
    n.life = ++m_lives;
    m_nodes.insert_or_assign(id, std::move(n));
}

void network::down(const node_id& id) { m_nodes.erase(id); }

net::duration network::delay() {
    if (m_world.chance(m_sky.straggle_permille)) return m_world.between(m_sky.delay_max, m_sky.straggle_max);
    return m_world.between(m_sky.delay_min, m_sky.delay_max);
}

void network::depart(std::shared_ptr<flight> what) {
    if (m_dead.contains(what->from)) return land(what, error(errc::unavailable, "this process is dead"));
    what->timeout = m_world.at(what->deadline, [this, what] { land(what, error(errc::timeout)); });
    if (!m_world.chance(m_sky.loss_permille)) m_world.at(m_world.now() + delay(), [this, what] { arrive(what); });
    if (m_world.chance(m_sky.duplicate_permille)) m_world.at(m_world.now() + delay(), [this, what] { arrive(what); });
}

namespace {

net::awaitable<net::reply> serve(std::shared_ptr<net::service> by, node_id from, net::request what) {
    co_return co_await by->serve(from, std::move(what));
}

}  // namespace

void network::arrive(std::shared_ptr<flight> what) {
    if (m_cut.contains({what->from, what->to})) return;
    const auto found = m_nodes.find(what->to);
    if (found == m_nodes.end()) {
        m_world.at(m_world.now() + delay(), [this, what] { land(what, error(errc::unavailable, "refused")); });
        return;
    }
    m_world.trace("request " + what->from.brief() + ' ' + what->to.brief() + ' ' + std::to_string(what->what.method));
    const auto life = found->second.life;
    boost::asio::co_spawn(m_world.executor(), serve(found->second.service, what->from, what->what),
                          [this, what, life](std::exception_ptr thrown, net::reply with) {
                              if (!thrown) answer(what, life, std::move(with));
                          });
}

void network::answer(std::shared_ptr<flight> what, std::uint64_t life, net::reply with) {
    const auto found = m_nodes.find(what->to);
    if (found == m_nodes.end() || found->second.life != life) return;
    if (const auto lies = m_lies.find(what->to); lies != m_lies.end() && lies->second) lies->second(what->from, what->what, with);
    if (m_cut.contains({what->to, what->from}) || m_world.chance(m_sky.loss_permille)) return;
    m_world.at(m_world.now() + delay(), [this, what, with = std::move(with)]() mutable {
        if (m_dead.contains(what->from)) return;
        if (with.failure.code != errc::ok) return land(what, std::move(with.failure));
        land(what, std::move(with));
    });
}

void network::land(const std::shared_ptr<flight>& what, result<net::reply> with) {
    if (!what->waiting) return;
    if (what->timeout != 0) m_world.cancel(what->timeout);
    m_world.trace("answer " + what->from.brief() + ' ' + what->to.brief() + ' ' + std::to_string(static_cast<int>(with ? errc::ok : with.error().code)));
    const auto done = std::make_shared<net::resumption<result<net::reply>>>(std::move(what->waiting));
    (*done)(std::move(with));
}

}  // namespace cess::simulation
