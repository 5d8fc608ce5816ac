#include "route.hpp"

#include <algorithm>

namespace cess::chain {
namespace {

bool plain(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'; }

error wrong(std::string why) { return {errc::invalid, std::move(why)}; }

result<void> check_plain(std::string_view text) {
    if (std::all_of(text.begin(), text.end(), plain)) return {};
    return wrong("the address has a character that no name here has; use letters, digits, '-', '.' and '_' alone");
}

result<void> take_parameter(target& to, std::string_view item) {
    const auto equals = item.find('=');
    if (equals == std::string_view::npos) return wrong("a parameter has no value; write name=value");
    const auto name = item.substr(0, equals), value = item.substr(equals + 1);
    CHECK_OK(check_plain(name));
    CHECK_OK(check_plain(value));
    if (value.empty()) return wrong("parameter " + std::string(name) + " is empty; leave it out");
    if (name == "limit") {
        const auto number = parse_decimal(value);
        if (to.limit || !number || *number < 1 || *number > page_limit) return wrong("limit: expected once, 1 to " + std::to_string(page_limit));
        to.limit = static_cast<std::uint32_t>(*number);
        return {};
    }
    if (name != "before" && name != "after") return wrong("parameter " + std::string(name) + " is not known; there are before, after and limit");
    auto& place = name == "before" ? to.before : to.after;
    if (!place.empty()) return wrong("parameter " + std::string(name) + " is given twice");
    place = value;
    return {};
}

}  // namespace

result<target> parse_target(std::string_view text) {
    if (text.size() > target_size_max) return error(errc::too_large, "the address is longer than " + std::to_string(target_size_max) + " bytes");
    if (!text.starts_with('/')) return wrong("the address must begin with '/'");
    const auto mark = std::min(text.find('?'), text.size());
    auto path = text.substr(1, mark - 1);
    auto query = text.substr(std::min(mark + 1, text.size()));
    target out;
    if (path.ends_with('/')) path.remove_suffix(1);
    while (!path.empty()) {
        const auto end = std::min(path.find('/'), path.size());
        const auto part = path.substr(0, end);
        CHECK_OK(check_plain(part));
        if (part.empty()) return wrong("the address has an empty part");
        if (out.path.size() == path_parts_max) return wrong("the address has more than " + std::to_string(path_parts_max) + " parts");
        out.path.emplace_back(part);
        path.remove_prefix(std::min(end + 1, path.size()));
    }
    while (!query.empty()) {
        const auto end = std::min(query.find('&'), query.size());
        CHECK_OK(take_parameter(out, query.substr(0, end)));
        query.remove_prefix(std::min(end + 1, query.size()));
    }
    return out;
}

result<std::uint64_t> parse_decimal(std::string_view text) {
    const auto bad = error(errc::invalid, "\"" + std::string(text.substr(0, 40)) + "\" is no number");
    if (text.empty() || text.size() > 20 || (text.size() > 1 && text.front() == '0')) return bad;
    std::uint64_t out = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return bad;
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (out > (UINT64_MAX - digit) / 10) return bad;
        out = out * 10 + digit;
    }
    return out;
}

bool names_tag(std::string_view if_none_match, std::string_view tag) {
    while (!if_none_match.empty()) {
        const auto end = std::min(if_none_match.find(','), if_none_match.size());
        auto item = if_none_match.substr(0, end);
        if_none_match.remove_prefix(std::min(end + 1, if_none_match.size()));
        while (!item.empty() && (item.front() == ' ' || item.front() == '\t')) item.remove_prefix(1);
        while (!item.empty() && (item.back() == ' ' || item.back() == '\t')) item.remove_suffix(1);
        if (item.starts_with("W/")) item.remove_prefix(2);
        if (item == "*" || item == tag) return true;
    }
    return false;
}

}  // namespace cess::chain
