#include "checksum.hpp"
#include "conditions.hpp"
#include "request.hpp"
#include "text.hpp"
#include "xml.hpp"

#include <core/base/random.hpp>

#include <catch2/catch.hpp>
#include <pugixml.hpp>

using namespace cess;
using namespace cess::s3;

TEST_CASE("text: URI encoding keeps the unreserved set and comes back") {
    CHECK(uri_encode("a b/c~d*e+ü", true) == "a%20b/c~d%2Ae%2B%C3%BC");
    CHECK(uri_encode("a/b", false) == "a%2Fb");
    seeded_random random(1);
    for (int i = 0; i < 200; ++i) {
        std::string raw(random.below(40), '\0');
        random.fill(std::as_writable_bytes(std::span(raw)));
        CHECK(uri_decode(uri_encode(raw, i % 2 == 0), true) == raw);
        CHECK(to_string(byte_view(*base64_decode(base64_encode(as_view(raw))))) == raw);
    }
    for (const auto* bad : {"%", "%4", "%zz", "a%f"}) CHECK_FALSE(uri_decode(bad, false));
    for (const auto* bad : {"a", "ab=c", "====", "a===", "YQ=a"}) CHECK_FALSE(base64_decode(bad));
}

TEST_CASE("text: dates are written and read as their standards say") {
    const auto when = *parse_iso8601_basic("20240229T235958Z");
    CHECK(http_date(when) == "Thu, 29 Feb 2024 23:59:58 GMT");
    CHECK(parse_http_date(http_date(when)) == when);
    CHECK(iso8601(when) == "2024-02-29T23:59:58.000Z");
    CHECK(iso8601_basic(when) == "20240229T235958Z");
    for (const auto* bad : {"", "20240230T000000Z", "20240229T240000Z", "20240229T000000", "2024-2-29T00:00:00"}) CHECK_FALSE(parse_iso8601_basic(bad));
    for (const auto* bad : {"", "Thu, 29 Feb 2024 23:59:58 CET", "Thu, 30 Feb 2024 23:59:58 GMT", "now"}) CHECK_FALSE(parse_http_date(bad));
}

TEST_CASE("text: UTF-8 is checked to the letter") {
    CHECK(is_utf8("plain, ü, €, \xF0\x9F\x98\x80"));
    for (const auto* bad : {"\xc3", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "a\x80"}) CHECK_FALSE(is_utf8(bad));
}

TEST_CASE("request: buckets and keys come out of the path, and nothing is normalised") {
    const auto where = [](std::string_view target, std::string_view host = "localhost:9000", std::string_view domain = "s3.test") {
        header_list headers;
        headers.add("host", host);
        auto head = parse_head("GET", target, headers);
        REQUIRE(head.has_value());
        return parse_address(*head, domain);
    };
    CHECK(where("/")->bucket.empty());
    CHECK(where("/bkt")->bucket == "bkt");
    CHECK(where("/bkt/")->key.empty());
    CHECK(where("/bkt/a//b/../c/.")->key == "a//b/../c/.");
    CHECK(where("/bkt//a")->key == "/a");
    CHECK(where("/bkt@monday/a")->snapshot == "monday");
    CHECK(where("/a/b?x=%2F", "bkt.s3.test:9000")->bucket == "bkt");
    CHECK(where("/a/b", "BKT.S3.test")->key == "a/b");
    CHECK(where("/bkt/k", "s3.test")->bucket == "bkt");
    CHECK(where("/bkt%00/k").error().which == code::invalid_bucket_name);
    CHECK(where("/bkt/k%00").error().which == code::invalid_uri);
    CHECK(where("/bkt/%ff").error().which == code::invalid_uri);
    CHECK(where("/bkt/" + std::string(1024, 'a'))->key.size() == 1024);
    CHECK(where("/bkt/" + std::string(1025, 'a')).error().which == code::key_too_long);
    for (const auto* bad : {"/a", "/..", "/a..b", "/Upper", "/-ab", "/ab-", "/a_b", "/bkt@", "/bkt@a@b"})
        CHECK(where(bad).error().which == code::invalid_bucket_name);
    CHECK(where("/k", "bkt@snap.s3.test").error().which == code::invalid_bucket_name);
}

