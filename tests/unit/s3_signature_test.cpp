// Against the worked examples of AWS's documentation ("Authenticating Requests: Using the Authorization Header / Query
// Parameters", "Signature Calculations for … Chunked Upload"), and everything that must be refused.
#include "chunked.hpp"
#include "signature.hpp"

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::s3;

namespace {

const std::vector<credential> keys{{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}};
const wall_time day = *parse_iso8601_basic("20130524T000000Z");
constexpr auto empty_sha = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

request_head head_of(std::string_view method, std::string_view target, std::vector<named_value> headers) {
    header_list list;
    for (const auto& [name, value] : headers) list.add(name, value);
    auto head = parse_head(method, target, std::move(list));
    REQUIRE(head.has_value());
    return *head;
}

std::string authorization(std::string_view names, std::string_view signature) {
    return "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=" + std::string(names) +
           ",Signature=" + std::string(signature);
}

request_head get_example() {
    return head_of("GET", "/test.txt",
                   {{"Host", "examplebucket.s3.amazonaws.com"},
                    {"Range", "bytes=0-9"},
                    {"x-amz-content-sha256", empty_sha},
                    {"x-amz-date", "20130524T000000Z"},
                    {"Authorization", authorization("host;range;x-amz-content-sha256;x-amz-date",
                                                    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")}});
}

code refused(const request_head& head, wall_time now = day) {
    const auto got = authenticate(head, keys, now);
    REQUIRE(got.has_error());
    return got.error().which;
}

// Signs a request as a client does.
request_head signed_request(std::string_view method, std::string_view target, std::vector<named_value> headers, std::string names) {
    auto unsigned_head = head_of(method, target, headers);
    std::vector<std::string> list;
    for (std::size_t at = 0; at <= names.size();) {
        const auto end = std::min(names.find(';', at), names.size());
        list.push_back(names.substr(at, end - at));
        at = end + 1;
    }
    signing_context with;
    with.date = "20130524T000000Z";
    with.scope = "20130524/us-east-1/s3/aws4_request";
    with.key = signing_key(keys[0].secret, "20130524", "us-east-1");
    const std::string payload(unsigned_head.headers.get("x-amz-content-sha256"));
    headers.push_back({"Authorization", authorization(names, sign(with, canonical_request(unsigned_head, list, payload)))});
    return head_of(method, target, headers);
}

std::vector<named_value> plain_headers() {
    return {{"Host", "h"}, {"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}, {"x-amz-date", "20130524T000000Z"}};
}
constexpr auto plain_names = "host;x-amz-content-sha256;x-amz-date";

}  // namespace

TEST_CASE("signature: AWS's GET with a range is accepted") {
    const auto who = authenticate(get_example(), keys, day);
    REQUIRE(who.has_value());
    CHECK(who->payload == payload_kind::hashed);
    CHECK(who->payload_hash.hex() == empty_sha);
}

TEST_CASE("signature: AWS's PUT with an escaped key is accepted") {
    const auto head = head_of(
        "PUT", "/test%24file.text",
        {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
         {"Host", "examplebucket.s3.amazonaws.com"},
         {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
         {"x-amz-date", "20130524T000000Z"},
         {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
         {"Authorization", authorization("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                                         "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")}});
    REQUIRE(authenticate(head, keys, day).has_value());
}

TEST_CASE("signature: AWS's bucket requests with parameters are accepted") {
    const auto lifecycle = head_of("GET", "/?lifecycle",
                                   {{"Host", "examplebucket.s3.amazonaws.com"},
                                    {"x-amz-content-sha256", empty_sha},
                                    {"x-amz-date", "20130524T000000Z"},
                                    {"Authorization", authorization("host;x-amz-content-sha256;x-amz-date",
                                                                    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")}});
    CHECK(authenticate(lifecycle, keys, day).has_value());
    const auto list = head_of("GET", "/?max-keys=2&prefix=J",
                              {{"Host", "examplebucket.s3.amazonaws.com"},
                               {"x-amz-content-sha256", empty_sha},
                               {"x-amz-date", "20130524T000000Z"},
                               {"Authorization", authorization("host;x-amz-content-sha256;x-amz-date",
                                                               "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")}});
    CHECK(authenticate(list, keys, day).has_value());
}

namespace {
request_head presigned(std::string_view signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404") {
    return head_of("GET",
                   "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
                   "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=" + std::string(signature),
                   {{"Host", "examplebucket.s3.amazonaws.com"}});
}
}  // namespace

TEST_CASE("signature: AWS's presigned URL is accepted until it expires") {
    const auto who = authenticate(presigned(), keys, day);
    REQUIRE(who.has_value());
    CHECK(who->presigned);
    CHECK(who->payload == payload_kind::unsigned_payload);
    CHECK(authenticate(presigned(), keys, day + std::chrono::seconds(86400)).has_value());
    CHECK(refused(presigned(), day + std::chrono::seconds(86401)) == code::access_denied);
    CHECK(refused(presigned(), day - std::chrono::minutes(16)) == code::access_denied);
    CHECK(refused(presigned("beeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")) == code::signature_does_not_match);
}

TEST_CASE("signature: AWS's chunked upload is decoded however it is cut, and refused when touched") {
    const auto head = head_of(
        "PUT", "/examplebucket/chunkObject.txt",
        {{"Host", "s3.amazonaws.com"},
         {"x-amz-date", "20130524T000000Z"},
         {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
         {"x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
         {"Content-Encoding", "aws-chunked"},
         {"x-amz-decoded-content-length", "66560"},
         {"Content-Length", "66824"},
         {"Authorization",
          authorization("content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
                        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")}});
    const auto who = authenticate(head, keys, day);
    REQUIRE(who.has_value());
    REQUIRE(who->payload == payload_kind::chunks_signed);
    const std::string body = "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + std::string(65536, 'a') +
                             "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + std::string(1024, 'a') +
                             "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n";
    REQUIRE(body.size() == 66824);
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{4096}, body.size()}) {
        chunk_decoder decoder(*who, "");
        std::string out;
        for (std::size_t at = 0; at < body.size(); at += step) {
            auto piece = to_bytes(std::string_view(body).substr(at, step));
            const auto n = decoder.decode(piece);
            REQUIRE(n.has_value());
            out.append(as_text(byte_view(piece).first(*n)));
        }
        CHECK(decoder.finish().has_value());
        CHECK(out == std::string(66560, 'a'));
    }
    SECTION("a changed byte") {
        for (const std::size_t at : {std::size_t{100}, std::size_t{66000}, body.size() - 10}) {
            auto bad = to_bytes(body);
            bad[at] = static_cast<std::byte>(std::to_integer<int>(bad[at]) ^ 1);
            chunk_decoder decoder(*who, "");
            CHECK(decoder.decode(bad).has_error());
        }
    }
    SECTION("cut short, even between chunks") {
        for (const std::size_t size : {std::size_t{65000}, body.size() - 88, body.size() - 2, body.size() - 1}) {
            auto part = to_bytes(std::string_view(body).substr(0, size));
            chunk_decoder decoder(*who, "");
            REQUIRE(decoder.decode(part).has_value());
            CHECK(decoder.finish().has_error());
        }
    }
}

TEST_CASE("signature: AWS's chunked upload with a signed trailer is decoded") {
    const auto head = head_of(
        "PUT", "/examplebucket/chunkObject.txt",
        {{"Host", "s3.amazonaws.com"},
         {"x-amz-date", "20130524T000000Z"},
         {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
         {"x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"},
         {"Content-Encoding", "aws-chunked"},
         {"x-amz-decoded-content-length", "66560"},
         {"x-amz-trailer", "x-amz-checksum-crc32c"},
         {"Authorization", authorization("content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
                                         "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e")}});
    const auto who = authenticate(head, keys, day);
    REQUIRE(who.has_value());
    const std::string data = "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" + std::string(65536, 'a') +
                             "\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n" + std::string(1024, 'a') +
                             "\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n";
    const std::string signature = "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n";
    for (const std::string& tail : {"x-amz-checksum-crc32c:sOO8/Q==\r\n" + signature + "\r\n", "x-amz-checksum-crc32c:sOO8/Q==\n\r\n" + signature + "\r\n"}) {
        chunk_decoder decoder(*who, head.headers.get("x-amz-trailer"));
        auto wire = to_bytes(data + tail);
        const auto n = decoder.decode(wire);
        REQUIRE(n.has_value());
        CHECK(*n == 66560);
        CHECK(decoder.finish().has_value());
        REQUIRE(decoder.trailers().size() == 1);
        CHECK(decoder.trailers()[0].value == "sOO8/Q==");
    }
    chunk_decoder decoder(*who, head.headers.get("x-amz-trailer"));
    auto forged = to_bytes(data + "x-amz-checksum-crc32c:sOO8/A==\r\n" + signature + "\r\n");
    CHECK(decoder.decode(forged).has_error());
    chunk_decoder naked(*who, head.headers.get("x-amz-trailer"));
    auto missing = to_bytes(data + "\r\n");
    const auto taken = naked.decode(missing);
    CHECK((taken.has_error() || naked.finish().has_error()));
}

TEST_CASE("signature: what was not signed is refused") {
    auto headers = plain_headers();
    REQUIRE(authenticate(signed_request("GET", "/b/k", headers, plain_names), keys, day).has_value());
    SECTION("an x-amz header beside the signature") {
        headers.push_back({"x-amz-meta-a", "b"});
        CHECK(refused(signed_request("PUT", "/b/k", headers, plain_names)) == code::access_denied);
    }
    SECTION("a second value of a signed header") {
        auto base = signed_request("GET", "/b/k", {{"Host", "h"}, {"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}, {"x-amz-date", "20130524T000000Z"},
                                                   {"x-amz-meta-a", "1"}}, "host;x-amz-content-sha256;x-amz-date;x-amz-meta-a");
        REQUIRE(authenticate(base, keys, day).has_value());
        base.headers.add("x-amz-meta-a", "2");
        CHECK(refused(base) == code::signature_does_not_match);
    }
    SECTION("another method, path, parameter or host") {
        const auto good = signed_request("GET", "/b/k?prefix=a", headers, plain_names);
        REQUIRE(authenticate(good, keys, day).has_value());
        auto bad = good;
        bad.method = "DELETE";
        CHECK(refused(bad) == code::signature_does_not_match);
        bad = good;
        bad.path = "/b/k/";
        CHECK(refused(bad) == code::signature_does_not_match);
        bad = good;
        bad.query = *parameter_list::parse("prefix=b");
        CHECK(refused(bad) == code::signature_does_not_match);
        bad = good;
        bad.query = *parameter_list::parse("prefix=a&X-Amz-Signature=00");
        CHECK(refused(bad) == code::invalid_argument);
    }
    SECTION("host not among the signed headers") {
        CHECK(refused(signed_request("GET", "/b/k", headers, "x-amz-content-sha256;x-amz-date")) == code::access_denied);
    }
    SECTION("a signed header that the request lacks") {
        auto bad = signed_request("GET", "/b/k", headers, plain_names);
        bad.headers = {};
        for (const auto& h : plain_headers()) bad.headers.add(h.name, h.value);
        bad.headers.add("authorization", authorization("host;range;x-amz-content-sha256;x-amz-date", std::string(64, 'a')));
        CHECK(refused(bad) == code::signature_does_not_match);
    }
}

TEST_CASE("signature: replays outside the window, strangers and other schemes are refused") {
    const auto good = get_example();
    CHECK(authenticate(good, keys, day + std::chrono::minutes(15)).has_value());
    CHECK(refused(good, day + std::chrono::minutes(16)) == code::request_time_too_skewed);
    CHECK(refused(good, day - std::chrono::minutes(16)) == code::request_time_too_skewed);
    CHECK(authenticate(good, {{"other", "secret"}}, day).error().which == code::invalid_access_key);
    const auto with = [](std::string value) {
        return head_of("GET", "/b", {{"Host", "h"}, {"x-amz-date", "20130524T000000Z"}, {"x-amz-content-sha256", empty_sha}, {"Authorization", value}});
    };
    CHECK(refused(with("AWS AKIAIOSFODNN7EXAMPLE:c2ln")) == code::invalid_request);
    CHECK(refused(with("AWS4-HMAC-SHA256")) == code::invalid_request);
    CHECK(refused(with("AWS4-HMAC-SHA256 Credential=a/b")) == code::auth_header_malformed);
    CHECK(refused(with("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130525/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=0")) ==
          code::auth_header_malformed);
    CHECK(refused(with("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/ec2/aws4_request,SignedHeaders=host,Signature=0")) ==
          code::auth_header_malformed);
    CHECK(refused(with(authorization("host;Range", std::string(64, '0')))) == code::auth_header_malformed);
    CHECK(refused(with(authorization("host;host", std::string(64, '0')))) == code::auth_header_malformed);
    CHECK(refused(head_of("GET", "/b", {{"Host", "h"}})) == code::access_denied);
}

TEST_CASE("signature: an encoded slash and a slash are one path, so that no signature fits two resources") {
    const auto encoded = signed_request("GET", "/bkt%2Fk%2Fx", plain_headers(), plain_names);
    REQUIRE(authenticate(encoded, keys, day).has_value());
    const auto where = parse_address(encoded, "");
    REQUIRE(where.has_value());
    CHECK(where->bucket == "bkt");
    CHECK(where->key == "k/x");
}
