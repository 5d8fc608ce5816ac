// The serving side: an acceptor, and for each connection its strand, its link, and the requests under way.
#include "address.hpp"
#include "link.hpp"

#include <core/base/log.hpp>
#include <core/net/deadline.hpp>
#include <core/net/task_group.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <list>
#include <mutex>
#include <unordered_map>

namespace cess::net {
namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

class connection;

constexpr std::size_t small_payload = 64 * KiB;
constexpr std::size_t replies_factor = 4;  // replies may take so many times the bytes that requests may

// What acceptor, connections and links share; gone when the last of them is.
struct hall {
    hall(env& w, tls_limits l, service& s, metrics& in)
        : world(w), limits(l), to(s), count(std::make_unique<link_counts>(in, "server")), requests(w.executor()) {}
    env& world;
    const tls_limits limits;
    service& to;
    std::unique_ptr<link_counts> count;
    ssl_ctx context;
    task_group requests;  // and handshakes

    std::mutex mutex;
    std::list<std::weak_ptr<connection>> connections;
    std::size_t open = 0;
    std::size_t bytes = 0;  // of requests being read and not answered
    std::size_t replies = 0;  // bytes of replies that have not left
    std::vector<std::weak_ptr<connection>> wanting;  // that wait for bytes

    bool take(std::size_t n, const std::shared_ptr<connection>& who);
    void give_back(std::size_t n);
    [[nodiscard]] bool take_reply(std::size_t n, bool anyway);
    void reply_gone(std::size_t n);
    std::vector<std::shared_ptr<connection>> all();
};

class connection final : public link_events, public std::enable_shared_from_this<connection> {
public:
    connection(std::shared_ptr<hall> in, asio::any_io_executor strand) : m_hall(std::move(in)), m_strand(std::move(strand)) {}
    ~connection() override;

    // Coroutines start later than they are called: whoever runs them hands them their object.
    awaitable<void> open(std::shared_ptr<connection> self, tcp::socket socket);
    void reply_to(std::uint64_t id, reply what);  // from any thread, later
    void wake();                                  // from any thread: bytes may be free
    void finish_up();                             // from any thread: reads nothing more, closes when all is answered
    void close(const error& why);                 // from any thread
    // Since when nothing of it is under way, as a count of the steady clock; 0: something is. From any thread.
    [[nodiscard]] duration::rep idle_since() const noexcept { return m_idle_since.load(); }
    [[nodiscard]] bool give_way();                // from any thread: closes if it is still idle

    bool take_room(std::size_t payload) override;
    void on_frame(frame f) override;
    void on_written(std::uint64_t id, std::size_t payload) override;
    bool is_waiting() const noexcept override { return !m_running.empty(); }
    void on_closed(const error& why) override;

private:
    awaitable<void> serve(std::shared_ptr<connection> self, std::uint64_t id, request what);
    void refuse(std::uint64_t id);
    void send_reply(frame f);
    void close_if_done();
    void note_idle();

