// GET /metrics (Prometheus' text format) and GET /healthz over plain HTTP, for a scraper on the same machine.
#pragma once

#include <core/base/metrics.hpp>
#include <core/net/env.hpp>

#include <functional>
#include <memory>
#include <string>

namespace cess::net {

// Few connections at a time, a deadline for each request, nothing of the request's body read. stop() before destruction.
class http_metrics {
public:
    struct options {
        std::string listen = "127.0.0.1:0";
        std::size_t connections_max = 16;
        duration request_timeout = std::chrono::seconds(5);
        std::function<bool()> healthy;  // /healthz: 200 "ok" or 503; not set = healthy
    };
    static result<std::unique_ptr<http_metrics>> start(env& world, const metrics& from, options how);
    virtual ~http_metrics() = default;
    [[nodiscard]] virtual std::string address() const = 0;  // with the real port
    virtual awaitable<void> stop() = 0;
};

// For programs, whose threads block: an endpoint that stops as it goes.
struct metrics_stopper {
    env* world = nullptr;
    void operator()(http_metrics* which) const;
};
using metrics_endpoint = std::unique_ptr<http_metrics, metrics_stopper>;
// Null if `listen` is empty. The error names the address.
[[nodiscard]] result<metrics_endpoint> serve_metrics(env& world, const metrics& from, const std::string& listen, std::function<bool()> healthy = {});

}  // namespace cess::net
