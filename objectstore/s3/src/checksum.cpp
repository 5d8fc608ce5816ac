#include "checksum.hpp"

#include "text.hpp"

#include <isa-l/crc.h>
#include <openssl/evp.h>

#include <cstdlib>

namespace cess::s3 {

namespace {

struct row {
    checksum_kind kind;
    std::string_view header, element, name;
    std::size_t size;
    std::uint64_t polynomial;  // reflected; 0: not a CRC
};

constexpr std::array rows{
    row{checksum_kind::none, "", "", "", 0, 0},
    row{checksum_kind::crc32, "x-amz-checksum-crc32", "ChecksumCRC32", "CRC32", 4, 0xedb88320},
    row{checksum_kind::crc32c, "x-amz-checksum-crc32c", "ChecksumCRC32C", "CRC32C", 4, 0x82f63b78},
    row{checksum_kind::crc64nvme, "x-amz-checksum-crc64nvme", "ChecksumCRC64NVME", "CRC64NVME", 8, 0x9a6c9329ac4bc9b5},
    row{checksum_kind::sha1, "x-amz-checksum-sha1", "ChecksumSHA1", "SHA1", 20, 0},
    row{checksum_kind::sha256, "x-amz-checksum-sha256", "ChecksumSHA256", "SHA256", 32, 0},
};

const row& find(checksum_kind kind) noexcept { return rows[static_cast<std::size_t>(kind)]; }

// Slicing by eight; ISA-L as Debian has it lacks this polynomial.
class crc64_tables {
public:
    crc64_tables() noexcept {
        const auto polynomial = find(checksum_kind::crc64nvme).polynomial;
        for (std::uint64_t i = 0; i < 256; ++i) {
            auto crc = i;
            for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ polynomial : crc >> 1;
            m_tables[0][i] = crc;
        }
        for (std::size_t t = 1; t < 8; ++t)
            for (std::size_t i = 0; i < 256; ++i) m_tables[t][i] = m_tables[0][m_tables[t - 1][i] & 255] ^ m_tables[t - 1][i] >> 8;
    }
    std::uint64_t update(std::uint64_t crc, byte_view data) const noexcept {
        crc = ~crc;
        while (data.size() >= 8) {
            std::uint64_t word;
            std::memcpy(&word, data.data(), 8);  // little-endian machines only, as the rest of CESS
            word ^= crc;
            crc = 0;
            for (std::size_t i = 0; i < 8; ++i) crc ^= m_tables[7 - i][word >> 8 * i & 255];
            data = data.subspan(8);
        }
        for (const auto b : data) crc = m_tables[0][(crc ^ std::to_integer<std::uint64_t>(b)) & 255] ^ crc >> 8;
        return ~crc;
    }

private:
    std::uint64_t m_tables[8][256];
};

std::uint64_t crc_update(checksum_kind kind, std::uint64_t crc, byte_view data) {
    const auto* at = reinterpret_cast<const unsigned char*>(data.data());
    switch (kind) {
        case checksum_kind::crc32: return crc32_gzip_refl(static_cast<std::uint32_t>(crc), at, data.size());
        case checksum_kind::crc32c: {
            // ISA-L takes an int length and leaves the inversions to the caller.
            auto state = ~static_cast<std::uint32_t>(crc);
            while (!data.empty()) {
                const auto part = data.first(std::min<std::size_t>(data.size(), GiB));
                state = crc32_iscsi(const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(part.data())),
                                    static_cast<int>(part.size()), state);
                data = data.subspan(part.size());
            }
            return static_cast<std::uint32_t>(~state);
        }
        default: {
            static const crc64_tables tables;
            return tables.update(crc, data);
        }
    }
}

bytes big_endian(std::uint64_t value, std::size_t size) {
    bytes out(size);
    for (std::size_t i = size; i-- > 0; value >>= 8) out[i] = static_cast<std::byte>(value & 255);
    return out;
}

std::uint64_t from_big_endian(byte_view in) {
    std::uint64_t value = 0;
    for (const auto b : in) value = value << 8 | std::to_integer<std::uint64_t>(b);
    return value;
}

// a·b modulo the polynomial, reflected: the highest bit is x⁰.
std::uint64_t multiply(std::uint64_t a, std::uint64_t b, std::uint64_t polynomial, unsigned bits) {
    std::uint64_t product = 0;
    for (auto m = std::uint64_t{1} << (bits - 1); m != 0; m >>= 1) {
        if (a & m) product ^= b;
        b = b & 1 ? b >> 1 ^ polynomial : b >> 1;
    }
    return product;
}

}  // namespace