    std::shared_ptr<hall> m_hall;
    const asio::any_io_executor m_strand;
    node_id m_peer;
    std::shared_ptr<link> m_link;
    struct running {
        std::size_t bytes;
        bool refused;
        std::size_t reply;  // bytes of it, once it waits to be sent
    };
    std::unordered_map<std::uint64_t, running> m_running;  // requests whose answer has not left
    std::size_t m_bytes = 0;     // reserved for them, and for the one being read
    std::size_t m_refusals = 0;  // of m_running
    std::size_t m_replies = 0;   // bytes of those that have not left
    bool m_finishing = false;
    std::atomic<duration::rep> m_idle_since{0};
};

bool hall::take(std::size_t n, const std::shared_ptr<connection>& who) {
    // What some send halfway must not keep the others' small requests out: these have a quarter more.
    const auto most = limits.bytes_total_max + (n <= small_payload ? limits.bytes_total_max / 4 : 0);
    std::lock_guard lock(mutex);
    if (bytes > 0 && bytes + n > most) {
        wanting.push_back(who);
        return false;
    }
    bytes += n;
    return true;
}

void hall::give_back(std::size_t n) {
    std::vector<std::weak_ptr<connection>> told;
    {
        std::lock_guard lock(mutex);
        bytes -= n;
        told.swap(wanting);
    }
    for (auto& weak : told)
        if (auto c = weak.lock()) c->wake();
}

bool hall::take_reply(std::size_t n, bool anyway) {
    std::lock_guard lock(mutex);
    if (!anyway && replies + n > replies_factor * limits.bytes_total_max) return false;
    replies += n;
    return true;
}

void hall::reply_gone(std::size_t n) {
    std::lock_guard lock(mutex);
    replies -= n;
}

std::vector<std::shared_ptr<connection>> hall::all() {
    std::lock_guard lock(mutex);
    std::vector<std::shared_ptr<connection>> out;
    for (const auto& weak : connections)
        if (auto c = weak.lock()) out.push_back(std::move(c));
    return out;
}

connection::~connection() {
    if (m_bytes > 0) m_hall->give_back(m_bytes);
    if (m_replies > 0) m_hall->reply_gone(m_replies);
    std::lock_guard lock(m_hall->mutex);
    --m_hall->open;
    std::erase_if(m_hall->connections, [](const auto& weak) { return weak.expired(); });
}

awaitable<void> connection::open(std::shared_ptr<connection> self, tcp::socket socket) {
    auto made = std::make_shared<link>(std::move(socket), m_hall->context.get(), tls_side::server, m_hall->limits,
                                       std::shared_ptr<link_counts>(m_hall, m_hall->count.get()));
    m_link = made;
    auto key = co_await made->handshake();
    if (!key) {
        m_hall->count->refused_handshake.add();
        made->close(key.error());
        m_link.reset();
        co_return;
    }
    m_peer = crypto::id_of<node_id>(*key);
    note_idle();
    made->start(self);
    close_if_done();
}

void connection::note_idle() {
    if (m_running.empty() && m_bytes == 0) m_idle_since = std::chrono::steady_clock::now().time_since_epoch().count();
}

bool connection::give_way() {
    if (m_idle_since.exchange(0) == 0) return false;
    m_hall->count->gave_way.add();
    close(error(errc::exhausted, "idle, and others want to connect"));
    return true;
}

bool connection::take_room(std::size_t payload) {
    m_idle_since = 0;
    if (m_finishing) return false;
    if (m_refusals >= m_hall->limits.requests_in_flight_max) return false;
    if (m_bytes > 0 && m_bytes + payload > m_hall->limits.bytes_in_flight_max) return false;
    if (!m_hall->take(payload, shared_from_this())) return false;
    m_bytes += payload;
    return true;
}

void connection::on_frame(frame f) {
    const auto id = f.header.id;
    if ((f.header.flags & frame_is_reply) != 0 || m_running.contains(id)) {
        m_hall->count->refused_malformed.add();
        return m_link->close(error(errc::protocol, "the client sent a reply, or a request twice"));
    }
    m_hall->count->requests.add();
    m_running.emplace(id, running{f.payload(), false, 0});
    request what;
    what.method = f.header.code;
    what.head = std::move(f.head);
    what.body = std::move(f.body);
    if (m_running.size() - m_refusals > m_hall->limits.requests_in_flight_max) return refuse(id);
    auto task = serve(shared_from_this(), id, std::move(what));
    if (!m_hall->requests.spawn_here(m_strand, std::move(task))) refuse(id);
}

void connection::refuse(std::uint64_t id) {
    m_hall->count->refused_in_flight.add();
    ++m_refusals;
    m_running.at(id).refused = true;
    m_link->send(reply_frame(id, reply::of(error(errc::exhausted, "too many requests under way"))));
}

// A service that throws (memory has run out, say) costs its caller the answer, and nobody else anything.
reply broken_service(const std::exception& why) {
    log::error("net", "a request ended with an exception: {}", why.what());
    return reply::of(error(errc::io, "the node could not carry out the request"));
}

awaitable<void> connection::serve(std::shared_ptr<connection> self, std::uint64_t id, request what) {
    // The caller gets an answer whatever happens to the service; cancellation by stop() unwinds through here, too.
    struct answer {
        std::shared_ptr<connection> to;
        std::uint64_t id;
        reply with = reply::of(error(errc::unavailable, "the node is stopping"));
        ~answer() {
            if (to) to->reply_to(id, std::move(with));
        }
    };
    answer out;
    out.to = self;
    out.id = id;
    auto op = m_hall->to.serve(m_peer, std::move(what));
    try {
        out.with = co_await std::move(op);
    } catch (const boost::system::system_error& why) {
        if (why.code() == asio::error::operation_aborted) throw;
        out.with = broken_service(why);
    } catch (const std::exception& why) {
        out.with = broken_service(why);
    }
    std::exchange(out.to, nullptr)->send_reply(reply_frame(id, std::move(out.with)));
}

void connection::reply_to(std::uint64_t id, reply what) {
    asio::post(m_strand, [self = shared_from_this(), f = reply_frame(id, std::move(what))]() mutable {
        self->send_reply(std::move(f));
    });
}

// What a peer asks for and does not read is bounded, too: past that its replies say so instead. One reply always fits.
void connection::send_reply(frame f) {
    const auto at = m_running.find(f.header.id);
    if (!m_link || at == m_running.end()) return;
    const auto n = f.payload();
    const bool alone = m_replies == 0;
    const bool fits = alone || m_replies + n <= replies_factor * m_hall->limits.bytes_in_flight_max;
    if (fits && m_hall->take_reply(n, alone)) {
        at->second.reply = n;
        m_replies += n;
    } else {
        m_hall->count->refused_slow.add();
        f = reply_frame(f.header.id, reply::of(error(errc::exhausted, "too many replies wait to be taken")));
    }
    m_link->send(std::move(f));
}

void connection::on_written(std::uint64_t id, std::size_t) {
    const auto at = m_running.find(id);
    if (at == m_running.end()) return;
    if (at->second.refused) --m_refusals;
    const auto n = at->second.bytes;
    const auto replied = at->second.reply;
    m_running.erase(at);
    m_bytes -= n;
    m_replies -= replied;
    if (replied > 0) m_hall->reply_gone(replied);
    m_hall->give_back(n);
    note_idle();
    m_link->room_made();
    close_if_done();
}

void connection::wake() {
    asio::post(m_strand, [self = shared_from_this()] {
        if (self->m_link) self->m_link->room_made();
    });
}

void connection::finish_up() {
    asio::post(m_strand, [self = shared_from_this()] {
        self->m_finishing = true;
        self->close_if_done();
    });
}

void connection::close_if_done() {
    if (m_finishing && m_running.empty() && m_link) m_link->close(error(errc::unavailable, "the node is stopping"));
}

void connection::close(const error& why) {
    asio::post(m_strand, [self = shared_from_this(), why] {
        if (self->m_link) self->m_link->close(why);
    });
}

void connection::on_closed(const error& why) {
    log::debug("net", "connection of {} closed: {}", m_peer.brief(), why.what);
    m_link.reset();
    m_idle_since = 0;
    const auto n = std::exchange(m_bytes, 0);
    const auto replied = std::exchange(m_replies, 0);
    m_running.clear();
    if (replied > 0) m_hall->reply_gone(replied);
    if (n > 0) m_hall->give_back(n);
}

// ---- the server ------------------------------------------------------------------------------------------------

class server final : public tls_server {
public:
    server(env& world, options how, service& to, metrics& count)
        : m_how(std::move(how)), m_hall(std::make_shared<hall>(world, m_how.limits, to, count)), m_strand(world.executor()),
          m_acceptor(m_strand), m_accepting(m_strand) {}

