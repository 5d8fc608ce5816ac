// What requests say of the objects they make.
#include "service.hpp"

#include <algorithm>
#include <array>

namespace cess::s3 {

namespace {

constexpr std::size_t user_metadata_max = 2 * KiB;
constexpr std::string_view user_prefix = "x-amz-meta-";
constexpr std::array kept{"cache-control", "content-disposition", "content-language", "content-type", "expires"};

struct refusal {
    std::string_view header;
    code why;
};
constexpr std::array refused{
    refusal{"x-amz-tagging", code::not_implemented},
    refusal{"x-amz-website-redirect-location", code::not_implemented},
    refusal{"x-amz-object-lock-mode", code::not_implemented},
    refusal{"x-amz-object-lock-retain-until-date", code::not_implemented},
    refusal{"x-amz-object-lock-legal-hold", code::not_implemented},
    refusal{"x-amz-server-side-encryption-customer-algorithm", code::not_implemented},
    refusal{"x-amz-copy-source-server-side-encryption-customer-algorithm", code::not_implemented},
    refusal{"x-amz-server-side-encryption-aws-kms-key-id", code::not_implemented},
    refusal{"x-amz-write-offset-bytes", code::not_implemented},
    refusal{"x-amz-grant-full-control", code::acl_not_supported},
    refusal{"x-amz-grant-read", code::acl_not_supported},
    refusal{"x-amz-grant-read-acp", code::acl_not_supported},
    refusal{"x-amz-grant-write", code::acl_not_supported},
    refusal{"x-amz-grant-write-acp", code::acl_not_supported},
};

// Without "aws-chunked", which is of the transfer and not of the object.
std::string content_encoding(std::string_view value) {
    std::string out;
    while (!value.empty()) {
        const auto end = std::min(value.find(','), value.size());
        const auto item = trim(value.substr(0, end));
        value.remove_prefix(std::min(end + 1, value.size()));
        if (item.empty() || equals_ignoring_case(item, "aws-chunked")) continue;
        if (!out.empty()) out.append(",");
        out.append(item);
    }
    return out;
}

}  // namespace

answer<void> refuse_unsupported(const header_list& headers) {
    for (const auto& [header, why] : refused)
        if (headers.find(header)) return failure(why, "The header is not supported: " + std::string(header));
    const auto acl = headers.get("x-amz-acl");
    if (!acl.empty() && acl != "private" && acl != "bucket-owner-full-control") return failure(code::acl_not_supported);
    const auto storage = headers.get("x-amz-storage-class");
    if (!storage.empty() && storage != "STANDARD") return failure(code::invalid_storage_class);
    const auto encryption = headers.get("x-amz-server-side-encryption");
    if (!encryption.empty() && encryption != "AES256") return failure(code::not_implemented, "Everything is encrypted with keys of the account (AES256).");
    return {};
}

answer<header_map> read_metadata(const header_list& headers) {
    header_map out;
    std::size_t user_size = 0;
    for (const auto& [name, value] : headers.all()) {
        const bool user = name.starts_with(user_prefix);
        if (!user && std::find(kept.begin(), kept.end(), name) == kept.end()) continue;
        if (!header_safe(value)) return failure(code::invalid_argument, "A header's value has control characters: " + name);
        if (user) user_size += name.size() - user_prefix.size() + value.size();
        // A repeated user header is one with a list, as in HTTP.
        auto& to = out[name];
        to = to.empty() ? value : to + "," + value;
    }
    if (user_size > user_metadata_max) return failure(code::metadata_too_large);
    if (auto encoding = content_encoding(headers.get("content-encoding")); !encoding.empty()) out["content-encoding"] = std::move(encoding);
    out.try_emplace("content-type", "binary/octet-stream");
    return out;
}

answer<void> require_length(const header_list& headers) {
    if (headers.find("content-length") || headers.find("transfer-encoding")) return {};
    return failure(code::missing_content_length);
}

answer<std::uint32_t> part_number(const parameter_list& query) {
    const auto number = parse_number(query.get("partNumber"));
    if (!number || *number < 1 || *number > part_number_max)
        return failure(code::invalid_argument, "Part number must be an integer between 1 and 10000, inclusive");
    return static_cast<std::uint32_t>(*number);
}

void add_metadata(response& to, const header_map& headers) {
    for (const auto& [name, value] : headers) to.add(name, value);
}

std::string quoted(std::string_view etag) {
    std::string out;
    out.reserve(etag.size() + 2);
    return out.append("\"").append(etag).append("\"");
}

std::uint64_t unix_ms(wall_time when) { return static_cast<std::uint64_t>(std::max<std::int64_t>(0, when.time_since_epoch().count())); }

}  // namespace cess::s3
