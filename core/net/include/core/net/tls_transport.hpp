// RPC over TLS 1.3 with mutual authentication: each side shows a self-signed Ed25519 certificate whose key *is*
// its node id (OpenSSL 3.0 has no raw public keys), and a client refuses a server whose key is not the one it
// called. Frame: magic u32, method-or-status u16, flags u16, request id u64, head size u32, body size u32, then
// head and body; sizes are checked before anything is allocated. docs/formats/rpc.md has the byte layout.
#pragma once

#include <core/base/metrics.hpp>
#include <core/crypto/crypto.hpp>
#include <core/net/rpc.hpp>

#include <memory>

namespace cess::net {

struct tls_limits {
    std::size_t connections_max = 1024;             // of a server
    std::size_t requests_in_flight_max = 256;       // a connection, either side
    std::size_t bytes_in_flight_max = 64 * MiB;     // a connection, server side: requests being read and not answered
    std::size_t bytes_total_max = 256 * MiB;        // of a server: the same over all connections; then it reads no more
    duration handshake_timeout = std::chrono::seconds(5);
    duration idle_timeout = std::chrono::minutes(10);
    duration frame_timeout = std::chrono::seconds(30);  // from a frame's first byte to its last
    duration idle_yield = std::chrono::seconds(5);      // when a server's connections are all taken, one idle for so long gives way
};

// Accepts connections and hands every request to `to`. Lives on env's executors (each connection on one of them, where
// its requests are served). stop() refuses new requests, waits for those running up to a deadline,
// and closes; it must be called before destruction.
class tls_server {
public:
    struct options {
        std::string listen;  // "host:port", port 0 picks one
        tls_limits limits;
    };
    static result<std::unique_ptr<tls_server>> start(env& world, const crypto::signing_key& identity, options how, service& to, metrics& count);
    virtual ~tls_server() = default;
    [[nodiscard]] virtual std::string address() const = 0;  // with the real port
    virtual awaitable<void> stop(duration grace) = 0;
};

// Connects on demand, one connection a (peer, lane), reconnecting with backoff (calls made meanwhile fail at once). With
// `large`, requests of lane::bulk with a body of 64 KiB or more have connections of their own, which run there: small
// requests then wait neither behind them nor for their encryption.
// Destroy it before env and metrics and on no executor thread: the destructor waits until its connections are gone.
[[nodiscard]] std::unique_ptr<caller> make_tls_caller(env& world, const crypto::signing_key& identity, tls_limits limits, metrics& count, env* large = nullptr);

}  // namespace cess::net
