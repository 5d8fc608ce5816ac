#include "listing.hpp"

#include <algorithm>

namespace cess::s3 {

namespace {

constexpr std::size_t batch_max = 1000;
constexpr std::size_t batch_after_seek = 8;

// The common prefix that hides `key`; empty if it is listed itself.
std::string_view common_prefix(std::string_view key, const list_request& what) {
    if (what.delimiter.empty()) return {};
    if (what.suffixed) key = key.substr(0, key.find('\0'));
    if (key.size() < what.prefix.size()) return {};
    const auto at = key.find(what.delimiter, what.prefix.size());
    return at == std::string_view::npos ? std::string_view() : key.substr(0, at + what.delimiter.size());
}

// Where the first key that may be listed can stand.
std::string first_position(const list_request& what) {
    auto from = std::max(what.prefix, what.from);
    if (what.after.empty()) return from;
    auto after = what.after + '\0';
    if (what.after.starts_with(what.prefix) && !common_prefix(what.after, what).empty() && common_prefix(what.after, what) == what.after)
        after = after_prefix(what.after);
    return std::max(from, after);
}

}  // namespace

std::string after_prefix(std::string_view prefix) {
    std::string out(prefix);
    while (!out.empty() && out.back() == '\xff') out.pop_back();
    if (!out.empty()) out.back() = static_cast<char>(static_cast<unsigned char>(out.back()) + 1);
    return out;
}

result<list_page> list_keys(const key_source& source, const list_request& what) {
    list_page page;
    if (what.limit == 0) return page;
    auto from = first_position(what);
    std::size_t batch = std::min(batch_max, what.limit + 1);
    for (;;) {
        TRY(auto keys, source(what.prefix, from, batch));
        bool seek = false;
        for (auto& [key, value] : keys) {
            if (key < from) continue;  // below a common prefix that is listed already
            const auto common = common_prefix(key, what);
            if (page.entries.size() == what.limit) {
                page.truncated = true;
                page.next = common.empty() ? key : std::string(common);
                return page;
            }
            if (common.empty()) {
                from = key + '\0';
                page.entries.push_back({std::move(key), false, std::move(value)});
                seek = false;
            } else {
                from = after_prefix(common);
                page.entries.push_back({std::string(common), true, {}});
                seek = true;
                if (from.empty()) return page;
            }
        }
        if (keys.size() < batch) return page;
        batch = seek ? batch_after_seek : std::min(batch * 4, batch_max);
    }
}

}  // namespace cess::s3
