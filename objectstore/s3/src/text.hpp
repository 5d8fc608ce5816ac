// The text forms of the S3 API: URI and base64 encoding, its three kinds of dates, XML escapes, names of buckets.
#pragma once

#include <core/base/bytes.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace cess::s3 {

using wall_time = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;
[[nodiscard]] wall_time wall_from_ms(std::uint64_t unix_ms) noexcept;

// RFC 3986 with the unreserved set of SigV4: A–Z a–z 0–9 - . _ ~ stay; '/' stays where `keep_slash`.
void uri_encode(std::string& to, std::string_view text, bool keep_slash);
[[nodiscard]] std::string uri_encode(std::string_view text, bool keep_slash);
// Refuses a '%' that two hex digits do not follow. `plus_is_space`: in query strings.
[[nodiscard]] std::optional<std::string> uri_decode(std::string_view text, bool plus_is_space);

[[nodiscard]] std::string base64_encode(byte_view data);
[[nodiscard]] std::optional<bytes> base64_decode(std::string_view text);  // strict, with padding

[[nodiscard]] std::string iso8601(wall_time when);        // 2026-11-22T12:00:00.000Z
[[nodiscard]] std::string iso8601_basic(wall_time when);  // 20261122T120000Z
[[nodiscard]] std::optional<wall_time> parse_iso8601_basic(std::string_view text);
[[nodiscard]] std::string http_date(wall_time when);      // Sun, 22 Nov 2026 12:00:00 GMT
[[nodiscard]] std::optional<wall_time> parse_http_date(std::string_view text);

[[nodiscard]] bool is_utf8(std::string_view text) noexcept;
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view digits) noexcept;  // decimal digits only
[[nodiscard]] std::string lower(std::string_view text);
[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;
[[nodiscard]] std::string_view trim(std::string_view text) noexcept;  // of spaces and tabs

// Bytes that may stand in a header we send: no controls, so that nobody can split a response.
[[nodiscard]] bool header_safe(std::string_view value) noexcept;

}  // namespace cess::s3
