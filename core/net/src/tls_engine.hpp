// One side of one TLS connection without I/O: ciphertext goes in and out through two buffers, so that one recv may
// bring many records and one send may carry many. Not thread-safe; belongs to its connection's strand.
#pragma once

#include "tls_context.hpp"

namespace cess::net {

class tls_engine {
public:
    tls_engine(SSL_CTX* context, tls_side side);
    ~tls_engine();
    tls_engine(const tls_engine&) = delete;
    tls_engine& operator=(const tls_engine&) = delete;

    // True when done; false: more input is needed (and output may have to be sent first).
    [[nodiscard]] result<bool> handshake();
    // REQUIRES: handshake() was true
    [[nodiscard]] result<public_key> peer() const;

    // Plain bytes into `out`: how many, 0 = more input is needed. An error ends the connection.
    [[nodiscard]] result<std::size_t> read(byte_span out);
    // All of `plain` becomes output.
    [[nodiscard]] result<void> write(byte_view plain);

    // Where received ciphertext goes. Grows to 256 KiB while it is filled whole, so that idle connections stay small.
    // REQUIRES: the last read or handshake step asked for more input
    [[nodiscard]] byte_span input_space();
    void input_added(std::size_t n) noexcept;

    [[nodiscard]] bytes& output() noexcept { return m_output; }  // ciphertext to send

private:
    struct bio;
    friend struct bio;
    SSL* m_ssl;
    bytes m_input;
    std::size_t m_begin = 0, m_end = 0;
    bool m_grow = false;
    bytes m_output;
};

}  // namespace cess::net
