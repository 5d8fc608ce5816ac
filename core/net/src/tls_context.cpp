#include "tls_context.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

namespace cess::net {
namespace {

constexpr unsigned char alpn[] = "\x0a"
                                 "cess-rpc/1";
constexpr unsigned alpn_size = sizeof alpn - 1;
constexpr long certificate_size_max = 4096;

struct x509_free {
    void operator()(X509* x) const noexcept { X509_free(x); }
};
using x509 = std::unique_ptr<X509, x509_free>;

// Trust is in the key, not in names, dates or issuers: those of the certificate are constants.
result<x509> make_certificate(EVP_PKEY* key) {
    x509 certificate(X509_new());
    if (!certificate) return openssl_error(errc::io, "certificate");
    X509* c = certificate.get();
    bool ok = X509_set_version(c, X509_VERSION_3) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(c), 1) == 1 &&
              ASN1_TIME_set_string(X509_getm_notBefore(c), "20200101000000Z") == 1 &&
              ASN1_TIME_set_string(X509_getm_notAfter(c), "99991231235959Z") == 1 && X509_set_pubkey(c, key) == 1;
    X509_NAME* name = X509_get_subject_name(c);
    ok = ok && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("cess"), -1, -1, 0) == 1 &&
         X509_set_issuer_name(c, name) == 1 && X509_sign(c, key, nullptr) > 0;
    if (!ok) return openssl_error(errc::io, "certificate");
    return certificate;
}

}  // namespace

result<public_key> ed25519_key(X509* certificate) {
    EVP_PKEY* key = certificate ? X509_get0_pubkey(certificate) : nullptr;
    if (key == nullptr || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) return error(errc::permission, "peer has no Ed25519 certificate");
    public_key out;
    std::size_t size = out.raw.size();
    if (EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(out.raw.data()), &size) != 1 || size != out.raw.size())
        return openssl_error(errc::permission, "peer's public key");
    if (crypto::small_order(out)) return error(errc::permission, "peer's public key is of small order, anybody's");
    return out;
}

namespace {

int accept_any_ed25519(X509_STORE_CTX* store, void*) { return ed25519_key(X509_STORE_CTX_get0_cert(store)) ? 1 : 0; }

int choose_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size, void*) {
    unsigned char* chosen = nullptr;
    if (SSL_select_next_proto(&chosen, out_size, alpn, alpn_size, in, in_size) != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

}  // namespace

error openssl_error(errc code, const char* what) {
    char text[256] = "no detail";
    if (const auto number = ERR_get_error(); number != 0) ERR_error_string_n(number, text, sizeof text);
    ERR_clear_error();
    return error(code, std::string(what) + ": " + text);
}

result<public_key> peer_key(SSL* on) {
    const unsigned char* protocol = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(on, &protocol, &size);
    if (size != alpn_size - 1) return error(errc::protocol, "peer does not speak cess-rpc");
    return ed25519_key(SSL_get0_peer_certificate(on));
}

result<ssl_ctx> make_tls_context(const crypto::signing_key& identity, tls_side side) {
    ssl_ctx context(SSL_CTX_new(side == tls_side::client ? TLS_client_method() : TLS_server_method()));
    if (!context) return openssl_error(errc::io, "TLS context");
    SSL_CTX* c = context.get();
    auto* key = static_cast<EVP_PKEY*>(identity.native());
    TRY(auto certificate, make_certificate(key));
    const bool ok = SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) == 1 && SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1 &&
                    SSL_CTX_set1_groups_list(c, "X25519") == 1 && SSL_CTX_set1_sigalgs_list(c, "ed25519") == 1 &&
                    SSL_CTX_use_certificate(c, certificate.get()) == 1 && SSL_CTX_use_PrivateKey(c, key) == 1 &&
                    SSL_CTX_set_num_tickets(c, 0) == 1;
    if (!ok) return openssl_error(errc::io, "TLS settings");
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(c, certificate_size_max);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_CTX_set_cert_verify_callback(c, accept_any_ed25519, nullptr);
    if (side == tls_side::server) SSL_CTX_set_alpn_select_cb(c, choose_alpn, nullptr);
    if (side == tls_side::client && SSL_CTX_set_alpn_protos(c, alpn, alpn_size) != 0) return openssl_error(errc::io, "TLS settings");
    return context;
}

}  // namespace cess::net
