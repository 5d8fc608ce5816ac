// The calling side: one channel a (peer, lane), each with at most one connection at a time and its calls under way.
#include "link.hpp"

#include <core/base/log.hpp>
#include <core/net/suspend.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/redirect_error.hpp>

#include <atomic>
#include <future>
#include <map>
#include <set>
#include <unordered_map>

#include "address.hpp"

namespace cess::net {
namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr duration backoff_first = std::chrono::milliseconds(50);
constexpr duration backoff_max = std::chrono::seconds(2);
constexpr std::size_t large_body = 64 * KiB;
constexpr std::size_t channels_max = 4096;  // idle ones are forgotten past it

// What channels and links share. Its end is the end of the last of them, for which the caller's destructor waits.
struct shared {
    shared(tls_limits l, metrics& in)
        : limits(l), count(in, "client"),
          late(in.make_counter("cess_rpc_late_replies_total", "Replies that came after their caller had given up.")) {}
    ~shared() { gone.set_value(); }
    const tls_limits limits;
    link_counts count;
    counter& late;
    ssl_ctx context;
    std::promise<void> gone;
};

class channel final : public link_events, public std::enable_shared_from_this<channel> {
public:
    channel(std::shared_ptr<shared> all, asio::any_io_executor on, peer to);

    // From any thread.
    void start(request what, time_point deadline, resumption<result<reply>> done);
    void shut_down();
    [[nodiscard]] bool is_unused() const noexcept { return m_unused; }

    bool take_room(std::size_t) override { return true; }  // replies are bounded by the requests under way
    void on_frame(frame f) override;
    void on_written(std::uint64_t, std::size_t) override {}
    bool is_waiting() const noexcept override { return !m_pending.empty(); }
    void on_closed(const error& why) override;

private:
    struct pending {
        resumption<result<reply>> done;
        time_point deadline;
    };
    void begin(std::uint64_t id, request what, time_point deadline, resumption<result<reply>> done);
    [[nodiscard]] resumption<result<reply>> take(std::uint64_t id);  // empty if nobody waits any more
    void finish(std::uint64_t id, result<reply> with);
    void give_up(std::uint64_t id, errc code, const char* why);
    void fail_all(const error& why);
    void arm(time_point deadline);
    void expire();
    awaitable<void> connect(std::shared_ptr<channel> self);
    awaitable<result<std::shared_ptr<link>>> open();
    awaitable<result<tcp::socket>> reach();
    void failed(error why);

    std::shared_ptr<shared> m_all;
    const peer m_to;
    const asio::any_io_executor m_strand;
    std::atomic<std::uint64_t> m_ids{0};
    std::atomic<bool> m_unused{true};

