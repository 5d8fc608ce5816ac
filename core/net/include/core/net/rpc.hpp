// Requests and replies between processes: the one shape of all traffic in the network.
//
// A request names a method and carries a `head` (a wire-encoded message) and a `body` (bulk bytes that are
// never copied into the head). Peers are node ids: the Ed25519 key that TLS pinned. The same interfaces are
// implemented over TLS (tls_transport.hpp), inside one process, and by the simulator, so that everything above
// runs on all three unchanged.
#pragma once

#include <core/base/bytes.hpp>
#include <core/base/ids.hpp>
#include <core/net/env.hpp>
#include <core/wire/codec.hpp>

#include <memory>

namespace cess::net {

inline constexpr std::size_t head_size_max = 4 * MiB;
inline constexpr std::size_t body_size_max = 4 * MiB;

using method_id = std::uint16_t;  // high byte: service (1 storage, 2 chain, 3 owner control); low byte: method

// A request's bulk bytes: its own, or lent by whoever makes it, so that what goes to several peers, or is large, is not
// copied for each.
class request_body {
public:
    request_body() = default;
    request_body(bytes own) : m_own(std::move(own)) {}
    // `keeper` keeps the bytes, unchanged, as long as the request needs them, which may be longer than the call takes.
    static request_body lent(byte_view what, std::shared_ptr<const void> keeper) {
        request_body out;
        out.m_lent = what;
        out.m_keeper = std::move(keeper);
        return out;
    }
    operator byte_view() const noexcept { return m_keeper ? m_lent : byte_view(m_own); }
    [[nodiscard]] std::size_t size() const noexcept { return byte_view(*this).size(); }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] bytes take() && { return m_keeper ? to_bytes(m_lent) : std::move(m_own); }

private:
    bytes m_own;
    byte_view m_lent;
    std::shared_ptr<const void> m_keeper;
};

struct request {
    method_id method = 0;
    bytes head;
    request_body body;
};

struct reply {
    error failure;  // errc::ok: `head` and `body` are the answer
    bytes head;
    bytes body;

    reply() = default;  // constructors keep it from being an aggregate, which would be constructible from an error alone
    reply(error e, bytes h, bytes b) : failure(std::move(e)), head(std::move(h)), body(std::move(b)) {}
    static reply of(error e) { return reply(std::move(e), {}, {}); }
};

// Where a peer is and who it must prove to be.
struct peer {
    node_id id;
    std::string address;  // "host:port"; the simulator ignores it

    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.id, self.address); }
    friend bool operator==(const peer&, const peer&) = default;
};

// Traffic classes that do not wait for each other: one connection each to a peer.
enum class lane : std::uint8_t { control, bulk };

// The calling side. Thread-safe: `call` may be started on any executor and resumes there.
class caller {
public:
    virtual ~caller() = default;
    // The reply, the peer's refusal as the error it named, or errc::unavailable / timeout. On timeout the request
    // may or may not have been carried out. A slow peer never blocks calls to others; the number of requests in
    // flight to one peer is bounded (errc::exhausted past it).
    virtual awaitable<result<reply>> call(peer to, request what, time_point deadline, lane on) = 0;
};

// The serving side. Called on the connection's executor, for several requests at once; `from` is authenticated.
class service {
public:
    virtual ~service() = default;
    virtual awaitable<reply> serve(node_id from, request what) = 0;
};

// call() with typed messages: encodes `message` as the head, decodes the reply's head as Reply.
template <class Reply>
struct typed_reply {
    Reply message;
    bytes body;
};
template <class Reply, class Message>
awaitable<result<typed_reply<Reply>>> call_typed(caller& through, peer to, method_id method, Message message, bytes body,
                                                 time_point deadline, lane on) {
    request what;
    what.method = method;
    what.head = wire::encode(message);
    what.body = std::move(body);
    auto answered = co_await through.call(std::move(to), std::move(what), deadline, on);
    if (!answered) co_return std::move(answered).error();
    auto decoded = wire::decode<Reply>(answered->head);
    if (!decoded) co_return std::move(decoded).error().with_context("reply");
    typed_reply<Reply> out;
    out.message = std::move(*decoded);
    out.body = std::move(answered->body);
    co_return out;
}

}  // namespace cess::net
