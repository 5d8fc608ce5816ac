#include <core/crypto/crypto.hpp>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string_view>

namespace cess::crypto {
namespace {

// OpenSSL fails here only when it is broken or memory has run out: going on would mean unprotected data.
void require(bool ok, const char* what) {
    if (ok) [[likely]]
        return;
    std::fprintf(stderr, "cess: OpenSSL cannot %s\n", what);
    std::abort();
}

// Looked up once: fetching an algorithm by name costs more than hashing a small block.
const EVP_MD* sha256_algorithm() {
    static const EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    require(md != nullptr, "provide SHA-256");
    return md;
}
const EVP_CIPHER* gcm_algorithm() {
    static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
    require(cipher != nullptr, "provide AES-256-GCM");
    return cipher;
}

struct digest_context_deleter {
    void operator()(EVP_MD_CTX* c) const noexcept { EVP_MD_CTX_free(c); }
};
using digest_context = std::unique_ptr<EVP_MD_CTX, digest_context_deleter>;

digest_context make_digest_context() {
    digest_context context(EVP_MD_CTX_new());
    require(context != nullptr, "make a digest context");
    return context;
}

// One per thread, so that hashing a small block allocates nothing.
EVP_MD_CTX* thread_digest() {
    thread_local const digest_context context = make_digest_context();
    return context.get();
}

const unsigned char* raw(byte_view view) { return reinterpret_cast<const unsigned char*>(view.data()); }
unsigned char* raw(byte_span span) { return reinterpret_cast<unsigned char*>(span.data()); }

int int_size(std::size_t n) {
    require(n <= static_cast<std::size_t>(std::numeric_limits<int>::max()), "take more than 2 GiB at once");
    return static_cast<int>(n);
}

}  // namespace

// ---- secrets ---------------------------------------------------------------------------------------------

secret_key::secret_key(byte_view from) {
    require(from.size() == size, "make a key that is not 32 bytes");
    std::memcpy(m_raw.data(), from.data(), size);
}
secret_key::~secret_key() { OPENSSL_cleanse(m_raw.data(), m_raw.size()); }

secret_key secret_key::generate(random_source& random) {
    secret_key key;
    random.fill(key.m_raw);
    return key;
}

bool operator==(const secret_key& a, const secret_key& b) noexcept { return equal_constant_time(a.m_raw, b.m_raw); }

bool equal_constant_time(byte_view a, byte_view b) noexcept {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

// ---- hashes ----------------------------------------------------------------------------------------------

hash256 sha256(byte_view data) { return sha256({data}); }

hash256 sha256(std::initializer_list<byte_view> parts) {
    hash256 out;
    auto* const context = thread_digest();
    require(EVP_DigestInit_ex2(context, sha256_algorithm(), nullptr) == 1, "start SHA-256");
    for (const auto part : parts) require(EVP_DigestUpdate(context, part.data(), part.size()) == 1, "hash");
    require(EVP_DigestFinal_ex(context, raw(byte_span(out.raw)), nullptr) == 1, "finish SHA-256");
    return out;
}

struct sha256_stream::state {
    digest_context context = make_digest_context();
    state() { start(); }
    void start() { require(EVP_DigestInit_ex2(context.get(), sha256_algorithm(), nullptr) == 1, "start SHA-256"); }
};

sha256_stream::sha256_stream() : m_state(std::make_unique<state>()) {}
sha256_stream::~sha256_stream() = default;
sha256_stream::sha256_stream(sha256_stream&&) noexcept = default;
sha256_stream& sha256_stream::operator=(sha256_stream&&) noexcept = default;

void sha256_stream::update(byte_view data) {
    require(EVP_DigestUpdate(m_state->context.get(), data.data(), data.size()) == 1, "hash");
}

hash256 sha256_stream::finish() {
    hash256 out;
    require(EVP_DigestFinal_ex(m_state->context.get(), raw(byte_span(out.raw)), nullptr) == 1, "finish SHA-256");
    m_state->start();
    return out;
}

// ---- key derivation --------------------------------------------------------------------------------------

std::array<std::byte, 32> hmac_sha256(byte_view key, byte_view data) {
    std::array<std::byte, 32> out{};
    unsigned int length = 0;
    static constexpr unsigned char nothing = 0;
    const auto* const key_bytes = key.empty() ? &nothing : raw(key);  // a null key means "the previous one" to OpenSSL
    const auto* const done = HMAC(sha256_algorithm(), key_bytes, int_size(key.size()), raw(data), data.size(), raw(byte_span(out)), &length);
    require(done != nullptr && length == out.size(), "compute HMAC-SHA-256");
    return out;
}

// RFC 5869 with one block of output, which is all a 32-byte key takes.
secret_key hkdf(const secret_key& key, byte_view salt, std::string_view info) {
    static constexpr std::array<std::byte, 32> no_salt{};
    auto extracted = hmac_sha256(salt.empty() ? byte_view(no_salt) : salt, key.view());
    bytes block = to_bytes(info);
    block.push_back(std::byte{1});
    auto expanded = hmac_sha256(extracted, block);
    const secret_key out{byte_view(expanded)};
    OPENSSL_cleanse(extracted.data(), extracted.size());
    OPENSSL_cleanse(expanded.data(), expanded.size());
    return out;
}

// ---- AEAD ------------------------------------------------------------------------------------------------

aead_nonce aead_nonce::from_index(std::uint64_t index) noexcept {
    aead_nonce nonce;
    for (std::size_t i = 0; i < 8; ++i) nonce.raw[i] = static_cast<std::byte>(index >> (8 * i) & 0xff);
    return nonce;
}

struct aead::state {
    struct deleter {
        void operator()(EVP_CIPHER_CTX* c) const noexcept { EVP_CIPHER_CTX_free(c); }  // wipes the key schedule
    };
    using context = std::unique_ptr<EVP_CIPHER_CTX, deleter>;

    explicit state(const secret_key& with) : key(with) {}
    // Each when it is first wanted: for one block, a key schedule that nobody uses costs as much as the block.
    EVP_CIPHER_CTX* sealer() {
        if (!sealing) {
            sealing = make();
            require(EVP_EncryptInit_ex2(sealing.get(), gcm_algorithm(), raw(key.view()), nullptr, nullptr) == 1, "take an AES key");
        }
        return sealing.get();
    }
    EVP_CIPHER_CTX* opener() {
        if (!opening) {
            opening = make();
            require(EVP_DecryptInit_ex2(opening.get(), gcm_algorithm(), raw(key.view()), nullptr, nullptr) == 1, "take an AES key");
        }
        return opening.get();
    }
    static context make() {
        context c(EVP_CIPHER_CTX_new());
        require(c != nullptr, "make a cipher context");
        return c;
    }

    const secret_key key;
    context sealing, opening;
};

aead::aead(const secret_key& key) : m_state(std::make_unique<state>(key)) {}
aead::~aead() = default;
aead::aead(aead&&) noexcept = default;
aead& aead::operator=(aead&&) noexcept = default;

void aead::seal(const aead_nonce& nonce, byte_view additional, byte_view plain, byte_span out) {
    require(out.size() == plain.size() + aead_tag_size, "seal into a buffer of the wrong size");
    auto* const c = m_state->sealer();
    int n = 0;
    require(EVP_EncryptInit_ex2(c, nullptr, nullptr, raw(byte_view(nonce.raw)), nullptr) == 1, "take a nonce");
    if (!additional.empty()) require(EVP_EncryptUpdate(c, nullptr, &n, raw(additional), int_size(additional.size())) == 1, "seal");
    if (!plain.empty()) require(EVP_EncryptUpdate(c, raw(out), &n, raw(plain), int_size(plain.size())) == 1, "seal");
    const auto tag = out.last(aead_tag_size);
    require(EVP_EncryptFinal_ex(c, raw(tag), &n) == 1, "seal");
    require(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, int_size(tag.size()), tag.data()) == 1, "make a tag");
}

result<void> aead::open(const aead_nonce& nonce, byte_view additional, byte_view sealed, byte_span out) {
    require(sealed.size() == out.size() + aead_tag_size, "open into a buffer of the wrong size");
    auto* const c = m_state->opener();
    int n = 0;
    std::array<std::byte, aead_tag_size> tag;
    std::memcpy(tag.data(), sealed.data() + out.size(), tag.size());
    require(EVP_DecryptInit_ex2(c, nullptr, nullptr, raw(byte_view(nonce.raw)), nullptr) == 1, "take a nonce");
    require(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, int_size(tag.size()), tag.data()) == 1, "take a tag");
    if (!additional.empty()) require(EVP_DecryptUpdate(c, nullptr, &n, raw(additional), int_size(additional.size())) == 1, "open");
    if (!out.empty()) require(EVP_DecryptUpdate(c, raw(out), &n, raw(sealed), int_size(out.size())) == 1, "open");
    if (EVP_DecryptFinal_ex(c, raw(byte_span(tag)), &n) == 1) return {};
    OPENSSL_cleanse(out.data(), out.size());
    return error(errc::corrupt, "authentication tag does not match");
}

