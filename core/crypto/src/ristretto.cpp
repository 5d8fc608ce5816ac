#include <core/crypto/ristretto.hpp>

#include <sodium.h>

#include <cstdio>
#include <cstdlib>

namespace cess::crypto::ristretto {
namespace {

void require(bool ok, const char* what) {
    if (ok) [[likely]]
        return;
    std::fprintf(stderr, "cess: libsodium cannot %s\n", what);
    std::abort();
}

// Before the first use: it chooses its code by the processor.
void ready() {
    static const bool done = sodium_init() >= 0;
    require(done, "start");
}

template <class Id>
const unsigned char* raw(const Id& id) { return reinterpret_cast<const unsigned char*>(id.raw.data()); }
template <class Id>
unsigned char* raw(Id& id) { return reinterpret_cast<unsigned char*>(id.raw.data()); }

struct digest512 {
    unsigned char bytes[crypto_hash_sha512_BYTES];
    ~digest512() { sodium_memzero(bytes, sizeof bytes); }
};

digest512 sha512(byte_view message) {
    ready();
    digest512 out;
    crypto_hash_sha512(out.bytes, reinterpret_cast<const unsigned char*>(message.data()), message.size());
    return out;
}

}  // namespace

secret_scalar::~secret_scalar() { sodium_memzero(value.raw.data(), value.raw.size()); }

bool valid(const point& p) noexcept { return crypto_core_ristretto255_is_valid_point(raw(p)) == 1; }

bool canonical(const scalar& s) noexcept {
    unsigned char wide[crypto_core_ristretto255_NONREDUCEDSCALARBYTES] = {};
    std::memcpy(wide, s.raw.data(), s.raw.size());
    scalar reduced;
    crypto_core_ristretto255_scalar_reduce(raw(reduced), wide);
    return reduced == s;
}

point hash_to_point(byte_view message) {
    point out;
    require(crypto_core_ristretto255_from_hash(raw(out), sha512(message).bytes) == 0, "hash to a point");
    return out;
}

scalar hash_to_scalar(byte_view message) {
    scalar out;
    crypto_core_ristretto255_scalar_reduce(raw(out), sha512(message).bytes);
    return out;
}

scalar scalar_of(std::uint64_t number) {
    scalar out;
    for (std::size_t i = 0; i < sizeof number; ++i) out.raw[i] = static_cast<std::byte>(number >> (8 * i) & 0xff);
    return out;
}

scalar operator+(const scalar& a, const scalar& b) {
    scalar out;
    crypto_core_ristretto255_scalar_add(raw(out), raw(a), raw(b));
    return out;
}

scalar operator-(const scalar& a, const scalar& b) {
    scalar out;
    crypto_core_ristretto255_scalar_sub(raw(out), raw(a), raw(b));
    return out;
}

scalar operator*(const scalar& a, const scalar& b) {
    scalar out;
    crypto_core_ristretto255_scalar_mul(raw(out), raw(a), raw(b));
    return out;
}

scalar inverse(const scalar& of) {
    scalar out;
    require(crypto_core_ristretto255_scalar_invert(raw(out), raw(of)) == 0, "invert zero");
    return out;
}

std::optional<point> times_base(const scalar& s) {
    ready();
    point out;
    if (crypto_scalarmult_ristretto255_base(raw(out), raw(s)) != 0) return std::nullopt;
    return out;
}

std::optional<point> operator*(const scalar& s, const point& p) {
    ready();
    point out;
    if (crypto_scalarmult_ristretto255(raw(out), raw(s), raw(p)) != 0) return std::nullopt;
    return out;
}

point operator+(const point& a, const point& b) {
    point out;
    require(crypto_core_ristretto255_add(raw(out), raw(a), raw(b)) == 0, "add points");
    return out;
}

point operator-(const point& a, const point& b) {
    point out;
    require(crypto_core_ristretto255_sub(raw(out), raw(a), raw(b)) == 0, "subtract points");
    return out;
}

}  // namespace cess::crypto::ristretto