std::string_view header_name(checksum_kind kind) noexcept { return find(kind).header; }
std::string_view element_name(checksum_kind kind) noexcept { return find(kind).element; }
std::string_view algorithm_name(checksum_kind kind) noexcept { return find(kind).name; }
std::size_t digest_size(checksum_kind kind) noexcept { return find(kind).size; }
bool can_combine(checksum_kind kind) noexcept { return find(kind).polynomial != 0; }

std::optional<checksum_kind> checksum_from_name(std::string_view algorithm) noexcept {
    for (const auto& r : rows)
        if (r.size != 0 && equals_ignoring_case(r.name, algorithm)) return r.kind;
    return {};
}

std::optional<checksum_kind> checksum_from_header(std::string_view header) noexcept {
    for (const auto& r : rows)
        if (r.size != 0 && r.header == header) return r.kind;
    return {};
}

struct digest::state {
    checksum_kind crc = checksum_kind::none;
    std::uint64_t value = 0;
    EVP_MD_CTX* evp = nullptr;
    ~state() { EVP_MD_CTX_free(evp); }

    static std::unique_ptr<state> make(const EVP_MD* algorithm) {
        auto out = std::make_unique<state>();
        out->evp = EVP_MD_CTX_new();
        if (!out->evp || EVP_DigestInit_ex(out->evp, algorithm, nullptr) != 1) std::abort();  // no memory
        return out;
    }
};

digest::digest(std::unique_ptr<state> s) : m_state(std::move(s)) {}
digest::digest(digest&&) noexcept = default;
digest& digest::operator=(digest&&) noexcept = default;
digest::~digest() = default;

digest digest::md5() { return digest(state::make(EVP_md5())); }

digest::digest(checksum_kind kind) {
    if (kind == checksum_kind::sha1) m_state = state::make(EVP_sha1());
    else if (kind == checksum_kind::sha256) m_state = state::make(EVP_sha256());
    else m_state = std::make_unique<state>();
    if (can_combine(kind)) m_state->crc = kind;
}

void digest::update(byte_view data) {
    if (m_state->evp) EVP_DigestUpdate(m_state->evp, data.data(), data.size());
    else if (m_state->crc != checksum_kind::none) m_state->value = crc_update(m_state->crc, m_state->value, data);
}

bytes digest::finish() {
    if (!m_state->evp) return big_endian(m_state->value, digest_size(m_state->crc));
    bytes out(EVP_MAX_MD_SIZE);
    unsigned size = 0;
    EVP_DigestFinal_ex(m_state->evp, reinterpret_cast<unsigned char*>(out.data()), &size);
    out.resize(size);
    return out;
}

md5_digest md5(byte_view data) {
    auto d = digest::md5();
    d.update(data);
    const auto raw = d.finish();
    md5_digest out;
    std::memcpy(out.data(), raw.data(), out.size());
    return out;
}

bytes combine(checksum_kind kind, byte_view a, byte_view b, std::uint64_t length_b) {
    // crc(a‖b) = crc(a)·x^(8·length_b) + crc(b): the inversions at both ends cancel out.
    const auto bits = static_cast<unsigned>(digest_size(kind) * 8);
    const auto polynomial = find(kind).polynomial;
    auto factor = std::uint64_t{1} << (bits - 1);  // x⁰
    auto power = std::uint64_t{1} << (bits - 9);   // x⁸
    for (auto n = length_b; n != 0; n >>= 1) {
        if (n & 1) factor = multiply(factor, power, polynomial, bits);
        power = multiply(power, power, polynomial, bits);
    }
    return big_endian(multiply(from_big_endian(a), factor, polynomial, bits) ^ from_big_endian(b), digest_size(kind));
}

}  // namespace cess::s3
