// The prime-order group ristretto255 (RFC 9496) and the numbers modulo its order, from libsodium. Thread-safe. Scalars that
// are secret are used in constant time; who holds one wipes it.
#pragma once

#include <core/base/ids.hpp>

#include <optional>

namespace cess::crypto::ristretto {

using point = fixed_id<struct ristretto_point_tag, 32>;    // encoded; check valid() on what comes from others
using scalar = fixed_id<struct ristretto_scalar_tag, 32>;  // little-endian, below the order; check canonical()

// Wiped when it dies. `secret_scalar out{a * b}` leaves no copy on the way: the product is made in place.
struct secret_scalar {
    scalar value;
    ~secret_scalar();
};

[[nodiscard]] bool valid(const point& p) noexcept;
[[nodiscard]] bool canonical(const scalar& s) noexcept;

// Uniform, from SHA-512 of `message`.
[[nodiscard]] point hash_to_point(byte_view message);
[[nodiscard]] scalar hash_to_scalar(byte_view message);
[[nodiscard]] scalar scalar_of(std::uint64_t number);

[[nodiscard]] scalar operator+(const scalar& a, const scalar& b);
[[nodiscard]] scalar operator-(const scalar& a, const scalar& b);
[[nodiscard]] scalar operator*(const scalar& a, const scalar& b);
[[nodiscard]] scalar inverse(const scalar& of);  // REQUIRES: not zero

// None if the result is the group's neutral element, or the point is not valid.
[[nodiscard]] std::optional<point> times_base(const scalar& s);
[[nodiscard]] std::optional<point> operator*(const scalar& s, const point& p);
// REQUIRES: both valid
[[nodiscard]] point operator+(const point& a, const point& b);
[[nodiscard]] point operator-(const point& a, const point& b);

}  // namespace cess::crypto::ristretto
