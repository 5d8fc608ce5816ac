#include "tls_engine.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>

#include <algorithm>
#include <climits>
#include <new>
#include <utility>

namespace cess::net {
namespace {
constexpr std::size_t input_first = 16 * KiB;
constexpr std::size_t input_max = 256 * KiB;
}  // namespace

// OpenSSL's view of the two buffers.
struct tls_engine::bio {
    static tls_engine& of(BIO* b) { return *static_cast<tls_engine*>(BIO_get_data(b)); }
    static int write(BIO* b, const char* data, std::size_t size, std::size_t* done) {
        auto& out = of(b).m_output;  // by memcpy: inserting would construct byte by byte
        const auto before = out.size();
        if (out.capacity() < before + size) out.reserve(std::max(2 * out.capacity(), before + size + 32 * KiB));
        out.resize(before + size);
        std::memcpy(out.data() + before, data, size);
        *done = size;
        return 1;
    }
    static int read(BIO* b, char* out, std::size_t size, std::size_t* done) {
        auto& e = of(b);
        BIO_clear_retry_flags(b);
        const auto n = std::min(size, e.m_end - e.m_begin);
        if (n == 0) {
            BIO_set_retry_read(b);
            return 0;
        }
        std::memcpy(out, e.m_input.data() + e.m_begin, n);
        e.m_begin += n;
        *done = n;
        return 1;
    }
    static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }
    static BIO_METHOD* method() {
        static BIO_METHOD* const m = [] {
            auto* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "cess buffers");
            BIO_meth_set_write_ex(made, write);
            BIO_meth_set_read_ex(made, read);
            BIO_meth_set_ctrl(made, control);
            return made;
        }();
        return m;
    }
};

tls_engine::tls_engine(SSL_CTX* context, tls_side side) : m_ssl(SSL_new(context)) {
    BIO* b = m_ssl ? BIO_new(bio::method()) : nullptr;
    if (b == nullptr) {
        SSL_free(m_ssl);
        throw std::bad_alloc();
    }
    BIO_set_data(b, this);
    BIO_set_init(b, 1);
    SSL_set_bio(m_ssl, b, b);
    side == tls_side::client ? SSL_set_connect_state(m_ssl) : SSL_set_accept_state(m_ssl);
}

tls_engine::~tls_engine() { SSL_free(m_ssl); }

result<bool> tls_engine::handshake() {
    ERR_clear_error();
    const int done = SSL_do_handshake(m_ssl);
    if (done == 1) return true;
    if (SSL_get_error(m_ssl, done) == SSL_ERROR_WANT_READ) return false;
    return openssl_error(errc::protocol, "TLS handshake");
}

result<public_key> tls_engine::peer() const { return peer_key(m_ssl); }

result<std::size_t> tls_engine::read(byte_span out) {
    ERR_clear_error();
    std::size_t got = 0;
    if (SSL_read_ex(m_ssl, out.data(), out.size(), &got) == 1) return got;
    switch (SSL_get_error(m_ssl, 0)) {
        case SSL_ERROR_WANT_READ: return std::size_t{0};
        case SSL_ERROR_ZERO_RETURN: return error(errc::unavailable, "connection closed by the peer");
        default: return openssl_error(errc::protocol, "TLS read");
    }
}

result<void> tls_engine::write(byte_view plain) {
    while (!plain.empty()) {
        ERR_clear_error();
        std::size_t done = 0;
        const auto part = plain.first(std::min<std::size_t>(plain.size(), INT_MAX));
        if (SSL_write_ex(m_ssl, part.data(), part.size(), &done) != 1) return openssl_error(errc::protocol, "TLS write");
        plain = plain.subspan(done);
    }
    return {};
}

byte_span tls_engine::input_space() {
    if (m_begin > 0) {  // what OpenSSL has not taken yet, normally nothing
        std::memmove(m_input.data(), m_input.data() + m_begin, m_end - m_begin);
        m_end -= std::exchange(m_begin, 0);
    }
    if (m_input.empty()) m_input.resize(input_first);
    if (m_grow && m_end == 0 && m_input.size() < input_max) m_input = bytes(m_input.size() * 2);
    m_grow = false;
    return byte_span(m_input).subspan(m_end);
}

void tls_engine::input_added(std::size_t n) noexcept {
    m_end += n;
    m_grow = m_end == m_input.size();
}

}  // namespace cess::net
