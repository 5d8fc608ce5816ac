#include <objectstore/s3/gateway.hpp>

#include "http_connection.hpp"

#include <core/base/log.hpp>
#include <core/net/blocking.hpp>
#include <core/net/task_group.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <map>

namespace cess::s3 {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

result<tcp::endpoint> parse_endpoint(const std::string& text) {
    const auto colon = text.rfind(':');
    const auto port = colon == std::string::npos ? std::nullopt : parse_number(std::string_view(text).substr(colon + 1));
    if (!port || *port > 65535) return error(errc::invalid, "listen address \"" + text + "\" is not HOST:PORT");
    auto host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    error_code failed;
    const auto address = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, failed);
    if (failed) return error(errc::invalid, "listen address \"" + text + "\": the host must be an IP address or localhost");
    return tcp::endpoint(address, static_cast<std::uint16_t>(*port));
}

result<std::unique_ptr<asio::ssl::context>> make_tls(const gateway_settings& how) {
    if (how.tls_certificate.empty() && how.tls_key.empty()) return std::unique_ptr<asio::ssl::context>();
    if (how.tls_certificate.empty() || how.tls_key.empty()) return error(errc::invalid, "TLS needs both a certificate and a key");
    auto out = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
    error_code failed;
    out->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1, failed);
    out->use_certificate_chain_file(how.tls_certificate, failed);
    if (failed) return error(errc::invalid, "TLS certificate " + how.tls_certificate + ": " + failed.message());
    out->use_private_key_file(how.tls_key, asio::ssl::context::pem, failed);
    if (failed) return error(errc::invalid, "TLS key " + how.tls_key + ": " + failed.message());
    return out;
}

std::vector<credential> credentials(const gateway_settings& how) {
    std::vector<credential> out;
    for (const auto& key : how.keys) out.push_back({key.id, key.secret});
    return out;
}

class server final : public gateway {
public:
    server(net::real_env& world, store& buckets, gateway_settings how, metrics& count, std::unique_ptr<asio::ssl::context> tls)
        : m_settings(std::move(how)),
          m_world(world),
          m_count(count),
          m_tls(std::move(tls)),
          m_workers(m_settings.workers, m_settings.queue_max),
          m_table(world, buckets, m_random, m_settings.buckets_max, m_settings.detach_after),
          m_memory(m_settings.memory),
          m_api({world, buckets, m_table, m_workers, m_memory, count}, m_settings.domain, credentials(m_settings)),
          m_executor(world.executor()),
          m_group(m_executor),
          m_acceptor(m_executor),
          m_connections(count.make_gauge("cess_s3_connections", "Open connections")),
          m_too_many(count.make_counter("cess_s3_connections_refused_total", "Connections past the bound")),
          m_context{m_api,
                    m_memory,
                    m_settings,
                    m_tls.get(),
                    count.make_counter("cess_s3_requests_total", "Requests whose head could be read"),
                    count.make_counter("cess_s3_malformed_total", "Input that was no request"),
                    count.make_counter("cess_s3_timeouts_total", "Peers that were silent for too long"),
                    count.make_counter("cess_s3_received_bytes_total", "Bytes of bodies received"),
                    count.make_counter("cess_s3_sent_bytes_total", "Bytes sent")} {}

    ~server() override { (void)stop(); }

    result<void> listen() {
        TRY(const auto at, parse_endpoint(m_settings.listen));
        error_code failed;
        m_acceptor.open(at.protocol(), failed);
        if (!failed) m_acceptor.set_option(tcp::acceptor::reuse_address(true), failed);
        if (!failed) m_acceptor.bind(at, failed);
        if (!failed) m_acceptor.listen(1024, failed);
        if (failed == asio::error::address_in_use) return error(errc::busy, "port " + m_settings.listen + " is in use by another program; choose another with --listen");
        if (failed) return error(errc::io, "listen on " + m_settings.listen + ": " + failed.message());
        m_address = text_of(m_acceptor.local_endpoint());
        m_group.spawn(accept());
        m_group.spawn(sweep());
        return {};
    }

    std::string address() const override { return m_address; }