TEST_CASE("request: what can be read in two ways is refused") {
    header_list twice;
    twice.add("host", "a");
    twice.add("Host", "b");
    CHECK(parse_head("GET", "/", twice).error().which == code::bad_request);
    header_list one;
    one.add("host", "a");
    CHECK(parse_head("GET", "/?a=1&a=2", one).error().which == code::invalid_argument);
    CHECK(parse_head("GET", "http://a/b", one).error().which == code::invalid_uri);
    CHECK(parse_head("GET", "*", one).error().which == code::invalid_uri);
    CHECK(parse_head("GET", "/%zz", one).error().which == code::invalid_uri);
    CHECK(parse_head("GET", "/", header_list()).error().which == code::bad_request);
    std::string many = "/?";
    for (int i = 0; i < 200; ++i) many += "p" + std::to_string(i) + "&";
    CHECK(parse_head("GET", many, one).error().which == code::invalid_argument);
}

TEST_CASE("range: single ranges are taken, lists and nonsense ignored, empty ones refused") {
    const auto range = [](std::string text, std::uint64_t size) { return parse_range(&text, size); };
    const auto same = [](const answer<std::optional<byte_range>>& got, std::uint64_t first, std::uint64_t length) {
        return got.has_value() && got->has_value() && (*got)->first == first && (*got)->length == length;
    };
    CHECK(same(range("bytes=0-0", 10), 0, 1));
    CHECK(same(range("bytes=2-", 10), 2, 8));
    CHECK(same(range("bytes=-3", 10), 7, 3));
    CHECK(same(range("bytes=-30", 10), 0, 10));
    CHECK(same(range("bytes=5-99999999999", 10), 5, 5));
    for (const auto* text : {"bytes=10-", "bytes=-0", "bytes=99-100"}) CHECK(range(text, 10).error().which == code::invalid_range);
    CHECK(range("bytes=0-0", 0).error().which == code::invalid_range);
    for (const auto* text : {"bytes=1-0", "bytes=a-b", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "bytes=99999999999999999999-"}) {
        const auto got = range(text, 10);
        CHECK((got.has_value() && !got->has_value()));
    }
    CHECK(parse_copy_range("bytes=0-9", 10)->length == 10);
    CHECK(parse_copy_range("bytes=0-10", 10).has_error());
    CHECK(parse_copy_range("bytes=5-", 10).has_error());
}

TEST_CASE("conditions: tags decide before dates") {
    const auto modified = *parse_iso8601_basic("20240101T000000Z");
    const auto judged = [&](std::vector<named_value> list) {
        header_list headers;
        for (const auto& [name, value] : list) headers.add(name, value);
        return judge(read_conditions(headers, ""), "abc", modified);
    };
    CHECK(judged({}) == verdict::proceed);
    CHECK(judged({{"If-Match", "\"abc\""}}) == verdict::proceed);
    CHECK(judged({{"If-Match", "\"x\", W/\"abc\""}}) == verdict::proceed);
    CHECK(judged({{"If-Match", "\"x\""}}) == verdict::failed);
    CHECK(judged({{"If-None-Match", "*"}}) == verdict::not_modified);
    CHECK(judged({{"If-None-Match", "\"x\""}, {"If-Modified-Since", "Mon, 01 Jan 2024 00:00:00 GMT"}}) == verdict::proceed);
    CHECK(judged({{"If-Modified-Since", "Mon, 01 Jan 2024 00:00:00 GMT"}}) == verdict::not_modified);
    CHECK(judged({{"If-Unmodified-Since", "Sun, 31 Dec 2023 23:59:59 GMT"}}) == verdict::failed);
    CHECK(judged({{"If-Match", "\"abc\""}, {"If-Unmodified-Since", "Sun, 31 Dec 2023 23:59:59 GMT"}}) == verdict::proceed);
    CHECK(judged({{"If-Modified-Since", "yesterday"}}) == verdict::proceed);
}

