// What strangers ask the JSON API: targets, methods, tags. Lines: method, target, If-None-Match.
// No input may crash, have two meanings, or be refused with anything but one line of JSON.
#include "answers.hpp"

#include <algorithm>
#include <cstdlib>

using namespace cess;
using namespace cess::chain;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

std::string_view next_line(std::string_view& from) {
    const auto end = std::min(from.find('\n'), from.size());
    const auto line = from.substr(0, end);
    from.remove_prefix(std::min(end + 1, from.size()));
    return line;
}

void try_target(std::string_view text) {
    const auto what = parse_target(text);
    if (!what) return require(!what.error().what.empty());
    require(text.size() <= target_size_max && what->path.size() <= path_parts_max && what->page() >= 1 && what->page() <= page_limit);
    std::string again;
    for (const auto& part : what->path) again += "/" + part;
    if (again.empty()) again = "/";
    const char* separator = "?";
    const auto put = [&](const std::string& name, const std::string& value) {
        if (value.empty()) return;
        again += separator + name + "=" + value;
        separator = "&";
    };
    put("before", what->before);
    put("after", what->after);
    put("limit", what->limit ? std::to_string(*what->limit) : std::string());
    const auto same = parse_target(again);
    require(same && same->path == what->path && same->before == what->before && same->after == what->after && same->limit == what->limit);
    if (const auto number = parse_decimal(what->before)) require(std::to_string(*number) == what->before);
}

void try_request(std::string_view method, std::string_view target, std::string_view tag) {
    const auto known = answer_at_once({std::string(method), std::string(target), std::string(tag)});
    if (!known || known->status == 204) return;
    require(known->status >= 400 && known->status < 500);
    require(std::count(known->body.begin(), known->body.end(), '\n') == 1 && known->body.size() < 1024);
    const auto said = json::parse(known->body, nullptr, false);
    require(!said.is_discarded() && said["status"] == known->status);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    auto input = as_text(std::as_bytes(std::span(data, size)));
    const auto method = next_line(input);
    const auto target = next_line(input);
    try_target(target);
    try_request(method, target, input);
    try_request("GET", target, input);
    const bool named = names_tag(input, "\"0123\"");
    if (input.find("\"0123\"") == std::string_view::npos && input.find('*') == std::string_view::npos) require(!named);
    return 0;
}