    result<void> stop() override {
        if (m_context.stopping.exchange(true)) return {};
        // On the server's own strand: that is where the handles are.
        auto done = net::wait(m_world, asio::co_spawn(m_executor, shut(), asio::use_awaitable));
        m_workers.stop();
        return done;
    }

private:
    static std::string text_of(const tcp::endpoint& at) {
        const auto host = at.address().to_string();
        return (at.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(at.port());
    }

    net::awaitable<void> accept() {
        while (!m_context.stopping) {
            // Each connection has a strand of its own.
            auto [failed, socket] = co_await m_acceptor.async_accept(m_world.executor(), asio::as_tuple(asio::use_awaitable));
            if (failed == asio::error::operation_aborted || m_context.stopping) co_return;
            if (failed) {
                log::warn("s3", "accepting a connection failed error=\"{}\"", failed.message());
                (void)co_await m_world.sleep_for(std::chrono::milliseconds(50));
                continue;
            }
            take(std::move(socket));
        }
    }

    void take(tcp::socket socket) {
        if (m_handles.size() >= m_settings.connections_max) {
            m_too_many.add();
            error_code ignored;
            socket.non_blocking(true, ignored);
            constexpr std::string_view full = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: 1\r\n\r\n";
            socket.write_some(asio::buffer(full), ignored);
            return;
        }
        const auto number = m_next++;
        auto handle = std::make_shared<http_handle>();
        auto on = socket.get_executor();
        m_handles.emplace(number, std::pair(on, handle));
        m_connections.add(1);
        auto at_end = std::make_unique<leaving>(*this, number);
        m_group.spawn_on(on, run(std::move(socket), handle, std::move(at_end)));
    }

    // However a connection ends, also before it starts, it is forgotten on the server's strand.
    struct leaving {
        leaving(server& of, std::uint64_t n) : from(of), number(n) {}
        leaving(const leaving&) = delete;
        leaving& operator=(const leaving&) = delete;
        ~leaving() {
            asio::post(from.m_executor, [server = &from, n = number] { server->forget(n); });
        }
        server& from;
        std::uint64_t number;
    };

    net::awaitable<void> run(tcp::socket socket, std::shared_ptr<http_handle> handle, std::unique_ptr<leaving>) {
        co_await serve_connection(m_context, std::move(socket), handle);
    }

    void forget(std::uint64_t number) {
        if (m_handles.erase(number) > 0) m_connections.add(-1);
    }

    net::awaitable<void> sweep() {
        for (;;) {
            auto slept = co_await m_world.sleep_for(std::chrono::seconds(1));
            if (!slept) co_return;
            co_await m_table.sweep();
        }
    }

    net::awaitable<result<void>> shut() {
        error_code ignored;
        m_acceptor.close(ignored);
        for (auto& [number, one] : m_handles) {
            asio::post(one.first, [handle = one.second] {
                if (handle->idle && handle->close) handle->close();
            });
        }
        const auto until = m_world.now() + m_settings.grace;
        while (!m_handles.empty() && m_world.now() < until) {
            (void)co_await m_world.sleep_for(std::chrono::milliseconds(10));
        }
        co_await m_group.stop();
        while (!m_handles.empty()) (void)co_await m_world.sleep_for(std::chrono::milliseconds(1));
        co_return co_await m_table.stop();
    }

    gateway_settings m_settings;
    net::real_env& m_world;
    metrics& m_count;
    system_random m_random;
    std::unique_ptr<asio::ssl::context> m_tls;
    net::worker_pool m_workers;
    bucket_table m_table;
    memory_budget m_memory;
    service m_api;
    asio::any_io_executor m_executor;  // the server's strand: acceptor, handles
    net::task_group m_group;
    tcp::acceptor m_acceptor;
    gauge& m_connections;
    counter& m_too_many;
    http_context m_context;
    std::string m_address;
    std::map<std::uint64_t, std::pair<asio::any_io_executor, std::shared_ptr<http_handle>>> m_handles;
    std::uint64_t m_next = 0;
};

}  // namespace

result<std::unique_ptr<gateway>> gateway::start(net::real_env& world, store& buckets, gateway_settings how, metrics& count) {
    TRY(auto tls, make_tls(how));
    auto out = std::make_unique<server>(world, buckets, std::move(how), count, std::move(tls));
    CHECK_OK(out->listen());
    return std::unique_ptr<gateway>(std::move(out));
}

}  // namespace cess::s3
