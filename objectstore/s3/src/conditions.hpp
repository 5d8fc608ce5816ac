// Range and the conditional headers of HTTP (RFC 9110 §13, §14) as S3 answers them.
#pragma once

#include "request.hpp"
#include "text.hpp"

namespace cess::s3 {

struct byte_range {
    std::uint64_t first = 0;
    std::uint64_t length = 0;
};

// The Range header against an object of `size` bytes. None: the whole object (also for units and lists of ranges that
// S3 ignores). code::invalid_range if nothing of it exists.
[[nodiscard]] answer<std::optional<byte_range>> parse_range(const std::string* header, std::uint64_t size);
// "bytes=a-b" of x-amz-copy-source-range: must lie inside the source.
[[nodiscard]] answer<byte_range> parse_copy_range(std::string_view header, std::uint64_t size);

struct conditions {
    std::string if_match, if_none_match;
    std::optional<wall_time> if_modified_since, if_unmodified_since;
};
// With `prefix` "" the request's own, with "x-amz-copy-source-" those on a copy's source. Unreadable dates are ignored.
[[nodiscard]] conditions read_conditions(const header_list& headers, std::string_view prefix);

enum class verdict { proceed, not_modified, failed };
[[nodiscard]] verdict judge(const conditions& by, std::string_view etag, wall_time modified);

// If-Match and If-None-Match of a write; `etag` null: there is no such object.
[[nodiscard]] answer<void> judge_write(const header_list& headers, const std::string* etag);
// If-Match of a deletion; empty: none.
[[nodiscard]] answer<void> judge_deletion(std::string_view if_match, const std::string* etag);

}  // namespace cess::s3
