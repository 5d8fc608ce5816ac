#include "answers.hpp"

#include <core/crypto/crypto.hpp>

#include <array>

namespace cess::chain {
namespace {

enum parameters : unsigned { none = 0, limit = 1, before = 2, after = 4 };

struct route {
    std::string_view path;  // '*': any one part
    unsigned takes;
    answerer by;
};

result<answered> overview(const records&, const target&);

constexpr std::array routes{
    route{"v1", none, overview},
    route{"v1/status", none, status_of},
    route{"v1/genesis", none, genesis_of},
    route{"v1/committee", none, committee_of},
    route{"v1/blocks", limit | before, blocks},
    route{"v1/blocks/*", limit | after, block},
    route{"v1/transactions/*", none, transaction},
    route{"v1/accounts/*", none, account_of},
    route{"v1/accounts/*/transactions", limit | before, account_transactions},
    route{"v1/accounts/*/volumes", limit | after, account_volumes},
    route{"v1/nodes", limit | after, nodes},
    route{"v1/nodes/*", none, node},
    route{"v1/volumes", limit | after, volumes},
    route{"v1/volumes/*", none, volume},
    route{"v1/volumes/*/views", limit | after, views},
    route{"v1/volumes/*/views/*", none, view},
    route{"v1/volumes/*/segments", limit | after, segments_of_volume},
    route{"v1/volumes/*/segments/*", none, segment_of_volume},
    route{"v1/segments/*", limit | after, segments},
    route{"v1/proofs/totals", none, proof},
    route{"v1/proofs/keys/*", none, proof},
    route{"v1/proofs/nodes/*", none, proof},
    route{"v1/proofs/volumes/*", none, proof},
    route{"v1/proofs/transactions/*", none, proof},
    route{"v1/proofs/names/*/*", none, proof},
    route{"v1/proofs/views/*/*", none, proof},
    route{"v1/proofs/segments/*/*", none, proof},
    route{"v1/proofs/freed/*/*", none, proof},
    route{"v1/proofs/clients/*/*", none, proof},
};

result<answered> overview(const records&, const target&) {
    answered out;
    out.body["version"] = 1;
    out.body["paths"] = json::array();
    for (const auto& each : routes) out.body["paths"].push_back("/" + std::string(each.path));
    return out;
}

bool matches(std::string_view pattern, const std::vector<std::string>& path) {
    for (const auto& part : path) {
        const auto end = std::min(pattern.find('/'), pattern.size());
        const auto wanted = pattern.substr(0, end);
        if (wanted.empty() || (wanted != "*" && wanted != part)) return false;
        pattern.remove_prefix(std::min(end + 1, pattern.size()));
    }
    return pattern.empty();
}

result<const route*> route_of(const target& what) {
    for (const auto& each : routes) {
        if (!matches(each.path, what.path)) continue;
        const auto unwanted = [&](const char* name) { return error(errc::invalid, "parameter " + std::string(name) + " means nothing here; leave it out"); };
        if (what.limit && !(each.takes & limit)) return unwanted("limit");
        if (!what.before.empty() && !(each.takes & before)) return unwanted("before");
        if (!what.after.empty() && !(each.takes & after)) return unwanted("after");
        return &each;
    }
    return error(errc::not_found, "no such path; /v1 lists them");
}

unsigned status_for(errc code) noexcept {
    switch (code) {
        case errc::invalid:
        case errc::out_of_range: return 400;
        case errc::not_found: return 404;
        case errc::too_large: return 414;
        case errc::unsupported: return 501;
        case errc::unavailable:
        case errc::exhausted:
        case errc::busy:
        case errc::canceled: return 503;
        default: return 500;
    }
}

net::http_response refused(const error& why) { return refusal(status_for(why.code), why.what.empty() ? std::string(cess::to_string(why.code)) : why.what); }

void add_common_headers(net::http_response& to) {
    to.headers.emplace_back("Access-Control-Allow-Origin", "*");
    to.headers.emplace_back("X-Content-Type-Options", "nosniff");
}

net::http_response preflight() {
    net::http_response out;
    out.status = 204;
    add_common_headers(out);
    out.headers.emplace_back("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS");
    out.headers.emplace_back("Access-Control-Allow-Headers", "Content-Type, If-None-Match");
    out.headers.emplace_back("Access-Control-Max-Age", "86400");
    out.headers.emplace_back("Allow", "GET, HEAD, OPTIONS");
    return out;
}

std::string line_of(const json& what) { return what.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"; }

}  // namespace

net::http_response refusal(unsigned status, std::string_view why) {
    net::http_response out;
    out.status = status;
    add_common_headers(out);
    out.headers.emplace_back("Content-Type", "application/json");
    out.headers.emplace_back("Cache-Control", "no-store");
    if (status == 503) out.headers.emplace_back("Retry-After", "1");
    if (status == 405) out.headers.emplace_back("Allow", "GET, HEAD, OPTIONS");
    json body;
    body["status"] = status;
    body["error"] = why;
    out.body = line_of(body);
    return out;
}

std::optional<net::http_response> answer_at_once(const net::http_request& asked) {
    if (asked.method == "OPTIONS") return preflight();
    if (asked.method != "GET" && asked.method != "HEAD") return refusal(405, "this API is read-only; use GET");
    const auto what = parse_target(asked.target);
    if (!what) return refused(what.error());
    if (const auto found = route_of(*what); !found) return refused(found.error());
    return std::nullopt;
}

net::http_response answer(const records& on, const net::http_request& asked) {
    if (auto known = answer_at_once(asked)) return std::move(*known);
    const auto what = parse_target(asked.target);
    const auto got = (*route_of(*what))->by(on, *what);
    if (!got) return refused(got.error());
    net::http_response out;
    out.body = line_of(got->body);
    const auto tag = "\"" + crypto::sha256(as_view(out.body)).hex().substr(0, 32) + "\"";
    add_common_headers(out);
    out.headers.emplace_back("Content-Type", "application/json");
    out.headers.emplace_back("Cache-Control", got->immutable ? "public, max-age=300" : "no-cache");
    out.headers.emplace_back("Access-Control-Expose-Headers", "ETag");
    out.headers.emplace_back("ETag", tag);
    if (names_tag(asked.if_none_match, tag)) {
        out.status = 304;
        out.body.clear();
    }
    return out;
}

// An epoch's last certificate names the next one's, whose members are the same, as ledger::end_epoch() has it today.
ledger::committee signers_of(const ledger::state_certificate& certificate) { return {certificate.body.epoch, certificate.body.next.members}; }

json next_page(const target& what, const char* cursor, const std::string& at) {
    std::string out;
    for (const auto& part : what.path) out.append("/").append(part);
    out.append("?").append(cursor).append("=").append(at);
    if (what.limit) out.append("&limit=").append(std::to_string(*what.limit));
    return out;
}

}  // namespace cess::chain
