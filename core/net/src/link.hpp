// One TLS connection that carries frames, either side. Reads and writes go on at the same time on one strand; small
// frames that gather while a send is under way leave together in the next.
//
// Everything here runs on the link's strand, except where it says otherwise. A watch closes the link when a
// handshake, an incoming frame or a send takes too long, or nothing happens for the idle time.
#pragma once

#include "frame.hpp"
#include "tls_engine.hpp"

#include <core/base/metrics.hpp>
#include <core/net/env.hpp>
#include <core/net/tls_transport.hpp>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <memory>

namespace cess::net {

// Counters of one side; they outlive its links.
struct link_counts {
    link_counts(metrics& in, const char* side);
    gauge& connections;
    counter& requests;
    counter& bytes_in;
    counter& bytes_out;
    counter& refused_handshake;    // plaintext, another TLS version, no or a wrong key, too slow
    counter& refused_malformed;    // not a frame, a reply where a request belongs, an unknown reply
    counter& refused_oversized;
    counter& refused_slow;         // half a frame for too long, or a reader that does not read
    counter& refused_connections;  // past connections_max, none being idle
    counter& refused_in_flight;    // past requests_in_flight_max
    counter& gave_way;             // idle connections, closed for new ones
};

// Who owns the link. Called on the strand.
class link_events {
public:
    virtual ~link_events() = default;
    // Makes room for a frame of so many bytes, before they are read. False: the link reads nothing until room_made().
    [[nodiscard]] virtual bool take_room(std::size_t payload) = 0;
    virtual void on_frame(frame f) = 0;
    virtual void on_written(std::uint64_t id, std::size_t payload) = 0;
    [[nodiscard]] virtual bool is_waiting() const noexcept = 0;  // requests are under way: not idle
    virtual void on_closed(const error& why) = 0;                // once, last
};

class link : public std::enable_shared_from_this<link> {
public:
    using socket_type = boost::asio::ip::tcp::socket;
    // The socket is connected, and its executor is the strand.
    link(socket_type socket, SSL_CTX* context, tls_side side, const tls_limits& limits, std::shared_ptr<link_counts> count);
    ~link();

    // The peer's key. Afterwards start() hands frames to `to`, which the link keeps alive until on_closed.
    awaitable<result<public_key>> handshake();
    void start(std::shared_ptr<link_events> to);
    void send(frame f);
    bool unsend(std::uint64_t id);  // true if the frame had not begun to leave and never will
    void room_made();
    void close(const error& why);
    [[nodiscard]] bool flushed() const noexcept { return m_queue.empty() && !m_sending; }

private:
    struct outgoing {
        frame what;
        raw_header header;
        std::size_t done = 0;  // of header, head and body together
    };
    enum class reading { header, room, head, body };

    awaitable<result<void>> receive();      // these two during the handshake only
    awaitable<result<void>> send_output();
    [[nodiscard]] result<void> received(boost::system::error_code failed, std::size_t n);
    void read_on();
    [[nodiscard]] result<bool> read_step();
    [[nodiscard]] result<bool> fill(byte_span part);
    void frame_done();
    void flush_soon();
    void flush();
    [[nodiscard]] result<void> encrypt_some();
    [[nodiscard]] result<void> stage(byte_view part);
    void sent(boost::system::error_code failed, std::size_t n);
    void watch();
    void check_times();
    void close_broken(const error& why);

    socket_type m_socket;
    tls_engine m_tls;
    const tls_limits m_limits;
    const std::shared_ptr<link_counts> m_count_owner;  // whoever waits for the end of all links waits for this
    link_counts& m_count;
    boost::asio::steady_timer m_watch;
    std::shared_ptr<link_events> m_events;
    bool m_closed = false, m_established = false;
    error m_why;

    reading m_state = reading::header;
    raw_header m_raw;
    frame m_frame;
    std::size_t m_got = 0;
    bool m_waits_for_room = false;

    std::deque<outgoing> m_queue;
    bytes m_staged;   // plain bytes of small frames, up to one TLS record
    bytes m_on_wire;  // ciphertext being sent
    std::vector<std::pair<std::uint64_t, std::size_t>> m_leaving;  // frames that are whole in m_on_wire
    bool m_sending = false, m_flush_posted = false;

    time_point m_opened, m_active, m_frame_began, m_send_began;  // 0 = not under way
};

}  // namespace cess::net
