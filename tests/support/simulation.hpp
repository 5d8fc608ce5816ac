// A whole network on one thread, replayed from a seed: real coroutines, real messages, simulated time and weather.
//
// `world` is the env and the clock's driver: it runs what is ready, and when nothing is, jumps to the next event.
// `network` carries requests between node ids with delay, loss, duplication, reordering and one-way cuts; nodes crash,
// come back and lie. Everything random comes from the seed, and everything that happens goes into a trace hash, so
// that a test can check that the same seed is the same run.
#pragma once

#include <core/crypto/crypto.hpp>
#include <core/net/rpc.hpp>
#include <core/net/suspend.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>

namespace cess::simulation {

using namespace std::chrono_literals;

class world final : public net::env {
public:
    explicit world(std::uint64_t seed) : m_random(seed) {}
    ~world() override;

    [[nodiscard]] net::time_point now() const override { return m_now; }
    [[nodiscard]] std::chrono::system_clock::time_point wall_now() const override;
    [[nodiscard]] random_source& random() override { return m_random; }
    [[nodiscard]] boost::asio::any_io_executor executor() override { return m_io.get_executor(); }
    net::awaitable<result<void>> sleep_until(net::time_point when) override;

    // ---- the driver
    using event = std::uint64_t;
    event at(net::time_point when, std::function<void()> what);  // events of one moment happen in the order of these calls
    bool cancel(event which);
    // Until `done` is true (checked between steps). False if the clock reached `limit` or nothing is left to happen.
    bool drive(const std::function<bool()>& done, net::time_point limit);
    void run_for(net::duration d) { drive([] { return false; }, m_now + d); }
    // Runs `op` to its end; aborts the test program if it does not end within `limit` of simulated time.
    template <class T>
    result<T> run(net::awaitable<result<T>> op, net::duration limit = std::chrono::hours(1)) {
        std::optional<result<T>> out;
        boost::asio::co_spawn(m_io, std::move(op), [&out](std::exception_ptr thrown, result<T> value) {
            if (thrown) std::rethrow_exception(thrown);
            out.emplace(std::move(value));
        });
        if (!drive([&out] { return out.has_value(); }, m_now + limit)) stuck();
        return std::move(*out);
    }
    void spawn(net::awaitable<void> op);

    [[nodiscard]] std::uint64_t below(std::uint64_t n) { return m_random.below(n); }
    [[nodiscard]] bool chance(unsigned permille) { return m_random.below(1000) < permille; }
    [[nodiscard]] net::duration between(net::duration low, net::duration high);

    void trace(std::string_view what);
    [[nodiscard]] hash256 trace_hash() const { return m_trace; }
    [[nodiscard]] std::uint64_t steps() const noexcept { return m_steps; }

private:
    [[noreturn]] static void stuck();

    seeded_random m_random;
    net::time_point m_now{};
    std::map<std::pair<net::time_point, event>, std::function<void()>> m_events;
    std::map<event, net::time_point> m_times;
    event m_next_event = 1;
    hash256 m_trace;
    std::uint64_t m_steps = 0;
    boost::asio::io_context m_io;  // last: destroying it unwinds coroutines that look at the rest
};

struct weather {
    net::duration delay_min = 200us;
    net::duration delay_max = 2ms;
    unsigned loss_permille = 0;
    unsigned duplicate_permille = 0;
    unsigned straggle_permille = 0;      // a message that takes straggle_max at most
    net::duration straggle_max = 1s;
};

class network {
public:
    explicit network(world& in) : m_world(in) {}

    // A node is up while it has a service. A crashed one answers nothing, not even what it was about to.
    void up(const node_id& id, std::shared_ptr<net::service> service);
    void down(const node_id& id);
    [[nodiscard]] bool is_up(const node_id& id) const { return m_nodes.contains(id); }
    void cut(const node_id& from, const node_id& to) { m_cut.insert({from, to}); }
    void mend(const node_id& from, const node_id& to) { m_cut.erase({from, to}); }
    void mend_all() { m_cut.clear(); }
    // What a lying node answers instead; may change request's meaning by looking at both.
    using lie = std::function<void(const node_id& from, const net::request& asked, net::reply& answer)>;
    void set_lie(const node_id& id, lie how) { m_lies[id] = std::move(how); }
    weather& sky() noexcept { return m_sky; }
    [[nodiscard]] std::unique_ptr<net::caller> caller_as(const node_id& self);
    // Calls made as `self` fail from now on, and nothing it sent arrives any more after what is under way.
    void kill_caller(const node_id& self) { m_dead.insert(self); }

private:
    friend class simulated_caller;
    struct flight;
    struct node {
        std::shared_ptr<net::service> service;
        std::uint64_t life = 0;
    };
    void depart(std::shared_ptr<flight> what);
    void arrive(std::shared_ptr<flight> what);
    void answer(std::shared_ptr<flight> what, std::uint64_t life, net::reply with);
    void land(const std::shared_ptr<flight>& what, result<net::reply> with);
    [[nodiscard]] net::duration delay();

    world& m_world;
    weather m_sky;
    std::map<node_id, node> m_nodes;
    std::uint64_t m_lives = 0;
    std::set<std::pair<node_id, node_id>> m_cut;
    std::set<node_id> m_dead;
    std::map<node_id, lie> m_lies;
};

}  // namespace cess::simulation
