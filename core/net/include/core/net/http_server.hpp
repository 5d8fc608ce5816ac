// Small answers over plain HTTP/1.1, to requests without a body: what a program's metrics and the ledger's API stand on.
//
// Bounded, whatever a peer does: connections, a head's bytes and the time it takes, silence between requests, the time an
// answer takes to be read. When all connections are taken, the one that has waited longest for its peer gives way, so
// that neither silent nor deaf peers keep anybody out. Runs on one executor of its env; handlers are called there and must not block.
#pragma once

#include <core/base/metrics.hpp>
#include <core/net/env.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cess::net {

struct http_request {
    std::string method;
    std::string target;         // as it stands in the request line
    std::string if_none_match;  // empty: not sent
};
struct http_response {
    unsigned status = 200;
    std::vector<std::pair<std::string, std::string>> headers;  // besides Content-Length and Connection
    std::string body;  // not sent to HEAD, but counted
};

// stop() before destruction.
class http_server {
public:
    struct options {
        std::string listen = "127.0.0.1:0";
        std::size_t connections_max = 64;
        std::size_t head_size_max = 8 * 1024;
        duration head_timeout = std::chrono::seconds(5);     // from a request's first byte, or the connection's beginning
        duration idle_timeout = std::chrono::seconds(30);    // between requests
        duration answer_timeout = std::chrono::seconds(30);  // for the peer to read an answer
        bool keep_alive = true;
        counter* refused = nullptr;  // what was no request, and connections past the bound
        // The answer to what is no request; not set: a line of text.
        std::function<http_response(unsigned status, std::string_view why)> refuse;
    };
    using handler = std::function<awaitable<http_response>(http_request)>;
    static result<std::unique_ptr<http_server>> start(env& world, handler answer, options how);
    virtual ~http_server() = default;
    [[nodiscard]] virtual std::string address() const = 0;  // with the real port
    virtual awaitable<void> stop() = 0;
};

}  // namespace cess::net
