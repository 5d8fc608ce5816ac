// A request's target, taken apart: a path of plain words and at most three parameters. Pure text, from anybody.
//
// Nothing that this API names needs escapes, so a '%' is refused rather than decoded, and a target has one meaning.
#pragma once

#include <core/base/ids.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cess::chain {

inline constexpr std::size_t target_size_max = 1024;
inline constexpr std::size_t path_parts_max = 6;
inline constexpr std::uint32_t page_default = 20, page_limit = 100;  // entries of a list

struct target {
    std::vector<std::string> path;
    std::string before, after;  // empty: not given
    std::optional<std::uint32_t> limit;
    [[nodiscard]] std::uint32_t page() const { return limit.value_or(page_default); }
};

[[nodiscard]] result<target> parse_target(std::string_view text);

// Decimal digits without a leading zero, up to 2⁶⁴−1.
[[nodiscard]] result<std::uint64_t> parse_decimal(std::string_view text);

// Whether an If-None-Match header names the tag, which has its quotes.
[[nodiscard]] bool names_tag(std::string_view if_none_match, std::string_view tag);

}  // namespace cess::chain
