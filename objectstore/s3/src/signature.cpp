#include "signature.hpp"

#include <algorithm>

namespace cess::s3 {

namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view empty_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string hex_hmac(byte_view key, std::string_view text) { return to_hex(crypto::hmac_sha256(key, as_view(text))); }

// Runs of spaces become one, as the canonical form of a header's value wants them.
void append_collapsed(std::string& to, std::string_view value) {
    bool space = false;
    for (const char c : value) {
        if (c != ' ' || !space) to.push_back(c);
        space = c == ' ';
    }
}

std::string canonical_query(const parameter_list& query) {
    std::vector<std::pair<std::string, std::string>> encoded;
    for (const auto& [name, value] : query.all())
        if (name != "X-Amz-Signature") encoded.emplace_back(uri_encode(name, false), uri_encode(value, false));
    std::sort(encoded.begin(), encoded.end());
    std::string out;
    for (const auto& [name, value] : encoded) {
        if (!out.empty()) out.push_back('&');
        out.append(name).append("=").append(value);
    }
    return out;
}

// What a request says of its signature, from the header or the query; nothing of it is trusted yet.
struct claim {
    std::string access, day, region;
    std::vector<std::string> signed_headers;
    std::string signature;
    std::string date;  // x-amz-date
    wall_time at;
};

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> out;
    for (;;) {
        const auto end = text.find(separator);
        out.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return out;
        text.remove_prefix(end + 1);
    }
}

bool parse_scope(claim& to, std::string_view credential_text) {
    const auto parts = split(credential_text, '/');
    if (parts.size() != 5 || parts[3] != "s3" || parts[4] != "aws4_request") return false;
    for (const auto part : parts)
        if (part.empty() || part.size() > 128) return false;
    to.access = parts[0];
    to.day = parts[1];
    to.region = parts[2];
    return true;
}

// Lower case, sorted, no repeats: one list has one form.
bool parse_signed_headers(claim& to, std::string_view list) {
    for (const auto name : split(list, ';')) {
        if (name.empty() || lower(name) != name) return false;
        if (!to.signed_headers.empty() && !(std::string_view(to.signed_headers.back()) < name)) return false;
        to.signed_headers.emplace_back(name);
    }
    return true;
}