    result<void> listen(const crypto::signing_key& identity) {
        TRY(m_hall->context, make_tls_context(identity, tls_side::server));
        TRY(auto where, parse_address(m_how.listen));
        const auto failed = [&](const char* what, const boost::system::error_code& why) {
            return errno_error(std::string(what) + " " + m_how.listen, why.value());
        };
        boost::system::error_code bad;
        tcp::resolver resolver(m_strand);
        const auto found = resolver.resolve(where.host, where.port, tcp::resolver::passive, bad);
        if (bad || found.empty()) return error(errc::invalid, "listen on " + m_how.listen + ": " + bad.message());
        const auto at = found.begin()->endpoint();
        m_acceptor.open(at.protocol(), bad);
        if (!bad) m_acceptor.set_option(tcp::acceptor::reuse_address(true), bad);
        if (!bad) m_acceptor.bind(at, bad);
        if (!bad) m_acceptor.listen(asio::socket_base::max_listen_connections, bad);
        if (bad) return failed("listen on", bad);
        m_address = format_address(m_acceptor.local_endpoint(bad));
        m_accepting.spawn(accept_loop());
        return {};
    }

    std::string address() const override { return m_address; }

    awaitable<void> stop(duration grace) override {
        auto h = m_hall;
        const auto give_up_at = h->world.now() + grace;
        co_await m_accepting.stop();
        boost::system::error_code ignored;
        m_acceptor.close(ignored);
        for (const auto& c : h->all()) c->finish_up();
        auto waiting = until_closed(h);
        auto limited = with_deadline<bool>(h->world, std::move(waiting), give_up_at);
        (void)co_await std::move(limited);
        for (const auto& c : h->all()) c->close(error(errc::unavailable, "the node is stopping"));
        co_await h->requests.stop();
        // What is left holds no request any more; it goes as soon as its strand has run.
        const auto hard_end = h->world.now() + std::chrono::seconds(5);
        auto ending = until_gone(m_hall);
        auto ended = with_deadline<bool>(h->world, std::move(ending), hard_end);
        h.reset();
        (void)co_await std::move(ended);
    }

private:
    static awaitable<result<bool>> until_closed(std::shared_ptr<hall> h) {
        for (;;) {
            {
                std::lock_guard lock(h->mutex);
                if (h->open == 0) co_return true;
            }
            auto slept = co_await h->world.sleep_for(std::chrono::milliseconds(5));
            if (!slept) co_return std::move(slept).error();
        }
    }
    // Only this server holds the hall: no connection, no link.
    static awaitable<result<bool>> until_gone(std::shared_ptr<hall>& h) {
        env& world = h->world;
        while (h.use_count() > 1) {
            auto slept = co_await world.sleep_for(std::chrono::milliseconds(2));
            if (!slept) co_return std::move(slept).error();
        }
        co_return true;
    }

