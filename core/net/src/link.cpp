#include "link.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>

namespace cess::net {
namespace asio = boost::asio;

namespace {

constexpr std::size_t record_size = 16 * KiB;       // plain bytes of a full TLS record
constexpr std::size_t send_size = 256 * KiB;        // ciphertext of one send, about
constexpr std::size_t unasked_output_max = MiB;     // of what TLS itself wants to say

time_point now() { return std::chrono::steady_clock::now(); }

void keep_alive(asio::ip::tcp::socket& socket) {
    boost::system::error_code ignored;
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    using seconds_option = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>;
    using interval_option = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPINTVL>;
    using count_option = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPCNT>;
    using user_timeout_option = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_USER_TIMEOUT>;
    socket.set_option(seconds_option(5), ignored);
    socket.set_option(interval_option(2), ignored);
    socket.set_option(count_option(3), ignored);
    socket.set_option(user_timeout_option(10'000), ignored);  // ms: sent data that nobody acknowledges
}

counter& refused(metrics& in, const char* side, const char* reason) {
    return in.make_counter("cess_rpc_refused_total", "Connections and requests refused, by side and reason.",
                           std::string("side=\"") + side + "\",reason=\"" + reason + "\"");
}
std::string label(const char* side) { return std::string("side=\"") + side + "\""; }

}  // namespace

link_counts::link_counts(metrics& in, const char* side)
    : connections(in.make_gauge("cess_rpc_connections", "TLS connections open now.", label(side))),
      requests(in.make_counter("cess_rpc_requests_total", "Requests sent (client) or received (server).", label(side))),
      bytes_in(in.make_counter("cess_rpc_received_bytes_total", "Bytes received, TLS included.", label(side))),
      bytes_out(in.make_counter("cess_rpc_sent_bytes_total", "Bytes sent, TLS included.", label(side))),
      refused_handshake(refused(in, side, "handshake")),
      refused_malformed(refused(in, side, "malformed")),
      refused_oversized(refused(in, side, "oversized")),
      refused_slow(refused(in, side, "slow")),
      refused_connections(refused(in, side, "connections")),
      refused_in_flight(refused(in, side, "in_flight")),
      gave_way(in.make_counter("cess_rpc_gave_way_total", "Idle connections closed for new ones, because all were taken.", label(side))) {}

link::link(socket_type socket, SSL_CTX* context, tls_side side, const tls_limits& limits, std::shared_ptr<link_counts> count)
    : m_socket(std::move(socket)), m_tls(context, side), m_limits(limits), m_count_owner(std::move(count)), m_count(*m_count_owner), m_watch(m_socket.get_executor()),
      m_opened(now()), m_active(m_opened) {
    keep_alive(m_socket);
    boost::system::error_code ignored;
    m_socket.non_blocking(true, ignored);  // for flush()
    m_count.connections.add(1);
}

link::~link() { m_count.connections.add(-1); }

// ---- opening and closing -------------------------------------------------------------------------------------

awaitable<result<public_key>> link::handshake() {
    auto self = shared_from_this();
    watch();
    for (;;) {
        auto done = m_tls.handshake();
        if (!m_tls.output().empty()) {  // an alert, too, if it failed
            auto out = co_await send_output();
            if (done && !out) done = std::move(out).error();
        }
        if (!done) co_return std::move(done).error();
        if (*done) break;
        auto in = co_await receive();
        if (!in) co_return std::move(in).error();
    }
    m_established = true;
    co_return m_tls.peer();
}

awaitable<result<void>> link::send_output() {
    boost::system::error_code failed;
    auto data = std::exchange(m_tls.output(), {});
    auto op = asio::async_write(m_socket, asio::buffer(data.data(), data.size()), asio::redirect_error(asio::use_awaitable, failed));
    co_await std::move(op);
    if (m_closed) co_return m_why;
    if (failed) co_return error(errc::unavailable, "send: " + failed.message());
    m_count.bytes_out.add(data.size());
    co_return result<void>();
}

void link::start(std::shared_ptr<link_events> to) {
    if (m_closed) return to->on_closed(m_why);
    m_events = std::move(to);
    m_active = now();
    flush_soon();
    read_on();
}

void link::close(const error& why) {
    if (std::exchange(m_closed, true)) return;
    m_why = why;
    boost::system::error_code ignored;
    m_watch.cancel();
    m_socket.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
    m_socket.close(ignored);
    m_queue.clear();
    m_staged.clear();
    if (auto events = std::exchange(m_events, nullptr)) events->on_closed(why);
}

void link::close_broken(const error& why) {
    if (why == errc::too_large) m_count.refused_oversized.add();
    if (why == errc::protocol) m_count.refused_malformed.add();
    close(why);
}

// ---- time ----------------------------------------------------------------------------------------------------

void link::watch() {
    const auto shortest = std::min({m_limits.handshake_timeout, m_limits.frame_timeout, m_limits.idle_timeout});
    const auto tick = std::clamp<duration>(shortest / 4, std::chrono::milliseconds(10), std::chrono::seconds(5));
    m_watch.expires_after(m_established ? tick : std::min(tick, m_limits.handshake_timeout));
    m_watch.async_wait([weak = weak_from_this()](boost::system::error_code failed) {
        auto self = weak.lock();
        if (failed || !self || self->m_closed) return;
        self->check_times();
        if (!self->m_closed) self->watch();
    });
}

void link::check_times() {
    const auto at = now();
    if (!m_established) {
        if (at - m_opened < m_limits.handshake_timeout) return;
        return close(error(errc::timeout, "TLS handshake took too long"));
    }
    const auto late = [&](time_point since) { return since != time_point{} && at - since >= m_limits.frame_timeout; };
    if (late(m_frame_began) || late(m_send_began)) {
        m_count.refused_slow.add();
        return close(error(errc::timeout, "peer is too slow"));
    }
    const bool idle = m_events && !m_events->is_waiting() && at - m_active >= m_limits.idle_timeout;
    if (idle) close(error(errc::unavailable, "connection was idle"));
}

// ---- reading -------------------------------------------------------------------------------------------------

awaitable<result<void>> link::receive() {
    boost::system::error_code failed;
    const auto space = m_tls.input_space();
    auto op = m_socket.async_read_some(asio::buffer(space.data(), space.size()), asio::redirect_error(asio::use_awaitable, failed));
    const auto n = co_await std::move(op);
    co_return received(failed, n);
}

result<void> link::received(boost::system::error_code failed, std::size_t n) {
    if (m_closed) return m_why;
    if (failed == asio::error::eof) return error(errc::unavailable, "connection closed by the peer");
    if (failed) return error(errc::unavailable, "receive: " + failed.message());
    m_tls.input_added(n);
    m_count.bytes_in.add(n);
    m_active = now();
    return {};
}

// Takes in what is there, then waits for more, or for room.
void link::read_on() {
    auto step = read_step();
    if (!m_tls.output().empty()) flush_soon();
    if (step && m_tls.output().size() > unasked_output_max) step = error(errc::protocol, "TLS chatter");
    if (m_closed) return;
    if (!step) return close_broken(step.error());
    if (*step) {
        m_frame_began = time_point{};
        m_waits_for_room = true;
        return;
    }
    const auto space = m_tls.input_space();
    m_socket.async_read_some(asio::buffer(space.data(), space.size()), [self = shared_from_this()](boost::system::error_code failed, std::size_t n) {
        auto in = self->received(failed, n);
        if (!in) return self->close(in.error());
        self->read_on();
    });
}

void link::room_made() {
    if (!std::exchange(m_waits_for_room, false)) return;
    asio::post(m_socket.get_executor(), [self = shared_from_this()] {
        if (self->m_closed) return;
        self->m_frame_began = now();
        self->read_on();
    });
}

// True when `part`, of which m_got bytes are there, is full.
result<bool> link::fill(byte_span part) {
    while (m_got < part.size()) {
        TRY(const auto n, m_tls.read(part.subspan(m_got)));
        if (n == 0) return false;
        m_got += n;
    }
    m_got = 0;
    return true;
}

// Takes in what has been received. False: more is needed; true: wait for room first.
result<bool> link::read_step() {
    for (;;) {
        if (m_state == reading::header) {
            TRY(const bool full, fill(m_raw));
            if (m_got > 0 && m_frame_began == time_point{}) m_frame_began = now();
            if (!full) return false;
            TRY(m_frame.header, read_header(m_raw));
            m_state = reading::room;
        }
        if (m_state == reading::room) {
            if (!m_events->take_room(m_frame.header.head_size + m_frame.header.body_size)) return true;
            m_state = reading::head;
            m_frame.head.resize(m_frame.header.head_size);
            m_frame.body.resize(m_frame.header.body_size);
        }
        if (m_state == reading::head) {
            TRY(const bool full, fill(m_frame.head));
            if (!full) break;
            m_state = reading::body;
        }
        TRY(const bool full, fill(m_frame.body));
        if (!full) break;
        frame_done();
        if (m_closed) return false;
    }
    if (m_frame_began == time_point{}) m_frame_began = now();
    return false;
}

void link::frame_done() {
    m_state = reading::header;
    m_frame_began = time_point{};
    m_events->on_frame(std::exchange(m_frame, frame{}));
}

// ---- writing -------------------------------------------------------------------------------------------------

void link::send(frame f) {
    if (m_closed) return;
    auto& out = m_queue.emplace_back();
    out.header = write_header(f.header);
    out.what = std::move(f);
    flush_soon();
}

bool link::unsend(std::uint64_t id) {
    const auto at = std::find_if(m_queue.begin(), m_queue.end(), [id](const outgoing& o) { return o.what.header.id == id && o.done == 0; });
    if (at == m_queue.end()) return false;
    m_queue.erase(at);
    return true;
}

// By post, so that everything else that is ready on the strand joins the same send.
void link::flush_soon() {
    if (m_sending || m_closed || std::exchange(m_flush_posted, true)) return;
    asio::post(m_socket.get_executor(), [self = shared_from_this()] {
        self->m_flush_posted = false;
        self->flush();
    });
}

result<void> link::stage(byte_view part) {
    append(m_staged, part);
    if (m_staged.size() < record_size) return {};
    CHECK_OK(m_tls.write(m_staged));
    m_staged.clear();
    return {};
}

result<void> link::encrypt_some() {
    while (!m_queue.empty() && m_tls.output().size() < send_size) {
        auto& out = m_queue.front();
        const auto total = frame_header_size + out.what.payload();
        const byte_view parts[] = {out.header, out.what.head, out.what.bulk()};
        std::size_t before = 0;
        for (const auto part : parts) {
            while (out.done < before + part.size() && m_tls.output().size() < send_size) {
                const auto rest = part.subspan(out.done - before);
                // Small pieces are gathered into a record; of large ones only what fills the record begun, then straight on.
                const bool direct = m_staged.empty() && rest.size() >= record_size;
                const auto n = direct ? std::min(rest.size(), 4 * record_size) : std::min(rest.size(), record_size - m_staged.size());
                CHECK_OK(direct ? m_tls.write(rest.first(n)) : stage(rest.first(n)));
                out.done += n;
            }
            before += part.size();
        }
        if (out.done < total) break;
        m_leaving.emplace_back(out.what.header.id, out.what.payload());
        m_queue.pop_front();
    }
    if (m_staged.empty()) return {};
    CHECK_OK(m_tls.write(m_staged));
    m_staged.clear();
    return {};
}

void link::flush() {
    if (m_sending || m_closed) return;
    if (m_events) {
        if (auto done = encrypt_some(); !done) return close(done.error());
    }
    if (m_tls.output().empty()) return;
    m_on_wire.clear();
    m_on_wire.swap(m_tls.output());
    m_sending = true;
    m_send_began = now();
    boost::system::error_code failed;
    const auto n = m_socket.write_some(asio::buffer(m_on_wire.data(), m_on_wire.size()), failed);  // mostly the kernel takes all
    const bool full = !failed || failed == asio::error::would_block;
    if (!full || n == m_on_wire.size()) return sent(failed, n);
    const auto rest = asio::buffer(m_on_wire.data() + n, m_on_wire.size() - n);
    asio::async_write(m_socket, rest, [self = shared_from_this(), n](boost::system::error_code bad, std::size_t more) { self->sent(bad, n + more); });
}

void link::sent(boost::system::error_code failed, std::size_t n) {
    m_sending = false;
    m_send_began = time_point{};
    if (m_closed) return;
    if (failed) return close(error(errc::unavailable, "send: " + failed.message()));
    m_count.bytes_out.add(n);
    m_active = now();
    for (const auto& [id, payload] : std::exchange(m_leaving, {}))
        if (m_events) m_events->on_written(id, payload);
    if (!m_queue.empty() || !m_tls.output().empty()) flush_soon();  // by post: what else is ready here has its turn
}

}  // namespace cess::net