    // On the strand:
    bool m_shut = false, m_connecting = false;
    std::shared_ptr<link> m_link;      // established
    std::function<void()> m_give_up_connecting;
    std::deque<frame> m_queue;         // until there is a link
    std::unordered_map<std::uint64_t, pending> m_pending;
    std::set<std::pair<time_point, std::uint64_t>> m_deadlines;
    asio::steady_timer m_timer;
    time_point m_armed{};
    duration m_backoff{0};
    time_point m_not_before{};
    error m_last_failure;
};

channel::channel(std::shared_ptr<shared> all, asio::any_io_executor on, peer to)
    : m_all(std::move(all)), m_to(std::move(to)), m_strand(std::move(on)), m_timer(m_strand) {}

void channel::start(request what, time_point deadline, resumption<result<reply>> done) {
    const auto id = ++m_ids;
    done.on_cancel([weak = weak_from_this(), id] {
        auto self = weak.lock();
        if (self) asio::post(self->m_strand, [self, id] { self->give_up(id, errc::canceled, "call given up"); });
    });
    asio::dispatch(m_strand, [self = shared_from_this(), id, what = std::move(what), deadline, done = std::move(done)]() mutable {
        self->begin(id, std::move(what), deadline, std::move(done));
    });
}

void channel::begin(std::uint64_t id, request what, time_point deadline, resumption<result<reply>> done) {
    const auto at = std::chrono::steady_clock::now();
    if (m_shut) return done(error(errc::canceled, "network is stopped"));
    if (deadline <= at) return done(error(errc::timeout, "call to " + m_to.address + ": no time left"));
    if (m_pending.size() >= m_all->limits.requests_in_flight_max) {
        m_all->count.refused_in_flight.add();
        return done(error(errc::exhausted, "too many calls under way to " + m_to.address));
    }
    if (!m_link && !m_connecting && at < m_not_before) return done(m_last_failure);
    m_unused = false;
    m_all->count.requests.add();
    m_pending.emplace(id, pending{std::move(done), deadline});
    m_deadlines.emplace(deadline, id);
    arm(deadline);
    auto f = request_frame(id, std::move(what));
    if (m_link) return m_link->send(std::move(f));
    m_queue.push_back(std::move(f));
    if (std::exchange(m_connecting, true)) return;
    asio::co_spawn(m_strand, connect(shared_from_this()), asio::detached);
}

resumption<result<reply>> channel::take(std::uint64_t id) {
    const auto at = m_pending.find(id);
    if (at == m_pending.end()) return {};
    auto done = std::move(at->second.done);
    m_deadlines.erase({at->second.deadline, id});
    m_pending.erase(at);
    m_unused = m_pending.empty();
    return done;
}

void channel::finish(std::uint64_t id, result<reply> with) {
    if (auto done = take(id)) done(std::move(with));
}

void channel::give_up(std::uint64_t id, errc code, const char* why) {
    if (m_pending.find(id) == m_pending.end()) return;
    if (m_link) m_link->unsend(id);
    std::erase_if(m_queue, [id](const frame& f) { return f.header.id == id; });
    finish(id, error(code, why));
}

// ---- deadlines: one timer for the earliest ---------------------------------------------------------------------

void channel::arm(time_point deadline) {
    if (m_armed != time_point{} && m_armed <= deadline) return;
    m_armed = deadline;
    m_timer.expires_at(deadline);
    m_timer.async_wait([weak = weak_from_this()](boost::system::error_code failed) {
        auto self = weak.lock();
        if (self && !failed) self->expire();
    });
}

void channel::expire() {
    m_armed = time_point{};
    const auto at = std::chrono::steady_clock::now();
    const auto why = "no answer from " + m_to.address + " in time";
    while (!m_deadlines.empty() && m_deadlines.begin()->first <= at) give_up(m_deadlines.begin()->second, errc::timeout, why.c_str());
    if (!m_deadlines.empty()) arm(m_deadlines.begin()->first);
}

// ---- connection ------------------------------------------------------------------------------------------------

// The endpoint of an address in numbers. It needs no resolver, which looks up one name at a time: whoever serves the name
// of a stranger's node could hold up everybody else's connections by answering slowly.
std::optional<tcp::endpoint> numeric_endpoint(const host_port& where) {
    boost::system::error_code is_a_name;
    const auto address = asio::ip::make_address(where.host, is_a_name);
    if (is_a_name) return std::nullopt;
    return tcp::endpoint(address, static_cast<std::uint16_t>(std::stoul(where.port)));
}

awaitable<result<tcp::socket>> channel::reach() {
    auto where = parse_address(m_to.address);
    if (!where) co_return std::move(where).error();
    tcp::socket socket(m_strand);
    tcp::resolver resolver(m_strand);
    m_give_up_connecting = [&socket, &resolver] {
        boost::system::error_code ignored;
        resolver.cancel();
        socket.close(ignored);
    };
    boost::system::error_code bad;
    std::vector<tcp::endpoint> ends;
    if (const auto numeric = numeric_endpoint(*where)) {
        ends.push_back(*numeric);
    } else {
        auto resolving = resolver.async_resolve(where->host, where->port, asio::redirect_error(asio::use_awaitable, bad));
        const auto found = co_await std::move(resolving);
        for (const auto& each : found) ends.push_back(each.endpoint());
    }
    if (!bad && m_give_up_connecting) {
        auto connecting = asio::async_connect(socket, ends, asio::redirect_error(asio::use_awaitable, bad));
        co_await std::move(connecting);
    }
    const bool gave_up = !std::exchange(m_give_up_connecting, nullptr);
    if (gave_up) bad = asio::error::timed_out;
    if (bad) co_return error(errc::unavailable, "connect to " + m_to.address + ": " + bad.message());
    co_return std::move(socket);
}

awaitable<result<std::shared_ptr<link>>> channel::open() {
    asio::steady_timer limit(m_strand);
    limit.expires_after(m_all->limits.handshake_timeout);
    limit.async_wait([weak = weak_from_this()](boost::system::error_code stopped) {
        auto self = weak.lock();
        if (self && !stopped && self->m_give_up_connecting) std::exchange(self->m_give_up_connecting, nullptr)();
    });
    auto socket = co_await reach();
    if (!socket) co_return std::move(socket).error();
    auto made = std::make_shared<link>(std::move(*socket), m_all->context.get(), tls_side::client, m_all->limits,
                                       std::shared_ptr<link_counts>(m_all, &m_all->count));
    m_give_up_connecting = [made] { made->close(error(errc::timeout, "TLS handshake took too long")); };
    auto key = co_await made->handshake();
    const bool gave_up = !std::exchange(m_give_up_connecting, nullptr);
    if (gave_up) co_return error(errc::unavailable, "connect to " + m_to.address + ": given up");
    if (key && crypto::id_of<node_id>(*key) != m_to.id)
        key = error(errc::permission, "it is node " + crypto::id_of<node_id>(*key).brief() + ", not " + m_to.id.brief());
    if (key) co_return std::move(made);
    m_all->count.refused_handshake.add();
    made->close(key.error());
    const auto code = key.error().code == errc::permission ? errc::permission : errc::unavailable;
    co_return error(code, "connect to " + m_to.address + ": " + key.error().what);
}

awaitable<void> channel::connect(std::shared_ptr<channel> self) {
    auto opened = co_await open();
    m_connecting = false;
    if (opened && m_shut) {
        (*opened)->close(error(errc::canceled, "network is stopped"));
        opened = error(errc::canceled, "network is stopped");
    }
    if (!opened) co_return failed(std::move(opened).error());
    m_backoff = duration::zero();
    const auto made = std::move(*opened);  // it may close, and leave m_link, while it starts
    m_link = made;
    made->start(self);
    while (m_link && !m_queue.empty()) {
        m_link->send(std::move(m_queue.front()));
        m_queue.pop_front();
    }
}

void channel::failed(error why) {
    m_backoff = m_backoff == duration::zero() ? backoff_first : std::min(m_backoff * 2, backoff_max);
    m_not_before = std::chrono::steady_clock::now() + m_backoff;
    log::debug("net", "{}", why.what);
    fail_all(why);
}

void channel::fail_all(const error& why) {
    m_last_failure = why;
    m_queue.clear();
    while (!m_pending.empty()) finish(m_pending.begin()->first, why);
}

void channel::on_frame(frame f) {
    const auto id = f.header.id;
    if ((f.header.flags & frame_is_reply) == 0) {
        m_all->count.refused_malformed.add();
        return m_link->close(error(errc::protocol, "the server sent a request"));
    }
    auto done = take(id);
    if (!done) return m_all->late.add();
    done.at_once(open_reply(std::move(f)));
}

void channel::on_closed(const error& why) {
    m_link.reset();
    fail_all(error(why.code == errc::canceled ? errc::canceled : errc::unavailable, m_to.address + ": " + why.what));
}

void channel::shut_down() {
    asio::post(m_strand, [self = shared_from_this()] {
        self->m_shut = true;
        const error why(errc::canceled, "network is stopped");
        self->m_timer.cancel();
        if (self->m_give_up_connecting) std::exchange(self->m_give_up_connecting, nullptr)();
        if (self->m_link) self->m_link->close(why);
        self->fail_all(why);
    });
}

// ---- the caller ------------------------------------------------------------------------------------------------

struct calling {
    std::shared_ptr<channel> on;
    request what;
    time_point deadline;
    void operator()(resumption<result<reply>> done) { on->start(std::move(what), deadline, std::move(done)); }
};

class tls_caller final : public caller {
public:
    tls_caller(env& world, tls_limits limits, metrics& count, env* large)
        : m_all(std::make_shared<shared>(limits, count)), m_world(world), m_large(large) {}

