#include "http_connection.hpp"

#include <core/base/log.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>

namespace cess::s3 {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t stream_buffer = 1 * MiB;
constexpr std::size_t body_read_size = 64 * KiB;
constexpr std::uint64_t drained_max = 256 * KiB;  // of a body nobody wanted, to keep the connection
constexpr auto linger = std::chrono::seconds(2);
constexpr int slow_fill = 10;  // timeouts a buffer may take in all

using plain_stream = beast::tcp_stream;
using tls_stream = asio::ssl::stream<beast::tcp_stream>;
using parser = http::request_parser<http::buffer_body>;

template <class Stream>
class connection final {
public:
    connection(http_context& in, Stream stream, http_handle& handle) : m_in(in), m_stream(std::move(stream)), m_handle(handle) {}

    // Also when a cancellation unwinds it: nobody may reach it any more.
    ~connection() {
        m_handle.close = nullptr;
        m_handle.idle = false;
    }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    net::awaitable<void> run() {
        m_handle.close = [this] { lowest().cancel(); };
        if (!co_await open()) co_return;
        while (co_await serve_one()) {
        }
        co_await close();
    }

private:
    class body;

    auto& lowest() { return beast::get_lowest_layer(m_stream); }
    void deadline(net::duration in) { lowest().expires_after(in); }

    net::awaitable<bool> open() {
        if constexpr (std::is_same_v<Stream, tls_stream>) {
            deadline(m_in.settings.header_timeout);
            auto [failed] = co_await m_stream.async_handshake(asio::ssl::stream_base::server, as_result);
            if (failed) m_in.refused.add();
            co_return !failed;
        }
        co_return true;
    }

    // Waits for the first byte of a request; false: the peer, or the server, ends here.
    net::awaitable<bool> wait_for_request() {
        if (m_buffer.size() > 0) co_return true;
        if (m_in.stopping) co_return false;
        deadline(m_in.settings.idle_timeout);
        m_handle.idle = true;
        auto [failed, n] = co_await m_stream.async_read_some(m_buffer.prepare(8 * KiB), as_result);
        m_handle.idle = false;
        m_buffer.commit(n);
        co_return !failed;
    }

    net::awaitable<bool> serve_one() {
        if (!co_await wait_for_request()) co_return false;
        parser request;
        request.header_limit(header_size_max);
        request.body_limit(boost::none);
        deadline(m_in.settings.header_timeout);
        auto [failed, n] = co_await http::async_read_header(m_stream, m_buffer, request, as_result);
        if (failed) {
            co_await refuse_head(failed);
            co_return false;
        }
        m_in.requests.add();
        co_return co_await answer_one(request);
    }

    net::awaitable<bool> answer_one(parser& request) {
        body incoming(*this, request);
        header_list headers;
        for (const auto& field : request.get()) headers.add(to_view(field.name_string()), to_view(field.value()));
        auto head = parse_head(to_view(request.get().method_string()), to_view(request.get().target()), std::move(headers));
        response reply;
        if (head) {
            reply = co_await m_in.api.serve(*head, incoming);
        } else {
            m_in.refused.add();
            reply = m_in.api.refuse(head.error(), "");
        }
        const bool drained = co_await incoming.drain(reply);
        const bool keep = request.keep_alive() && drained && !m_in.stopping;
        const bool sent = co_await send(reply, keep, request.get().version());
        co_return sent && keep;
    }

    net::awaitable<void> refuse_head(error_code why) {
        if (why == beast::error::timeout) m_in.timeouts.add();
        if (why.category() != http::make_error_code(http::error::bad_method).category()) co_return;  // of the socket: nobody listens
        if (why == http::error::end_of_stream) co_return;
        m_in.refused.add();
        if (why == http::error::partial_message) co_return;
        const bool large = why == http::error::header_limit || why == http::error::buffer_overflow;
        auto reply = m_in.api.refuse(failure(large ? code::header_too_large : code::bad_request), "");
        (void)co_await send(reply, false, 11);
    }

    net::awaitable<bool> write(asio::const_buffer data) {
        while (data.size() > 0) {
            deadline(m_in.settings.body_timeout);
            auto [failed, n] = co_await m_stream.async_write_some(data, as_result);
            if (failed == beast::error::timeout) m_in.timeouts.add();
            if (failed) co_return false;
            m_in.bytes_out.add(n);
            data += n;
        }
        co_return true;
    }

    net::awaitable<bool> send(response& reply, bool keep, unsigned version) {
        auto text = head_of(reply, keep, version);
        if (reply.stream) {
            if (!co_await write(asio::buffer(text))) co_return false;
            co_return co_await send_stream(*reply.stream);
        }
        // A long listing waits in memory for a slow reader, so it counts.
        auto room = m_in.memory.take(reply.body.size());
        if (!room) {
            m_in.refused.add();
            co_return false;
        }
        if (!reply.bodyless) text.append(reply.body);
        reply.body = std::string();
        co_return co_await write(asio::buffer(text));
    }

    // Reads ahead by one buffer while the last one is sent.
    net::awaitable<bool> send_stream(object_stream& from) {
        const auto size = std::min<std::uint64_t>(from.left, stream_buffer);
        auto room = m_in.memory.take(from.left <= stream_buffer ? size : 2 * stream_buffer);
        if (!room) {
            m_in.refused.add();
            co_return false;
        }
        bytes current(size), next;
        auto first = size == 0 ? result<void>() : co_await m_in.api.read(from, current);
        if (!first) co_return give_up(first.error());
        while (from.left > 0) {
            next.resize(std::min<std::uint64_t>(from.left, stream_buffer));
            using namespace asio::experimental::awaitable_operators;
            auto sending = write(asio::buffer(current));
            auto reading = m_in.api.read(from, next);
            auto both = std::move(sending) && std::move(reading);
            auto [sent, got] = co_await std::move(both);
            if (!sent) co_return false;
            if (!got) co_return give_up(got.error());
            std::swap(current, next);
        }
        co_return co_await write(asio::buffer(current));
    }

