#include <core/net/blocking.hpp>
#include <core/net/http_metrics.hpp>
#include <core/net/http_server.hpp>

namespace cess::net {
namespace {

class http_metrics_server final : public http_metrics {
public:
    http_metrics_server(const metrics& from, options how) : m_from(from), m_how(std::move(how)) {}

    result<void> listen(env& world) {
        http_server::options how;
        how.listen = m_how.listen;
        how.connections_max = m_how.connections_max;
        how.head_size_max = 4 * 1024;
        how.head_timeout = how.answer_timeout = m_how.request_timeout;
        how.keep_alive = false;
        TRY(m_server, http_server::start(world, [this](http_request asked) { return answer(std::move(asked)); }, std::move(how)));
        return {};
    }

    std::string address() const override { return m_server->address(); }
    awaitable<void> stop() override { return m_server->stop(); }

private:
    awaitable<http_response> answer(http_request asked) { co_return respond(asked.method, asked.target); }

    http_response respond(std::string_view method, std::string_view target) const {
        http_response out;
        out.headers.emplace_back("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
        if (method != "GET") {
            out.status = 405;
            out.body = "only GET\n";
        } else if (target == "/metrics") {
            out.body = m_from.render();
        } else if (target == "/healthz") {
            const bool healthy = !m_how.healthy || m_how.healthy();
            out.status = healthy ? 200 : 503;
            out.body = healthy ? "ok\n" : "not healthy\n";
        } else {
            out.status = 404;
            out.body = "there are /metrics and /healthz\n";
        }
        return out;
    }

    const metrics& m_from;
    const options m_how;
    std::unique_ptr<http_server> m_server;
};

}  // namespace

result<std::unique_ptr<http_metrics>> http_metrics::start(env& world, const metrics& from, options how) {
    auto made = std::make_unique<http_metrics_server>(from, std::move(how));
    CHECK_OK(made->listen(world));
    return std::unique_ptr<http_metrics>(std::move(made));
}

namespace {

awaitable<result<void>> stop_endpoint(http_metrics& which) {
    co_await which.stop();
    co_return result<void>();
}

}  // namespace

void metrics_stopper::operator()(http_metrics* which) const {
    (void)wait(*world, stop_endpoint(*which));
    delete which;
}

result<metrics_endpoint> serve_metrics(env& world, const metrics& from, const std::string& listen, std::function<bool()> healthy) {
    if (listen.empty()) return metrics_endpoint();
    http_metrics::options how;
    how.listen = listen;
    how.healthy = std::move(healthy);
    auto started = http_metrics::start(world, from, std::move(how));
    if (!started) return std::move(started).error().with_context("metrics endpoint " + listen);
    return metrics_endpoint(started->release(), metrics_stopper{&world});
}

}  // namespace cess::net