TEST_CASE("checksum: known answers, and CRCs of parts combine to the CRC of the whole") {
    const auto check = as_view("123456789");
    const auto of = [&](checksum_kind kind) {
        digest d(kind);
        d.update(check);
        return to_hex(d.finish());
    };
    CHECK(of(checksum_kind::crc32) == "cbf43926");
    CHECK(of(checksum_kind::crc32c) == "e3069283");
    CHECK(of(checksum_kind::crc64nvme) == "ae8b14860a799888");
    CHECK(of(checksum_kind::sha1) == "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
    CHECK(to_hex(md5(as_view(""))) == "d41d8cd98f00b204e9800998ecf8427e");
    seeded_random random(7);
    for (const auto kind : {checksum_kind::crc32, checksum_kind::crc32c, checksum_kind::crc64nvme}) {
        for (int round = 0; round < 20; ++round) {
            bytes a(random.below(5000)), b(random.below(5000));
            random.fill(a);
            random.fill(b);
            digest first(kind), second(kind), whole(kind);
            first.update(a);
            second.update(b);
            whole.update(a);
            whole.update(b);
            CHECK(equal(combine(kind, first.finish(), second.finish(), b.size()), whole.finish()));
        }
    }
}

TEST_CASE("xml: any key is written so that a parser reads it back") {
    std::string key = "a<b>&\"'";
    for (char c = 1; c < 0x20; ++c) key.push_back(c);
    key += "ü]]>";
    xml_writer out("R");
    out.open("A").text("Key", key).close();
    const auto text = std::move(out).finish();
    pugi::xml_document document;
    REQUIRE(document.load_buffer(text.data(), text.size(), pugi::parse_default & ~pugi::parse_eol));
    CHECK(document.child("R").child("A").child_value("Key") == key);
}

TEST_CASE("xml: client documents are read, and hostile ones refused") {
    const auto deletion = parse_delete("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Object><Key>a&amp;b</Key></Object><Quiet>true</Quiet></Delete>");
    REQUIRE(deletion.has_value());
    REQUIRE(deletion->objects.size() == 1);
    CHECK(deletion->objects[0].key == "a&b");
    CHECK(deletion->objects[0].if_match.empty());
    CHECK(deletion->quiet);
    const auto blank = parse_delete("<Delete>\n  <Object>\n <Key> </Key> <ETag>&quot;e&quot;</ETag>\n</Object>\n</Delete>\n");
    REQUIRE(blank.has_value());
    CHECK(blank->objects[0].key == " ");
    CHECK(blank->objects[0].if_match == "\"e\"");
    CHECK(parse_delete("<Delete><Object><Key>a</Key><Size>1</Size></Object></Delete>").error().which == code::not_implemented);
    const auto parts = parse_complete("<CompleteMultipartUpload><Part><ETag>&quot;e&quot;</ETag><PartNumber>3</PartNumber></Part></CompleteMultipartUpload>");
    REQUIRE(parts.has_value());
    CHECK(parts->front().etag == "e");
    CHECK(parts->front().number == 3);
    for (const auto* bad : {"", "<", "<Delete>", "<Delete></Delete>", "<Other/>", "<Delete><Object><Key></Key></Object></Delete>",
                            "<!DOCTYPE a [<!ENTITY x \"y\">]><Delete><Thing/></Delete>"})
        CHECK(parse_delete(bad).has_error());
    for (const auto* number : {"0", "10001", "-1", "1x", "99999999999999999999", ""})
        CHECK(parse_complete("<CompleteMultipartUpload><Part><ETag>e</ETag><PartNumber>" + std::string(number) + "</PartNumber></Part></CompleteMultipartUpload>")
                  .has_error());
    std::string many = "<Delete>";
    for (int i = 0; i < 1001; ++i) many += "<Object><Key>k</Key></Object>";
    CHECK(parse_delete(many + "</Delete>").has_error());
    std::string deep;
    for (int i = 0; i < 150000; ++i) deep += "<a>";
    CHECK(parse_delete(deep).has_error());
}
