#include "request.hpp"

#include "text.hpp"

#include <algorithm>
#include <array>

namespace cess::s3 {

namespace {

const named_value* find_in(const std::vector<named_value>& list, std::string_view name) noexcept {
    const auto at = std::find_if(list.begin(), list.end(), [&](const named_value& v) { return v.name == name; });
    return at == list.end() ? nullptr : &*at;
}

// Headers that must not be said twice, since a proxy in front of us could believe the other one.
constexpr std::array single{"host",
                            "authorization",
                            "content-length",
                            "content-md5",
                            "content-type",
                            "date",
                            "expect",
                            "if-match",
                            "if-none-match",
                            "if-modified-since",
                            "if-unmodified-since",
                            "range",
                            "transfer-encoding",
                            "x-amz-content-sha256",
                            "x-amz-copy-source",
                            "x-amz-date",
                            "x-amz-decoded-content-length",
                            "x-amz-trailer"};

bool is_snapshot_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    });
}

answer<void> set_bucket(address& to, std::string_view name, bool snapshots) {
    if (const auto at = name.find('@'); at != std::string_view::npos && snapshots) {
        to.snapshot = name.substr(at + 1);
        if (!is_snapshot_name(to.snapshot)) return failure(code::invalid_bucket_name, "The name after '@' is not a snapshot's.");
        name = name.substr(0, at);
    }
    if (!is_bucket_name(name)) return failure(code::invalid_bucket_name);
    to.bucket = name;
    return {};
}

answer<void> set_key(address& to, std::string_view key) {
    if (key.size() > key_size_max) return failure(code::key_too_long);
    if (key.find('\0') != std::string_view::npos || !is_utf8(key)) return failure(code::invalid_uri, "Keys are UTF-8 without NUL.");
    to.key = key;
    return {};
}

answer<address> from_path(std::string_view path) {  // after the first '/'
    address out;
    const auto slash = path.find('/');
    S3_CHECK(set_bucket(out, path.substr(0, slash), true));
    if (slash != std::string_view::npos) S3_CHECK(set_key(out, path.substr(slash + 1)));
    return out;
}

// The label before ".domain" in a Host header; nothing if the host is another one.
std::optional<std::string> virtual_host(std::string_view host, std::string_view domain) {
    if (domain.empty()) return {};
    if (const auto colon = host.rfind(':'); colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos)
        host = host.substr(0, colon);
    auto folded = lower(host);
    const auto tail = "." + lower(domain);
    if (folded.size() <= tail.size() || !folded.ends_with(tail)) return {};
    folded.resize(folded.size() - tail.size());
    return folded;
}

}  // namespace

void header_list::add(std::string_view name, std::string_view value) { m_all.push_back({lower(name), std::string(trim(value))}); }

const std::string* header_list::find(std::string_view name) const noexcept {
    const auto* found = find_in(m_all, name);
    return found ? &found->value : nullptr;
}

std::string_view header_list::get(std::string_view name) const noexcept {
    const auto* found = find(name);
    return found ? std::string_view(*found) : std::string_view();
}

std::size_t header_list::count(std::string_view name) const noexcept {
    return static_cast<std::size_t>(std::count_if(m_all.begin(), m_all.end(), [&](const named_value& v) { return v.name == name; }));
}

answer<parameter_list> parameter_list::parse(std::string_view query) {
    parameter_list out;
    while (!query.empty()) {
        const auto end = std::min(query.find('&'), query.size());
        const auto item = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        if (item.empty()) continue;
        const auto equals = std::min(item.find('='), item.size());
        auto name = uri_decode(item.substr(0, equals), true);
        auto value = uri_decode(item.substr(std::min(equals + 1, item.size())), true);
        if (!name || !value) return failure(code::invalid_uri);
        if (out.has(*name)) return failure(code::invalid_argument, "A query parameter is given twice: " + *name);
        if (out.m_all.size() == parameters_max) return failure(code::invalid_argument, "Too many query parameters.");
        out.m_all.push_back({std::move(*name), std::move(*value)});
    }
    return out;
}

const std::string* parameter_list::find(std::string_view name) const noexcept {
    const auto* found = find_in(m_all, name);
    return found ? &found->value : nullptr;
}

std::string_view parameter_list::get(std::string_view name) const noexcept {
    const auto* found = find(name);
    return found ? std::string_view(*found) : std::string_view();
}

answer<request_head> parse_head(std::string_view method, std::string_view target, header_list headers) {
    request_head out;
    out.method = method;
    if (!target.starts_with('/')) return failure(code::invalid_uri);
    const auto mark = std::min(target.find('?'), target.size());
    auto path = uri_decode(target.substr(0, mark), false);
    if (!path || target.find('#') != std::string_view::npos) return failure(code::invalid_uri);
    out.path = std::move(*path);
    S3_TRY(out.query, parameter_list::parse(target.substr(std::min(mark + 1, target.size()))));
    for (const auto* name : single)
        if (headers.count(name) > 1) return failure(code::bad_request, std::string("The header is given twice: ") + name);
    if (!headers.find("host")) return failure(code::bad_request, "The Host header is missing.");
    out.headers = std::move(headers);
    return out;
}

bool is_bucket_name(std::string_view name) noexcept {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    if (name.size() < 3 || name.size() > 63 || !letter(name.front()) || !letter(name.back())) return false;
    if (name.find("..") != std::string_view::npos) return false;
    return std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || c == '.' || c == '-'; });
}

answer<address> parse_address(const request_head& head, std::string_view domain) {
    const auto path = std::string_view(head.path).substr(1);
    if (const auto bucket = virtual_host(head.headers.get("host"), domain)) {
        address out;
        S3_CHECK(set_bucket(out, *bucket, false));
        S3_CHECK(set_key(out, path));
        return out;
    }
    if (path.empty()) return address{};
    return from_path(path);
}

answer<address> parse_copy_source(std::string_view header) {
    const auto mark = header.find('?');
    if (mark != std::string_view::npos && header.substr(mark) != "?versionId=null") return failure(code::no_such_version);
    auto path = uri_decode(header.substr(0, mark), false);
    if (!path) return failure(code::invalid_argument, "The copy source is not a URI-encoded bucket/key.");
    const auto plain = std::string_view(*path).substr(path->starts_with('/') ? 1 : 0);
    S3_TRY(auto out, from_path(plain));
    if (out.key.empty()) return failure(code::invalid_argument, "The copy source must name a bucket and a key.");
    return out;
}

}  // namespace cess::s3
