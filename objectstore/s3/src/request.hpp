// An HTTP request's head as the S3 API sees it: which bucket, which key, which parameters.
//
// What is signed and what is acted on derive from the same decoded path, parameters and headers, and whatever
// could be read in two ways (a repeated parameter, two Host headers) is refused, so that a signature for one
// request can never be used for another.
#pragma once

#include "failure.hpp"

#include <core/base/bytes.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cess::s3 {

inline constexpr std::size_t key_size_max = 1024;
inline constexpr std::size_t parameters_max = 128;

struct named_value {
    std::string name;
    std::string value;
};

// Names in lower case, values trimmed, in the order of arrival; a name may repeat.
class header_list {
public:
    void add(std::string_view name, std::string_view value);
    // The only value of a header; null if it is absent.
    [[nodiscard]] const std::string* find(std::string_view name) const noexcept;
    [[nodiscard]] std::string_view get(std::string_view name) const noexcept;  // "" if absent
    [[nodiscard]] std::size_t count(std::string_view name) const noexcept;
    [[nodiscard]] const std::vector<named_value>& all() const noexcept { return m_all; }

private:
    std::vector<named_value> m_all;
};

// The query's parameters, decoded, names unique.
class parameter_list {
public:
    [[nodiscard]] static answer<parameter_list> parse(std::string_view query);
    [[nodiscard]] const std::string* find(std::string_view name) const noexcept;
    [[nodiscard]] bool has(std::string_view name) const noexcept { return find(name) != nullptr; }
    [[nodiscard]] std::string_view get(std::string_view name) const noexcept;
    [[nodiscard]] const std::vector<named_value>& all() const noexcept { return m_all; }

private:
    std::vector<named_value> m_all;
};

struct request_head {
    std::string method;
    std::string path;  // decoded, begins with '/'
    parameter_list query;
    header_list headers;
};

// `target` is what stands in the request line. Refuses what is not an absolute path, bad escapes, and repeats of
// headers that decide something (host, authorization, content-length, ...).
[[nodiscard]] answer<request_head> parse_head(std::string_view method, std::string_view target, header_list headers);

// What a request addresses. No bucket: the service itself.
struct address {
    std::string bucket;
    std::string snapshot;  // of "bucket@snapshot"
    std::string key;       // empty: the bucket itself
};

// Path style; virtual-host style where the Host header ends in ".<domain>" (`domain` empty: path style only).
[[nodiscard]] answer<address> parse_address(const request_head& head, std::string_view domain);
// "bucket/key" or "/bucket/key" of x-amz-copy-source, with "?versionId=null" at most.
[[nodiscard]] answer<address> parse_copy_source(std::string_view header);
// The names that are volumes' names and S3's at once.
[[nodiscard]] bool is_bucket_name(std::string_view name) noexcept;

}  // namespace cess::s3
