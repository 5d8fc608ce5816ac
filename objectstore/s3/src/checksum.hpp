// MD5 (the ETag) and the checksums clients may send: x-amz-checksum-crc32, -crc32c, -crc64nvme, -sha1, -sha256.
#pragma once

#include <core/base/bytes.hpp>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace cess::s3 {

using md5_digest = std::array<std::byte, 16>;

enum class checksum_kind : std::uint8_t { none, crc32, crc32c, crc64nvme, sha1, sha256 };
inline checksum_kind wire_enum_max(checksum_kind) { return checksum_kind::sha256; }

[[nodiscard]] std::string_view header_name(checksum_kind kind) noexcept;   // "x-amz-checksum-crc32"
[[nodiscard]] std::string_view element_name(checksum_kind kind) noexcept;  // "ChecksumCRC32"
[[nodiscard]] std::string_view algorithm_name(checksum_kind kind) noexcept; // "CRC32"
[[nodiscard]] std::optional<checksum_kind> checksum_from_name(std::string_view algorithm) noexcept;  // any case
[[nodiscard]] std::optional<checksum_kind> checksum_from_header(std::string_view header) noexcept;
[[nodiscard]] std::size_t digest_size(checksum_kind kind) noexcept;

// Incremental, MD5 or one of the kinds. Not thread-safe.
class digest {
public:
    static digest md5();
    explicit digest(checksum_kind kind);
    digest(digest&&) noexcept;
    digest& operator=(digest&&) noexcept;
    ~digest();
    void update(byte_view data);
    [[nodiscard]] bytes finish();  // big-endian, as it stands on the wire; once

private:
    struct state;
    explicit digest(std::unique_ptr<state> s);
    std::unique_ptr<state> m_state;
};

[[nodiscard]] md5_digest md5(byte_view data);

// The CRC of a ‖ b from theirs; b is `length_b` bytes long. REQUIRES: a CRC kind and digests of its size.
[[nodiscard]] bytes combine(checksum_kind kind, byte_view a, byte_view b, std::uint64_t length_b);
[[nodiscard]] bool can_combine(checksum_kind kind) noexcept;

}  // namespace cess::s3
