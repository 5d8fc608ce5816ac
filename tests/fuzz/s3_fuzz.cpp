// What S3 clients send, before anybody knows who they are: request heads, signatures, chunked bodies, XML, ranges.
// The first byte chooses the parser. No input may crash, pass for signed, or come out of the decoder larger than it went in.
#include "chunked.hpp"
#include "conditions.hpp"
#include "listing.hpp"
#include "xml.hpp"

#include <cstdlib>

using namespace cess;
using namespace cess::s3;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

const std::vector<credential> keys{{"AKIAIOSFODNN7EXAMPLE", "a secret that no fuzzer guesses"}};
const wall_time day = *parse_iso8601_basic("20130524T000000Z");

// Lines: method, target, then headers "name:value".
void try_head(std::string_view input) {
    header_list headers;
    std::string_view method = "GET", target = "/";
    for (int line = 0; !input.empty(); ++line) {
        const auto end = std::min(input.find('\n'), input.size());
        const auto text = input.substr(0, end);
        input.remove_prefix(std::min(end + 1, input.size()));
        if (line == 0) method = text;
        else if (line == 1) target = text;
        else if (const auto colon = text.find(':'); colon != std::string_view::npos) headers.add(text.substr(0, colon), text.substr(colon + 1));
    }
    const auto head = parse_head(method, target, std::move(headers));
    if (!head) return;
    const auto where = parse_address(*head, "s3.test");
    require(!where || (where->key.size() <= key_size_max && (where->bucket.empty() || is_bucket_name(where->bucket))));
    (void)parse_copy_source(head->headers.get("x-amz-copy-source"));
    require(!authenticate(*head, keys, day));
    const auto range = parse_range(head->headers.find("range"), 1000);
    require(!range || !*range || ((*range)->length > 0 && (*range)->first + (*range)->length <= 1000));
    (void)judge(read_conditions(head->headers, ""), "etag", day);
}

void try_chunks(byte_view input, payload_kind kind) {
    identity who;
    who.payload = kind;
    who.signing.date = "20130524T000000Z";
    who.signing.seed = std::string(64, '0');
    chunk_decoder whole(who, "x-amz-checksum-crc32"), cut(who, "x-amz-checksum-crc32");
    auto wire = to_bytes(input);
    const auto at_once = whole.decode(wire);
    std::string pieces;
    bool failed = false;
    for (std::size_t at = 0; at < input.size() && !failed; at += 3) {
        auto piece = to_bytes(input.subspan(at, std::min<std::size_t>(3, input.size() - at)));
        const auto n = cut.decode(piece);
        failed = !n;
        if (n) pieces.append(as_text(byte_view(piece).first(*n)));
    }
    require(failed == !at_once);
    if (!at_once) return;
    require(*at_once <= input.size() && pieces == as_text(byte_view(wire).first(*at_once)));
    const bool ended = whole.finish().has_value();
    require(ended == cut.finish().has_value());
    if (kind != payload_kind::chunks_unsigned_trailer) require(!ended);  // no fuzzer signs
}

void try_text(std::string_view input) {
    if (const auto decoded = uri_decode(input, false)) require(uri_decode(uri_encode(*decoded, true), false) == *decoded);
    if (const auto raw = base64_decode(input)) require(base64_encode(*raw).size() == input.size());
    if (const auto at = parse_http_date(input)) require(parse_http_date(http_date(*at)).has_value());
    (void)parse_iso8601_basic(input);
    (void)is_utf8(input);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const byte_view input = std::as_bytes(std::span(data + 1, size - 1));
    switch (data[0] % 7) {
        case 0: try_head(as_text(input)); break;
        case 1: try_chunks(input, payload_kind::chunks_signed); break;
        case 2: try_chunks(input, payload_kind::chunks_signed_trailer); break;
        case 3: try_chunks(input, payload_kind::chunks_unsigned_trailer); break;
        case 4: (void)parse_delete(as_text(input)); break;
        case 5: (void)parse_complete(as_text(input)); break;
        default: try_text(as_text(input)); (void)parse_create_bucket(as_text(input)); break;
    }
    return 0;
}
