// The cryptography CESS uses, and nothing else: SHA-256 (FIPS 180-4), HKDF-SHA-256 (RFC 5869), AES-256-GCM
// (SP 800-38D), Ed25519 (RFC 8032); all from OpenSSL 3. Thread-safe unless said otherwise. Secrets are wiped
// when they die and are never logged.
#pragma once

#include <core/base/ids.hpp>
#include <core/base/random.hpp>

#include <initializer_list>
#include <memory>

namespace cess::crypto {

// 32 secret bytes; wiped on destruction, compared in constant time.
class secret_key {
public:
    static constexpr std::size_t size = 32;
    secret_key() = default;
    explicit secret_key(byte_view from);  // REQUIRES: from.size() == 32
    secret_key(const secret_key&) = default;
    secret_key& operator=(const secret_key&) = default;
    ~secret_key();
    static secret_key generate(random_source& random);
    [[nodiscard]] byte_view view() const noexcept { return m_raw; }
    friend bool operator==(const secret_key& a, const secret_key& b) noexcept;

private:
    std::array<std::byte, size> m_raw{};
};

[[nodiscard]] hash256 sha256(byte_view data);
[[nodiscard]] hash256 sha256(std::initializer_list<byte_view> parts);  // of their concatenation

// Incremental SHA-256. Not thread-safe.
class sha256_stream {
public:
    sha256_stream();
    ~sha256_stream();
    sha256_stream(sha256_stream&&) noexcept;
    sha256_stream& operator=(sha256_stream&&) noexcept;
    void update(byte_view data);
    [[nodiscard]] hash256 finish();  // resets

private:
    struct state;
    std::unique_ptr<state> m_state;
};

[[nodiscard]] std::array<std::byte, 32> hmac_sha256(byte_view key, byte_view data);
[[nodiscard]] secret_key hkdf(const secret_key& key, byte_view salt, std::string_view info);
[[nodiscard]] bool equal_constant_time(byte_view a, byte_view b) noexcept;

// AES-256-GCM with 96-bit nonces and 128-bit tags. The caller guarantees that no (key, nonce) pair repeats.
inline constexpr std::size_t aead_tag_size = 16;
struct aead_nonce {
    std::array<std::byte, 12> raw{};
    static aead_nonce from_index(std::uint64_t index) noexcept;  // little-endian in the low 8 bytes, zero above
};

// One key, many blocks: holds the expanded key schedule. Not thread-safe; make one per thread.
class aead {
public:
    explicit aead(const secret_key& key);
    ~aead();
    aead(aead&&) noexcept;
    aead& operator=(aead&&) noexcept;
    // REQUIRES: out.size() == plain.size() + aead_tag_size; may not overlap
    void seal(const aead_nonce& nonce, byte_view additional, byte_view plain, byte_span out);
    // REQUIRES: out.size() + aead_tag_size == sealed.size(). errc::corrupt if the tag does not match; `out` is then wiped.
    [[nodiscard]] result<void> open(const aead_nonce& nonce, byte_view additional, byte_view sealed, byte_span out);

private:
    struct state;
    std::unique_ptr<state> m_state;
};

// A random-nonce box for wrapping keys: nonce ‖ ciphertext ‖ tag.
[[nodiscard]] bytes wrap(const secret_key& with, byte_view additional, byte_view plain, random_source& random);
[[nodiscard]] result<bytes> unwrap(const secret_key& with, byte_view additional, byte_view wrapped);

// An Ed25519 key pair; the seed is the secret. Copyable, thread-safe.
class signing_key {
public:
    explicit signing_key(const secret_key& seed);
    static signing_key generate(random_source& random);
    [[nodiscard]] const public_key& pub() const noexcept { return m_public; }
    [[nodiscard]] const secret_key& seed() const noexcept { return m_seed; }
    [[nodiscard]] signature sign(byte_view message) const;
    [[nodiscard]] void* native() const noexcept { return m_native.get(); }  // EVP_PKEY*, for TLS

private:
    secret_key m_seed;
    public_key m_public;
    std::shared_ptr<void> m_native;
};

// No private key belongs to these eight points (in any encoding), yet RFC 8032's equation holds under them for up to every
// eighth message of a signature that anybody can write down: they are nobody's identity.
[[nodiscard]] bool small_order(const public_key& key);

// RFC 8032, and the key is not of small order.
[[nodiscard]] bool verify(const public_key& key, byte_view message, const signature& sig);

template <class Id>
[[nodiscard]] Id id_of(const public_key& key) noexcept { return Id::from(key.raw); }
template <class Id>
[[nodiscard]] public_key key_of(const Id& id) noexcept { return public_key::from(id.raw); }

}  // namespace cess::crypto