    awaitable<void> accept_loop() {
        for (;;) {
            // Each connection stays on one executor.
            tcp::socket socket(m_hall->world.executor());
            boost::system::error_code bad;
            auto op = m_acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, bad));
            co_await std::move(op);
            if (bad == asio::error::operation_aborted) co_return;
            if (bad) {  // out of descriptors, mostly: later there may be some
                log::warn("net", "accept on {}: {}", m_address, bad.message());
                auto slept = co_await m_hall->world.sleep_for(std::chrono::milliseconds(100));
                if (!slept) co_return;
                continue;
            }
            admit(std::move(socket));
        }
    }

    // Strangers may connect and say nothing: of connections that are all taken, the one idle for longest gives way.
    bool make_room() {
        const auto latest = (std::chrono::steady_clock::now() - m_how.limits.idle_yield).time_since_epoch().count();
        const auto all = m_hall->all();
        std::shared_ptr<connection> idlest;
        for (const auto& c : all) {
            const auto since = c->idle_since();
            if (since != 0 && since <= latest && (!idlest || since < idlest->idle_since())) idlest = c;
        }
        return idlest && idlest->give_way();
    }

    bool all_taken() {
        std::lock_guard lock(m_hall->mutex);
        return m_hall->open >= m_hall->limits.connections_max;
    }

    void admit(tcp::socket socket) {
        auto h = m_hall;
        std::shared_ptr<connection> made;
        const bool room_made = all_taken() && make_room();
        {
            std::lock_guard lock(h->mutex);
            if (h->open >= h->limits.connections_max && !room_made) {
                h->count->refused_connections.add();
                return;  // the socket closes
            }
            ++h->open;
            made = std::make_shared<connection>(h, socket.get_executor());
            h->connections.push_back(made);
        }
        auto strand = socket.get_executor();
        auto task = made->open(made, std::move(socket));
        h->requests.spawn_on(strand, std::move(task));
    }

    const options m_how;
    std::shared_ptr<hall> m_hall;
    const asio::any_io_executor m_strand;
    tcp::acceptor m_acceptor;
    task_group m_accepting;
    std::string m_address;
};

}  // namespace

result<std::unique_ptr<tls_server>> tls_server::start(env& world, const crypto::signing_key& identity, options how, service& to, metrics& count) {
    auto made = std::make_unique<server>(world, std::move(how), to, count);
    CHECK_OK(made->listen(identity));
    return std::unique_ptr<tls_server>(std::move(made));
}

}  // namespace cess::net
