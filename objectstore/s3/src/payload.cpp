#include "payload.hpp"

namespace cess::s3 {

answer<std::unique_ptr<payload>> payload::make(body_source& from, const identity& who, const request_head& head, std::uint64_t size_max,
                                                      bool checksums) {
    std::unique_ptr<payload> out(new payload(from, who));
    out->m_size_max = size_max;
    if (is_chunked(who.payload)) {
        const auto* declared = head.headers.find("x-amz-decoded-content-length");
        const auto size = declared ? parse_number(*declared) : std::nullopt;
        if (!size) return failure(code::missing_content_length, "A streaming body needs x-amz-decoded-content-length.");
        out->m_size = *size;
        out->m_chunks.emplace(who, head.headers.get("x-amz-trailer"));
    } else {
        out->m_size = from.length();
        if (who.payload == payload_kind::hashed) out->m_sha256.emplace();
    }
    if (out->m_size && *out->m_size > size_max) return failure(code::entity_too_large);
    S3_CHECK(out->expect_md5(head));
    if (checksums) S3_CHECK(out->expect_checksum(head));
    return out;
}

answer<void> payload::expect_md5(const request_head& head) {
    if (const auto* text = head.headers.find("content-md5")) {
        m_md5_wanted = base64_decode(*text);
        if (!m_md5_wanted || m_md5_wanted->size() != 16) return failure(code::invalid_digest);
    }
    return {};
}

answer<void> payload::expect_checksum(const request_head& head) {
    const auto set = [&](checksum_kind kind) {
        const bool fresh = m_checksum == checksum_kind::none;
        compute(kind);
        return fresh ? answer<void>() : answer<void>(failure(code::invalid_request, "Expecting a single x-amz-checksum- header."));
    };
    for (const auto& [name, value] : head.headers.all()) {
        const auto kind = checksum_from_header(name);
        if (!kind) continue;
        S3_CHECK(set(*kind));
        m_checksum_wanted = value;
        const auto raw = base64_decode(value);
        if (!raw || raw->size() != digest_size(*kind)) return failure(code::invalid_request, "Value for " + name + " header is invalid.");
    }
    if (const auto trailer = lower(head.headers.get("x-amz-trailer")); !trailer.empty()) {
        const auto kind = checksum_from_header(trailer);
        if (!kind || !m_chunks) return failure(code::invalid_request, "The value specified in the x-amz-trailer header is not supported.");
        S3_CHECK(set(*kind));
        m_checksum_in_trailer = true;
    }
    if (const auto* named = head.headers.find("x-amz-sdk-checksum-algorithm")) {
        const auto kind = checksum_from_name(*named);
        if (!kind) return failure(code::invalid_request, "Checksum algorithm provided is unsupported.");
        if (m_checksum != *kind)
            return failure(code::invalid_request, "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
                                                  "x-amz-trailer headers were found.");
    }
    return {};
}

void payload::compute(checksum_kind kind) {
    m_checksum = kind;
    m_digest.emplace(kind);
}

answer<std::size_t> payload::decode(byte_span wire) {
    if (m_sha256) m_sha256->update(wire);
    auto size = wire.size();
    if (m_chunks) {
        S3_TRY(size, m_chunks->decode(wire));
    }
    m_seen += size;
    if (m_size && m_seen > *m_size) return failure(code::incomplete_body, "The body is longer than it was declared.");
    if (m_seen > m_size_max) return failure(code::entity_too_large);
    const auto data = byte_view(wire).first(size);
    m_md5.update(data);
    if (m_digest) m_digest->update(data);
    return size;
}

answer<void> payload::finish() {
    if (m_chunks) S3_CHECK(m_chunks->finish());
    if (m_size && m_seen != *m_size) return failure(code::incomplete_body);
    if (m_sha256 && !crypto::equal_constant_time(m_sha256->finish().view(), m_who.payload_hash.view())) return failure(code::content_sha256_mismatch);
    m_md5_digest = m_md5.finish();
    if (m_md5_wanted && !equal(*m_md5_wanted, m_md5_digest)) return failure(code::bad_digest);
    if (!m_digest) return {};
    m_checksum_value = base64_encode(m_digest->finish());
    if (m_checksum_in_trailer && !m_chunks->trailers().empty()) m_checksum_wanted = m_chunks->trailers().front().value;
    if (!m_checksum_wanted.empty() && m_checksum_wanted != m_checksum_value) return failure(code::bad_digest);
    return {};
}

}  // namespace cess::s3
