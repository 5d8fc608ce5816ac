// The TLS 1.3 settings of both sides, and the self-signed certificate that carries an identity key.
#pragma once

#include <core/crypto/crypto.hpp>

#include <openssl/ssl.h>

#include <memory>

namespace cess::net {

enum class tls_side { client, server };

struct ssl_ctx_free {
    void operator()(SSL_CTX* c) const noexcept { SSL_CTX_free(c); }
};
using ssl_ctx = std::unique_ptr<SSL_CTX, ssl_ctx_free>;

// TLS 1.3 only, mutual certificates, Ed25519 only, ALPN "cess-rpc/1", no tickets and no resumption. Any Ed25519
// certificate passes: what it proves is possession of its key, and the key is the node id that callers compare.
[[nodiscard]] result<ssl_ctx> make_tls_context(const crypto::signing_key& identity, tls_side side);

// What the certificate says; its key is refused where it is nobody's (crypto::small_order).
[[nodiscard]] result<public_key> ed25519_key(X509* certificate);

// The Ed25519 key of the peer's certificate after the handshake.
[[nodiscard]] result<public_key> peer_key(SSL* on);

// "what: first entry of OpenSSL's queue"; empties the queue.
[[nodiscard]] error openssl_error(errc code, const char* what);

}  // namespace cess::net
