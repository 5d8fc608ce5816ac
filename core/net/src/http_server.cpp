#include "address.hpp"

#include <core/net/http_server.hpp>
#include <core/net/task_group.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>

#include <list>

namespace cess::net {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t drained_max = 64 * 1024;  // of what a refused peer still sends, so that it sees the answer
constexpr auto linger = std::chrono::seconds(1);
using parser = http::request_parser<http::empty_body>;

std::string text_of(beast::string_view text) { return {text.data(), text.size()}; }

http_response plain_refusal(unsigned status, std::string_view why) {
    http_response out;
    out.status = status;
    out.headers.emplace_back("Content-Type", "text/plain; charset=utf-8");
    out.body = std::string(why) + "\n";
    return out;
}

std::string encoded(const http_response& what, bool keep, bool bodyless) {
    const auto reason = http::obsolete_reason(static_cast<http::status>(what.status));
    std::string out = "HTTP/1.1 " + std::to_string(what.status) + " " + text_of(reason) + "\r\n";
    for (const auto& [name, value] : what.headers) out.append(name).append(": ").append(value).append("\r\n");
    if (what.status != 204 && what.status != 304) out.append("Content-Length: ").append(std::to_string(what.body.size())).append("\r\n");
    out.append(keep ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
    if (!bodyless && what.status != 204 && what.status != 304) out.append(what.body);
    return out;
}

class small_server final : public http_server {
public:
    small_server(env& world, handler answer, options how)
        : m_world(world), m_answer(std::move(answer)), m_how(std::move(how)), m_executor(world.executor()), m_acceptor(m_executor), m_tasks(m_executor) {
        if (!m_how.refuse) m_how.refuse = plain_refusal;
    }

    result<void> listen() {
        TRY(auto where, parse_address(m_how.listen));
        error_code bad;
        tcp::resolver resolver(m_executor);
        const auto found = resolver.resolve(where.host, where.port, tcp::resolver::passive, bad);
        if (bad || found.empty()) return error(errc::invalid, "listen on " + m_how.listen + ": " + bad.message());
        const auto at = found.begin()->endpoint();
        m_acceptor.open(at.protocol(), bad);
        if (!bad) m_acceptor.set_option(tcp::acceptor::reuse_address(true), bad);
        if (!bad) m_acceptor.bind(at, bad);
        if (!bad) m_acceptor.listen(static_cast<int>(m_how.connections_max), bad);
        if (bad) return errno_error("listen on " + m_how.listen, bad.value());
        m_address = format_address(m_acceptor.local_endpoint(bad));
        m_tasks.spawn(accept_all());
        return {};
    }

    std::string address() const override { return m_address; }

    awaitable<void> stop() override {
        co_await m_tasks.stop();
        error_code ignored;
        m_acceptor.close(ignored);
    }

private:
    struct connection {
        explicit connection(tcp::socket socket) : stream(std::move(socket)) {}
        beast::tcp_stream stream;
        time_point waits_since{};
        bool waits = true;  // for the peer: to ask, or to read its answer
    };

    awaitable<void> accept_all() {
        for (;;) {
            auto accepting = m_acceptor.async_accept(m_executor, as_result);
            auto [bad, socket] = co_await std::move(accepting);
            if (bad == asio::error::operation_aborted) co_return;
            if (bad) {
                auto slept = co_await m_world.sleep_for(std::chrono::milliseconds(100));
                if (!slept) co_return;
                continue;
            }
            if (m_open.size() >= m_how.connections_max && !make_room()) {
                turn_away(socket);
                continue;
            }
            auto made = std::make_shared<connection>(std::move(socket));
            made->waits_since = m_world.now();
            m_open.push_back(made);
            m_tasks.spawn(converse(std::move(made)));
        }
    }

    bool make_room() {
        auto longest = m_open.end();
        for (auto at = m_open.begin(); at != m_open.end(); ++at)
            if ((*at)->waits && (longest == m_open.end() || (*at)->waits_since < (*longest)->waits_since)) longest = at;
        if (longest == m_open.end()) return false;
        count_refused();
        (*longest)->stream.close();
        m_open.erase(longest);
        return true;
    }

    void turn_away(tcp::socket& socket) {
        count_refused();
        error_code ignored;
        socket.non_blocking(true, ignored);
        const auto text = encoded(m_how.refuse(503, "all connections are busy; come again in a second"), false, false);
        socket.write_some(asio::buffer(text), ignored);
    }

    void count_refused() {
        if (m_how.refused) m_how.refused->add();
    }

    awaitable<void> converse(std::shared_ptr<connection> with) {
        struct leaving {
            leaving(std::list<std::shared_ptr<connection>>& in, std::shared_ptr<connection> who) : open(in), one(std::move(who)) {}
            leaving(const leaving&) = delete;
            leaving& operator=(const leaving&) = delete;
            ~leaving() { open.remove(one); }
            std::list<std::shared_ptr<connection>>& open;
            std::shared_ptr<connection> one;
        } at_end(m_open, with);
        error_code ignored;
        with->stream.socket().set_option(tcp::no_delay(true), ignored);
        beast::flat_buffer buffer(2 * m_how.head_size_max);
        auto patience = m_how.head_timeout;
        for (;;) {
            auto serving = serve_one(*with, buffer, patience);
            const bool goes_on = co_await std::move(serving);
            if (!goes_on) co_return;
            patience = m_how.idle_timeout;
        }
    }

    // False: this was the last one.
    awaitable<bool> serve_one(connection& with, beast::flat_buffer& buffer, duration patience) {
        with.waits = true;
        with.waits_since = m_world.now();
        auto& stream = with.stream;
        if (buffer.size() == 0) {
            stream.expires_after(patience);
            auto first = stream.async_read_some(buffer.prepare(m_how.head_size_max), as_result);
            auto [bad, n] = co_await std::move(first);
            buffer.commit(n);
            if (bad) co_return false;
        }
        parser head;
        head.header_limit(static_cast<std::uint32_t>(m_how.head_size_max));
        head.body_limit(0);
        stream.expires_after(m_how.head_timeout);
        auto reading = http::async_read_header(stream, buffer, head, as_result);
        auto [bad, n] = co_await std::move(reading);
        if (bad) {
            auto refusing = refuse_head(stream, bad);
            co_await std::move(refusing);
            co_return false;
        }
        const auto& request = head.get();
        if (head.chunked()) {
            auto refusing = refuse_head(stream, http::error::body_limit);
            co_await std::move(refusing);
            co_return false;
        }
        http_request asked;
        asked.method = text_of(request.method_string());
        asked.target = text_of(request.target());
        asked.if_none_match = text_of(request[http::field::if_none_match]);
        const bool keep = m_how.keep_alive && head.keep_alive() && !m_tasks.stopping();
        const bool bodyless = asked.method == "HEAD";
        with.waits = false;
        auto answering = m_answer(std::move(asked));
        auto answer = co_await std::move(answering);
        with.waits = true;
        with.waits_since = m_world.now();
        auto sending = send(stream, std::move(answer), keep, bodyless);
        const bool sent = co_await std::move(sending);
        co_return sent && keep;
    }

    awaitable<bool> send(beast::tcp_stream& to, http_response what, bool keep, bool bodyless) {
        const auto text = encoded(what, keep, bodyless);
        to.expires_after(m_how.answer_timeout);
        auto writing = asio::async_write(to, asio::buffer(text), as_result);
        auto [bad, n] = co_await std::move(writing);
        error_code ignored;
        if (!keep) to.socket().shutdown(tcp::socket::shutdown_send, ignored);
        co_return !bad;
    }

    awaitable<void> refuse_head(beast::tcp_stream& from, error_code why) {
        const bool late = why == beast::error::timeout;
        if (!late && why.category() != http::make_error_code(http::error::bad_method).category()) co_return;  // of the socket: nobody listens
        if (why == http::error::end_of_stream) co_return;
        count_refused();
        const bool large = why == http::error::header_limit || why == http::error::buffer_overflow;
        if (late || why == http::error::partial_message) co_return;
        auto answer = large                               ? m_how.refuse(431, "the request's head is too large; send fewer or shorter headers")
                      : why == http::error::body_limit ? m_how.refuse(413, "requests with a body are not taken here; send none")
                                                       : m_how.refuse(400, "this is no HTTP/1.1 request");
        auto sending = send(from, std::move(answer), false, false);
        (void)co_await std::move(sending);
        auto closing = drain(from);
        co_await std::move(closing);
    }

    // Closing over what was not read would reset the connection before the peer sees the answer.
    static awaitable<void> drain(beast::tcp_stream& from) {
        from.expires_after(linger);
        std::vector<char> waste(8 * 1024);
        for (std::size_t seen = 0; seen < drained_max;) {
            auto reading = from.async_read_some(asio::buffer(waste), as_result);
            auto [bad, n] = co_await std::move(reading);
            if (bad) co_return;
            seen += n;
        }
    }

    env& m_world;
    const handler m_answer;
    options m_how;
    const asio::any_io_executor m_executor;
    tcp::acceptor m_acceptor;
    std::list<std::shared_ptr<connection>> m_open;
    net::task_group m_tasks;
    std::string m_address;
};

}  // namespace

result<std::unique_ptr<http_server>> http_server::start(env& world, handler answer, options how) {
    auto made = std::make_unique<small_server>(world, std::move(answer), std::move(how));
    CHECK_OK(made->listen());
    return std::unique_ptr<http_server>(std::move(made));
}

}  // namespace cess::net