    // Waits until the last connection is closed, so that env and metrics may go.
    ~tls_caller() override {
        for (auto& [key, c] : m_channels) c->shut_down();
        m_channels.clear();
        auto gone = m_all->gone.get_future();
        m_all.reset();
        if (gone.wait_for(std::chrono::seconds(10)) != std::future_status::ready) log::warn("net", "connections did not end in time");
    }

    result<void> prepare(const crypto::signing_key& identity) {
        TRY(m_all->context, make_tls_context(identity, tls_side::client));
        return {};
    }

    awaitable<result<reply>> call(peer to, request what, time_point deadline, lane on) override {
        if (what.head.size() > head_size_max || what.body.size() > body_size_max) co_return error(errc::too_large, "request");
        const bool large = m_large != nullptr && on == lane::bulk && what.body.size() >= large_body;
        auto through = find(to, on, large);
        calling start{std::move(through), std::move(what), deadline};
        auto op = suspend<result<reply>>(std::move(start));
        co_return co_await std::move(op);
    }

private:
    using channel_key = std::tuple<node_id, std::string, lane, bool>;  // true: for large requests

    std::shared_ptr<channel> find(const peer& to, lane on, bool large) {
        std::lock_guard lock(m_mutex);
        channel_key key(to.id, to.address, on, large);
        if (const auto at = m_channels.find(key); at != m_channels.end()) return at->second;
        if (m_channels.size() >= channels_max) forget_unused();
        auto made = std::make_shared<channel>(m_all, (large ? *m_large : m_world).executor(), to);
        return m_channels.emplace(std::move(key), std::move(made)).first->second;
    }
    void forget_unused() {
        std::erase_if(m_channels, [](const auto& entry) {
            if (!entry.second->is_unused() || entry.second.use_count() > 1) return false;
            entry.second->shut_down();
            return true;
        });
    }

    std::shared_ptr<shared> m_all;
    env& m_world;
    env* const m_large;  // or null
    std::mutex m_mutex;
    std::map<channel_key, std::shared_ptr<channel>> m_channels;
};

}  // namespace

std::unique_ptr<caller> make_tls_caller(env& world, const crypto::signing_key& identity, tls_limits limits, metrics& count, env* large) {
    auto made = std::make_unique<tls_caller>(world, limits, count, large);
    if (auto ready = made->prepare(identity); !ready) throw_exception_from_error(ready.error(), BOOST_CURRENT_LOCATION);
    return made;
}

}  // namespace cess::net
