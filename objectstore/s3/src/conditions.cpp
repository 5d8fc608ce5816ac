#include "conditions.hpp"

namespace cess::s3 {

namespace {

struct numbers {
    std::optional<std::uint64_t> first, last;
};

// "bytes=a-b", "bytes=a-", "bytes=-n"; nothing for every other form.
std::optional<numbers> split_range(std::string_view text) {
    constexpr std::string_view unit = "bytes=";
    if (!text.starts_with(unit)) return {};
    text = trim(text.substr(unit.size()));
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) return {};
    numbers out{parse_number(text.substr(0, dash)), parse_number(text.substr(dash + 1))};
    const bool first_ok = out.first || dash == 0, last_ok = out.last || dash + 1 == text.size();
    if (!first_ok || !last_ok || (!out.first && !out.last)) return {};
    if (out.first && out.last && *out.last < *out.first) return {};
    return out;
}

// A list of entity tags, or "*"; compared without quotes, weak ones like strong ones.
bool matches(std::string_view list, std::string_view etag) {
    while (!list.empty()) {
        const auto end = std::min(list.find(','), list.size());
        auto item = trim(list.substr(0, end));
        list.remove_prefix(std::min(end + 1, list.size()));
        if (item == "*") return true;
        if (item.starts_with("W/")) item.remove_prefix(2);
        if (item.size() >= 2 && item.front() == '"' && item.back() == '"') item = item.substr(1, item.size() - 2);
        if (item == etag) return true;
    }
    return false;
}

auto whole_seconds(wall_time t) { return std::chrono::floor<std::chrono::seconds>(t); }

std::optional<wall_time> date_of(const header_list& headers, const std::string& name) {
    const auto* value = headers.find(name);
    return value ? parse_http_date(*value) : std::nullopt;
}

}  // namespace

answer<std::optional<byte_range>> parse_range(const std::string* header, std::uint64_t size) {
    const auto range = header ? split_range(*header) : std::nullopt;
    if (!range) return std::optional<byte_range>();
    if (!range->first) {  // the last n bytes
        if (*range->last == 0 || size == 0) return failure(code::invalid_range);
        const auto n = std::min(*range->last, size);
        return std::optional(byte_range{size - n, n});
    }
    if (*range->first >= size) return failure(code::invalid_range);
    const auto last = range->last ? std::min(*range->last, size - 1) : size - 1;
    return std::optional(byte_range{*range->first, last - *range->first + 1});
}

answer<byte_range> parse_copy_range(std::string_view header, std::uint64_t size) {
    const auto range = split_range(header);
    if (!range || !range->first || !range->last)
        return failure(code::invalid_argument, "The x-amz-copy-source-range value must be of the form bytes=first-last.");
    if (*range->last >= size) return failure(code::invalid_argument, "Range specified is not valid for source object.");
    return byte_range{*range->first, *range->last - *range->first + 1};
}

conditions read_conditions(const header_list& headers, std::string_view prefix) {
    const auto name = [&](std::string_view tail) { return std::string(prefix).append(tail); };
    conditions out;
    out.if_match = headers.get(name("if-match"));
    out.if_none_match = headers.get(name("if-none-match"));
    out.if_modified_since = date_of(headers, name("if-modified-since"));
    out.if_unmodified_since = date_of(headers, name("if-unmodified-since"));
    return out;
}

verdict judge(const conditions& by, std::string_view etag, wall_time modified) {
    if (!by.if_match.empty()) {
        if (!matches(by.if_match, etag)) return verdict::failed;
    } else if (by.if_unmodified_since && whole_seconds(modified) > whole_seconds(*by.if_unmodified_since)) {
        return verdict::failed;
    }
    if (!by.if_none_match.empty()) return matches(by.if_none_match, etag) ? verdict::not_modified : verdict::proceed;
    if (by.if_modified_since && whole_seconds(modified) <= whole_seconds(*by.if_modified_since)) return verdict::not_modified;
    return verdict::proceed;
}

answer<void> judge_write(const header_list& headers, const std::string* etag) {
    const auto none = headers.get("if-none-match");
    if (!none.empty() && none != "*") return failure(code::not_implemented, "If-None-Match of a write can only be *.");
    if (!none.empty() && etag) return failure(code::precondition_failed);
    return judge_deletion(headers.get("if-match"), etag);
}

answer<void> judge_deletion(std::string_view if_match, const std::string* etag) {
    if (if_match.empty()) return {};
    if (!etag) return failure(code::no_such_key);
    if (!matches(if_match, *etag)) return failure(code::precondition_failed);
    return {};
}

}  // namespace cess::s3
