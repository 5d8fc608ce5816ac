// The XML of the S3 API: a writer for replies, and the four documents that clients send.
#pragma once

#include "checksum.hpp"
#include "failure.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace cess::s3 {

inline constexpr std::size_t xml_size_max = 4 * MiB;  // CompleteMultipartUpload with 10,000 parts and checksums fits

// Escapes text for an element's content; control characters become references, as S3 sends them.
void xml_escape(std::string& to, std::string_view text);

// Builds a document element by element. REQUIRES: open and close match.
class xml_writer {
public:
    explicit xml_writer(std::string_view root, bool name_space = true);
    xml_writer& open(std::string_view name);
    xml_writer& close();
    xml_writer& text(std::string_view name, std::string_view value);
    xml_writer& number(std::string_view name, std::uint64_t value) { return text(name, std::to_string(value)); }
    xml_writer& flag(std::string_view name, bool value) { return text(name, value ? "true" : "false"); }
    [[nodiscard]] std::string finish() &&;

private:
    std::string m_out;
    std::vector<std::string_view> m_open;
};

struct delete_request {
    struct object {
        std::string key;
        std::string if_match;  // as the header; empty: whatever is there
    };
    std::vector<object> objects;
    bool quiet = false;
};
[[nodiscard]] answer<delete_request> parse_delete(std::string_view xml);

struct completed_part {
    std::uint32_t number = 0;
    std::string etag;  // without quotes
    std::vector<std::pair<checksum_kind, std::string>> checksums;
};
[[nodiscard]] answer<std::vector<completed_part>> parse_complete(std::string_view xml);

// An AccessControlPolicy that says what holds anyway: everything to the owner, nothing to others. All others are refused.
[[nodiscard]] answer<void> parse_acl(std::string_view xml, std::string_view owner);

// CreateBucketConfiguration; only its being well formed matters, since there is one region.
[[nodiscard]] answer<void> parse_create_bucket(std::string_view xml);

}  // namespace cess::s3