bool is_signature(std::string_view text) {
    return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

failure malformed(bool presigned, std::string text) {
    return {presigned ? code::auth_query_malformed : code::auth_header_malformed, std::move(text)};
}

answer<claim> parse_header_claim(const request_head& head) {
    auto rest = std::string_view(*head.headers.find("authorization"));
    if (!rest.starts_with(algorithm) || rest.size() == algorithm.size() || rest[algorithm.size()] != ' ')
        return failure(code::invalid_request, "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.");
    rest.remove_prefix(algorithm.size());
    claim out;
    unsigned seen = 0;
    for (const auto part : split(rest, ',')) {
        const auto item = trim(part);
        const auto equals = std::min(item.find('='), item.size());
        const auto name = item.substr(0, equals), value = item.substr(std::min(equals + 1, item.size()));
        const unsigned bit = name == "Credential" ? 1 : name == "SignedHeaders" ? 2 : name == "Signature" ? 4 : 0;
        if (bit == 0 || (seen & bit)) return malformed(false, "The authorization header has an unknown or repeated component.");
        seen |= bit;
        if (bit == 1 && !parse_scope(out, value)) return malformed(false, "The credential must be KEY/DATE/REGION/s3/aws4_request.");
        if (bit == 2 && !parse_signed_headers(out, value)) return malformed(false, "SignedHeaders must be sorted, in lower case and unique.");
        if (bit == 4) out.signature = value;
    }
    if (seen != 7) return malformed(false, "The authorization header needs Credential, SignedHeaders and Signature.");
    return out;
}

answer<claim> parse_query_claim(const request_head& head) {
    const auto& query = head.query;
    if (query.get("X-Amz-Algorithm") != algorithm) return malformed(true, "X-Amz-Algorithm only supports AWS4-HMAC-SHA256.");
    claim out;
    if (!parse_scope(out, query.get("X-Amz-Credential"))) return malformed(true, "X-Amz-Credential must be KEY/DATE/REGION/s3/aws4_request.");
    if (!parse_signed_headers(out, query.get("X-Amz-SignedHeaders")))
        return malformed(true, "X-Amz-SignedHeaders must be sorted, in lower case and unique.");
    out.signature = query.get("X-Amz-Signature");
    return out;
}

// The time of signing and its agreement with the credential's scope.
answer<void> read_date(claim& to, const request_head& head, bool presigned) {
    std::optional<wall_time> at;
    if (presigned) {
        to.date = head.query.get("X-Amz-Date");
        at = parse_iso8601_basic(to.date);
    } else if (const auto* amz = head.headers.find("x-amz-date")) {
        to.date = *amz;
        at = parse_iso8601_basic(to.date);
    } else if (const auto* plain = head.headers.find("date")) {
        at = parse_http_date(*plain);
        if (!at) at = parse_iso8601_basic(*plain);
        if (at) to.date = iso8601_basic(*at);
        if (std::find(to.signed_headers.begin(), to.signed_headers.end(), "date") == to.signed_headers.end())
            return failure(code::access_denied, "The Date header must be signed where there is no x-amz-date.");
    }
    if (!at) return failure(code::access_denied, "AWS authentication requires a valid Date or x-amz-date header.");
    to.at = *at;
    if (std::string_view(to.date).substr(0, 8) != to.day) return malformed(presigned, "The credential's date is not the request's.");
    return {};
}

answer<void> check_time(const claim& by, const request_head& head, bool presigned, wall_time now) {
    if (!presigned) {
        if (by.at > now + clock_skew_max || by.at < now - clock_skew_max) return failure(code::request_time_too_skewed);
        return {};
    }
    const auto seconds = parse_number(head.query.get("X-Amz-Expires"));
    if (!seconds || *seconds == 0 || *seconds > presign_seconds_max)
        return malformed(true, "X-Amz-Expires must be a number of seconds from 1 to 604800.");
    if (by.at > now + clock_skew_max) return failure(code::access_denied, "Request is not valid yet");
    if (by.at + std::chrono::seconds(*seconds) < now) return failure(code::access_denied, "Request has expired");
    return {};
}

answer<void> check_coverage(const claim& by, const request_head& head) {
    const auto is_signed = [&](std::string_view name) { return std::binary_search(by.signed_headers.begin(), by.signed_headers.end(), name); };
    if (!is_signed("host")) return failure(code::access_denied, "The Host header must be signed.");
    for (const auto& header : head.headers.all())
        if (header.name.starts_with("x-amz-") && !is_signed(header.name))
            return failure(code::access_denied, "There were headers present in the request which were not signed: " + header.name);
    for (const auto& name : by.signed_headers)
        if (!head.headers.find(name)) return failure(code::signature_does_not_match, "A signed header is missing from the request: " + name);
    return {};
}

answer<void> set_payload(identity& to, std::string_view declared) {
    if (declared == "UNSIGNED-PAYLOAD") {
        to.payload = payload_kind::unsigned_payload;
    } else if (declared == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") {
        to.payload = payload_kind::chunks_signed;
    } else if (declared == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER") {
        to.payload = payload_kind::chunks_signed_trailer;
    } else if (declared == "STREAMING-UNSIGNED-PAYLOAD-TRAILER") {
        to.payload = payload_kind::chunks_unsigned_trailer;
    } else if (declared.starts_with("STREAMING-")) {
        return failure(code::not_implemented, "This kind of streaming signature is not supported: " + std::string(declared));
    } else {
        auto hash = hash256::parse(declared);
        if (!is_signature(declared) || !hash)
            return failure(code::invalid_argument, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-…, or a valid sha256 value.");
        to.payload = payload_kind::hashed;
        to.payload_hash = *hash;
    }
    return {};
}

// What stands for the body in the canonical request.
answer<std::string> declared_payload(const request_head& head, bool presigned) {
    if (const auto* header = head.headers.find("x-amz-content-sha256")) return *header;
    if (!presigned) return failure(code::missing_security_header, "Missing required header for this request: x-amz-content-sha256");
    const auto* parameter = head.query.find("X-Amz-Content-Sha256");
    return parameter ? *parameter : std::string("UNSIGNED-PAYLOAD");
}

const credential* find_credential(const std::vector<credential>& known, std::string_view access) {
    const auto at = std::find_if(known.begin(), known.end(), [&](const credential& c) { return c.access == access; });
    return at == known.end() ? nullptr : &*at;
}

answer<bool> is_presigned(const request_head& head) {
    const bool header = head.headers.find("authorization") != nullptr;
    const bool query = head.query.has("X-Amz-Algorithm") || head.query.has("X-Amz-Signature");
    if (header && query) return failure(code::invalid_argument, "Only one auth mechanism allowed.");
    if (head.headers.find("x-amz-security-token") || head.query.has("X-Amz-Security-Token")) return failure(code::invalid_token);
    if (head.query.has("AWSAccessKeyId"))
        return failure(code::invalid_request, "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.");
    if (!header && !query) return failure(code::access_denied, "Anonymous access is not allowed.");
    return query;
}

}  // namespace

std::array<std::byte, 32> signing_key(std::string_view secret, std::string_view date, std::string_view region) {
    const auto day = crypto::hmac_sha256(as_view("AWS4" + std::string(secret)), as_view(date));
    const auto place = crypto::hmac_sha256(day, as_view(region));
    const auto service = crypto::hmac_sha256(place, as_view("s3"));
    return crypto::hmac_sha256(service, as_view("aws4_request"));
}

std::string canonical_request(const request_head& head, const std::vector<std::string>& signed_headers, std::string_view payload) {
    std::string out = head.method + "\n";
    uri_encode(out, head.path, true);
    out.append("\n").append(canonical_query(head.query)).append("\n");
    std::string names;
    for (const auto& name : signed_headers) {
        out.append(name).append(":");
        bool first = true;
        for (const auto& header : head.headers.all()) {
            if (header.name != name) continue;
            if (!first) out.push_back(',');
            append_collapsed(out, header.value);
            first = false;
        }
        out.push_back('\n');
        names.append(names.empty() ? "" : ";").append(name);
    }
    out.append("\n").append(names).append("\n").append(payload);
    return out;
}

std::string sign(const signing_context& with, std::string_view canonical) {
    std::string text(algorithm);
    text.append("\n").append(with.date).append("\n").append(with.scope).append("\n").append(crypto::sha256(as_view(canonical)).hex());
    return hex_hmac(with.key, text);
}

std::string chunk_signature(const signing_context& with, std::string_view previous, const hash256& of_data) {
    std::string text("AWS4-HMAC-SHA256-PAYLOAD\n");
    text.append(with.date).append("\n").append(with.scope).append("\n").append(previous).append("\n");
    text.append(empty_hash).append("\n").append(of_data.hex());
    return hex_hmac(with.key, text);
}

std::string trailer_signature(const signing_context& with, std::string_view previous, const hash256& of_trailer) {
    std::string text("AWS4-HMAC-SHA256-TRAILER\n");
    text.append(with.date).append("\n").append(with.scope).append("\n").append(previous).append("\n").append(of_trailer.hex());
    return hex_hmac(with.key, text);
}

answer<identity> authenticate(const request_head& head, const std::vector<credential>& known, wall_time now) {
    S3_TRY(const bool presigned, is_presigned(head));
    S3_TRY(auto by, presigned ? parse_query_claim(head) : parse_header_claim(head));
    S3_CHECK(read_date(by, head, presigned));
    const auto* who = find_credential(known, by.access);
    if (!who) return failure(code::invalid_access_key);
    S3_CHECK(check_coverage(by, head));
    S3_TRY(const auto payload, declared_payload(head, presigned));

    identity out;
    out.access = by.access;
    out.presigned = presigned;
    out.signing.date = by.date;
    out.signing.scope = by.day + "/" + by.region + "/s3/aws4_request";
    out.signing.key = signing_key(who->secret, by.day, by.region);
    out.signing.seed = sign(out.signing, canonical_request(head, by.signed_headers, payload));
    if (!is_signature(by.signature) || !crypto::equal_constant_time(as_view(out.signing.seed), as_view(by.signature)))
        return failure(code::signature_does_not_match);
    // Only a holder of the key learns more than that the signature is wrong.
    S3_CHECK(check_time(by, head, presigned, now));
    S3_CHECK(set_payload(out, payload));
    return out;
}

}  // namespace cess::s3
