// AWS Signature Version 4, as S3 servers check it: the Authorization header and presigned URLs.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html. Any region of a credential
// scope is taken (the signature binds it), the service must be s3. Pure: the time comes in.
#pragma once

#include "request.hpp"
#include "text.hpp"

#include <core/crypto/crypto.hpp>

namespace cess::s3 {

inline constexpr std::chrono::minutes clock_skew_max{15};
inline constexpr std::uint64_t presign_seconds_max = 7 * 24 * 3600;

struct credential {
    std::string access;
    std::string secret;
};

enum class payload_kind {
    unsigned_payload,           // UNSIGNED-PAYLOAD, presigned
    hashed,                     // sha256 of the body
    chunks_signed,              // STREAMING-AWS4-HMAC-SHA256-PAYLOAD
    chunks_signed_trailer,      // STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER
    chunks_unsigned_trailer,    // STREAMING-UNSIGNED-PAYLOAD-TRAILER
};
[[nodiscard]] constexpr bool is_chunked(payload_kind kind) noexcept { return kind >= payload_kind::chunks_signed; }

// What later parts of the same request (chunks, a trailer) are signed with.
struct signing_context {
    std::string date;   // 20130524T000000Z
    std::string scope;  // 20130524/us-east-1/s3/aws4_request
    std::array<std::byte, 32> key{};
    std::string seed;   // the request's signature, hex
};

struct identity {
    std::string access;
    payload_kind payload = payload_kind::unsigned_payload;
    hash256 payload_hash;  // if hashed
    bool presigned = false;
    signing_context signing;
};

// Who signed this request, or why it is refused. Every x-amz-* header must be signed, and Host.
[[nodiscard]] answer<identity> authenticate(const request_head& head, const std::vector<credential>& known, wall_time now);

// The pieces, for the chunk decoder, tests and our own client.
[[nodiscard]] std::array<std::byte, 32> signing_key(std::string_view secret, std::string_view date, std::string_view region);
[[nodiscard]] std::string canonical_request(const request_head& head, const std::vector<std::string>& signed_headers, std::string_view payload);
[[nodiscard]] std::string sign(const signing_context& with, std::string_view canonical);
[[nodiscard]] std::string chunk_signature(const signing_context& with, std::string_view previous, const hash256& of_data);
[[nodiscard]] std::string trailer_signature(const signing_context& with, std::string_view previous, const hash256& of_trailer);

}  // namespace cess::s3