bytes wrap(const secret_key& with, byte_view additional, byte_view plain, random_source& random) {
    aead_nonce nonce;
    random.fill(nonce.raw);
    bytes out(nonce.raw.size() + plain.size() + aead_tag_size);
    std::memcpy(out.data(), nonce.raw.data(), nonce.raw.size());
    aead(with).seal(nonce, additional, plain, byte_span(out).subspan(nonce.raw.size()));
    return out;
}

result<bytes> unwrap(const secret_key& with, byte_view additional, byte_view wrapped) {
    aead_nonce nonce;
    if (wrapped.size() < nonce.raw.size() + aead_tag_size) return error(errc::corrupt, "wrapped key is cut short");
    std::memcpy(nonce.raw.data(), wrapped.data(), nonce.raw.size());
    const auto sealed = wrapped.subspan(nonce.raw.size());
    bytes out(sealed.size() - aead_tag_size);
    CHECK_OK(aead(with).open(nonce, additional, sealed, out));
    return out;
}

// ---- signatures ------------------------------------------------------------------------------------------

signing_key::signing_key(const secret_key& seed) : m_seed(seed) {
    auto* const key = EVP_PKEY_new_raw_private_key_ex(nullptr, "ED25519", nullptr, raw(seed.view()), secret_key::size);
    require(key != nullptr, "take an Ed25519 seed");
    m_native = std::shared_ptr<void>(key, [](void* k) { EVP_PKEY_free(static_cast<EVP_PKEY*>(k)); });
    std::size_t length = m_public.raw.size();
    require(EVP_PKEY_get_raw_public_key(key, raw(byte_span(m_public.raw)), &length) == 1 && length == m_public.raw.size(), "derive a public key");
}