    // The status is on its way already: only a cut connection tells the client that the bytes are not all there.
    bool give_up(const error& why) {
        log::warn("s3", "an object could not be read to its end, connection cut error=\"{}\"", why.message());
        return false;
    }

    std::string head_of(const response& reply, bool keep, unsigned version) {
        std::string out = "HTTP/1.1 " + std::to_string(reply.status) + " ";
        const auto reason = http::obsolete_reason(static_cast<http::status>(reply.status));
        out.append(reason.data(), reason.size()).append("\r\nServer: cess\r\nDate: ");
        out.append(http_date(std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()))).append("\r\n");
        for (const auto& [name, value] : reply.headers)
            if (header_safe(value)) out.append(name).append(": ").append(value).append("\r\n");
        if (!keep) out.append("Connection: close\r\n");
        else if (version < 11) out.append("Connection: keep-alive\r\n");
        if (reply.status != 204 && reply.status != 304)
            out.append("Content-Length: ").append(std::to_string(reply.content_length.value_or(reply.body.size()))).append("\r\n");
        return out.append("\r\n");
    }

    // The peer may still be sending: reads a little of it, so that it gets our answer before a reset.
    net::awaitable<void> close() {
        error_code ignored;
        if constexpr (std::is_same_v<Stream, tls_stream>) {
            deadline(linger);
            (void)co_await m_stream.async_shutdown(as_result);
        }
        lowest().socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
        std::uint64_t seen = 0;
        deadline(linger);
        for (bytes waste(16 * KiB); seen < MiB;) {
            auto [failed, n] = co_await lowest().async_read_some(asio::buffer(waste), as_result);
            if (failed) break;
            seen += n;
        }
        lowest().close();
    }

    static std::string_view to_view(beast::string_view text) { return {text.data(), text.size()}; }

    http_context& m_in;
    Stream m_stream;
    http_handle& m_handle;
    beast::flat_buffer m_buffer{2 * header_size_max};
};

template <class Stream>
class connection<Stream>::body final : public body_source {
public:
    body(connection& of, parser& request) : m_of(of), m_request(request) {
        const auto expect = request.get()[http::field::expect];
        m_continue = equals_ignoring_case(to_view(expect), "100-continue") && request.get().version() >= 11;
    }

    std::optional<std::uint64_t> length() const override {
        if (m_request.chunked()) return {};
        const auto declared = m_request.content_length();
        return declared ? std::optional<std::uint64_t>(*declared) : std::optional<std::uint64_t>(0);
    }
    bool ended() const override { return m_request.is_done(); }

    net::awaitable<answer<std::size_t>> read(byte_span to) override {
        // Also before an empty body: botocore garbles the next reply of a connection where a final one came first.
        if (m_continue) {
            m_continue = false;
            constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
            if (!co_await m_of.write(asio::buffer(go_on))) co_return failure(code::incomplete_body);
        }
        // Beast reads as much at a time as the buffer has room for.
        if (to.size() > 8 * KiB) m_of.m_buffer.reserve(body_read_size);
        std::size_t filled = 0;
        const auto until = std::chrono::steady_clock::now() + slow_fill * m_of.m_in.settings.body_timeout;
        while (filled < to.size() && !ended()) {
            auto& sink = m_request.get().body();
            sink.data = to.data() + filled;
            sink.size = to.size() - filled;
            sink.more = true;
            m_of.deadline(m_of.m_in.settings.body_timeout);
            auto [failed, n] = co_await http::async_read_some(m_of.m_stream, m_of.m_buffer, m_request, as_result);
            const auto now_filled = to.size() - sink.size;
            m_of.m_in.bytes_in.add(now_filled - filled);
            filled = now_filled;
            if (failed == http::error::need_buffer) failed = {};
            if (failed == beast::error::timeout || std::chrono::steady_clock::now() > until) {
                m_of.m_in.timeouts.add();
                m_broken = true;
                co_return failure(code::request_timeout);
            }
            if (failed) {
                m_broken = true;
                m_of.m_in.refused.add();
                co_return failure(code::incomplete_body);
            }
        }
        co_return filled;
    }

    // After the operation: whether the connection can go on with another request.
    net::awaitable<bool> drain(const response& reply) {
        // A client that waits for our "go on" never sends a refused body, and takes the connection for spent.
        if (m_continue) co_return false;
        if (ended()) co_return true;
        if (m_broken || !length() || *length() > drained_max || reply.stream) co_return false;
        bytes waste(16 * KiB);
        while (!ended()) {
            const auto got = co_await read(waste);
            if (!got) co_return false;
        }
        co_return true;
    }

private:
    connection& m_of;
    parser& m_request;
    bool m_continue = false, m_broken = false;
};

}  // namespace

net::awaitable<void> serve_connection(http_context& in, asio::ip::tcp::socket socket, std::shared_ptr<http_handle> handle) {
    error_code ignored;
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    plain_stream plain(std::move(socket));
    if (in.tls) {
        connection<tls_stream> one(in, tls_stream(std::move(plain), *in.tls), *handle);
        co_await one.run();
    } else {
        connection<plain_stream> one(in, std::move(plain), *handle);
        co_await one.run();
    }
}

}  // namespace cess::s3
