#include "address.hpp"

#include <core/net/blocking.hpp>
#include <core/net/deadline.hpp>
#include <core/net/http_metrics.hpp>
#include <core/net/task_group.hpp>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

namespace cess::net {
namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

namespace {

constexpr std::size_t header_max = 4 * KiB;
using response = http::response<http::string_body>;

class http_metrics_server final : public http_metrics {
public:
    http_metrics_server(env& world, const metrics& from, options how)
        : m_world(world), m_from(from), m_how(std::move(how)), m_strand(world.executor()), m_acceptor(m_strand), m_tasks(m_strand) {}

    result<void> listen() {
        TRY(auto where, parse_address(m_how.listen));
        boost::system::error_code bad;
        tcp::resolver resolver(m_strand);
        const auto found = resolver.resolve(where.host, where.port, tcp::resolver::passive, bad);
        if (bad || found.empty()) return error(errc::invalid, "listen on " + m_how.listen + ": " + bad.message());
        const auto at = found.begin()->endpoint();
        m_acceptor.open(at.protocol(), bad);
        if (!bad) m_acceptor.set_option(tcp::acceptor::reuse_address(true), bad);
        if (!bad) m_acceptor.bind(at, bad);
        if (!bad) m_acceptor.listen(static_cast<int>(m_how.connections_max), bad);
        if (bad) return errno_error("listen on " + m_how.listen, bad.value());
        m_address = format_address(m_acceptor.local_endpoint(bad));
        m_tasks.spawn(accept_loop());
        return {};
    }

    std::string address() const override { return m_address; }

    awaitable<void> stop() override {
        co_await m_tasks.stop();
        boost::system::error_code ignored;
        m_acceptor.close(ignored);
    }

private:
    awaitable<void> accept_loop() {
        for (;;) {
            tcp::socket socket(m_strand);
            boost::system::error_code bad;
            auto op = m_acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, bad));
            co_await std::move(op);
            if (bad == asio::error::operation_aborted) co_return;
            if (bad) {
                auto slept = co_await m_world.sleep_for(std::chrono::milliseconds(100));
                if (!slept) co_return;
                continue;
            }
            if (m_open >= m_how.connections_max) continue;  // the socket closes
            m_tasks.spawn(limited(std::move(socket)));
        }
    }

    awaitable<void> limited(tcp::socket socket) {
        struct count {
            explicit count(std::size_t& in) : n(in) { ++n; }
            ~count() { --n; }
            std::size_t& n;
        } counted(m_open);
        auto work = answer(socket);
        auto timed = with_deadline<void>(m_world, std::move(work), m_world.now() + m_how.request_timeout);
        (void)co_await std::move(timed);
    }

    // One request a connection.
    awaitable<result<void>> answer(tcp::socket& socket) {
        boost::beast::flat_buffer buffer(2 * header_max);
        http::request_parser<http::empty_body> parser;
        parser.header_limit(header_max);
        parser.body_limit(0);
        boost::system::error_code bad;
        auto reading = http::async_read_header(socket, buffer, parser, asio::redirect_error(asio::use_awaitable, bad));
        co_await std::move(reading);
        if (bad) co_return error(errc::protocol, "http request");
        auto out = respond(parser.get().method(), parser.get().target());
        auto writing = http::async_write(socket, out, asio::redirect_error(asio::use_awaitable, bad));
        co_await std::move(writing);
        socket.shutdown(tcp::socket::shutdown_both, bad);
        co_return result<void>();
    }

    response respond(http::verb method, std::string_view target) const {
        response out;
        out.version(11);
        out.keep_alive(false);
        out.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
        if (method != http::verb::get) {
            out.result(http::status::method_not_allowed);
            out.body() = "only GET\n";
        } else if (target == "/metrics") {
            out.body() = m_from.render();
        } else if (target == "/healthz") {
            const bool healthy = !m_how.healthy || m_how.healthy();
            out.result(healthy ? http::status::ok : http::status::service_unavailable);
            out.body() = healthy ? "ok\n" : "not healthy\n";
        } else {
            out.result(http::status::not_found);
            out.body() = "there are /metrics and /healthz\n";
        }
        out.prepare_payload();
        return out;
    }

    env& m_world;
    const metrics& m_from;
    const options m_how;
    const asio::any_io_executor m_strand;
    tcp::acceptor m_acceptor;
    task_group m_tasks;
    std::size_t m_open = 0;
    std::string m_address;
};

}  // namespace

result<std::unique_ptr<http_metrics>> http_metrics::start(env& world, const metrics& from, options how) {
    auto made = std::make_unique<http_metrics_server>(world, from, std::move(how));
    CHECK_OK(made->listen());
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