signing_key signing_key::generate(random_source& random) { return signing_key(secret_key::generate(random)); }

signature signing_key::sign(byte_view message) const {
    signature out;
    std::size_t length = out.raw.size();
    const auto context = make_digest_context();
    require(EVP_DigestSignInit_ex(context.get(), nullptr, nullptr, nullptr, nullptr, static_cast<EVP_PKEY*>(m_native.get()), nullptr) == 1, "start signing");
    require(EVP_DigestSign(context.get(), raw(byte_span(out.raw)), &length, raw(message), message.size()) == 1 && length == out.raw.size(), "sign");
    return out;
}

bool small_order(const public_key& key) {
    // The y of orders 4, 1, 8, 8 and 2, then p and p + 1, which decode as 0 and 1.
    static constexpr std::array<std::string_view, 7> torsion = {
        "0000000000000000000000000000000000000000000000000000000000000000", "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"};
    auto y = key;
    y.raw.back() &= std::byte{0x7f};  // the top bit is the sign of x
    return std::ranges::find(torsion, y.hex()) != torsion.end();
}

bool verify(const public_key& key, byte_view message, const signature& sig) {
    if (small_order(key)) return false;
    struct deleter {
        void operator()(EVP_PKEY* k) const noexcept { EVP_PKEY_free(k); }
    };
    const std::unique_ptr<EVP_PKEY, deleter> native(
        EVP_PKEY_new_raw_public_key_ex(nullptr, "ED25519", nullptr, raw(key.view()), key.raw.size()));
    if (!native) return false;
    const auto context = make_digest_context();
    if (EVP_DigestVerifyInit_ex(context.get(), nullptr, nullptr, nullptr, nullptr, native.get(), nullptr) != 1) return false;
    return EVP_DigestVerify(context.get(), raw(sig.view()), sig.raw.size(), raw(message), message.size()) == 1;
}

}  // namespace cess::crypto
