#include "chunked.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace cess::s3 {

namespace {

constexpr std::size_t line_max = 1024;
constexpr std::uint64_t chunk_size_max = 5 * GiB;

failure bad(std::string text) { return {code::invalid_request, "The aws-chunked body is malformed: " + std::move(text)}; }

bool same_signature(std::string_view a, std::string_view b) { return crypto::equal_constant_time(as_view(a), as_view(b)); }

}  // namespace

chunk_decoder::chunk_decoder(const identity& who, std::string_view trailer)
    : m_signing(who.signing),
      m_allowed_trailer(lower(trailer)),
      m_signed(who.payload != payload_kind::chunks_unsigned_trailer),
      m_with_trailer(who.payload != payload_kind::chunks_signed),
      m_previous(who.signing.seed) {}

answer<std::size_t> chunk_decoder::decode(byte_span wire) {
    std::size_t in = 0, out = 0;
    while (in < wire.size()) {
        if (m_state == state::done) {
            // Some SDKs end the body with one empty line more than the others.
            const auto c = std::to_integer<char>(wire[in++]);
            if (m_after_end == 2 || c != "\r\n"[m_after_end++]) return bad("bytes after its end");
            continue;
        }
        if (m_state == state::data) {
            const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(m_left, wire.size() - in));
            if (m_signed) m_hash.update(byte_view(wire).subspan(in, n));
            if (in != out) std::memmove(wire.data() + out, wire.data() + in, n);
            in += n;
            out += n;
            m_left -= n;
            if (m_left == 0) m_state = state::data_end;
            continue;
        }
        const auto c = std::to_integer<char>(wire[in++]);
        m_line.push_back(c);
        if (m_line.size() > line_max) return bad("a line is too long");
        if (c == '\n') S3_CHECK(take_line());
    }
    return out;
}

answer<void> chunk_decoder::take_line() {
    const auto at = m_state;
    m_line.pop_back();
    const bool carriage_return = m_line.ends_with('\r');
    if (!carriage_return && at != state::trailer_line) return bad("a line does not end in CR LF");
    if (carriage_return) m_line.pop_back();
    answer<void> taken;
    if (at == state::size_line) taken = take_size_line();
    else if (at == state::trailer_line) taken = take_trailer_line();
    else taken = m_line.empty() ? end_of_chunk() : answer<void>(bad("a chunk is longer than it says"));
    m_line.clear();
    return taken;
}

answer<void> chunk_decoder::take_size_line() {
    const std::string_view line = m_line;
    const auto mark = std::min(line.find(';'), line.size());
    const auto digits = line.substr(0, mark);
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), m_left, 16);
    if (digits.empty() || digits[0] == '-' || failed != std::errc{} || end != digits.data() + digits.size() || m_left > chunk_size_max)
        return bad("a chunk has no valid size");
    constexpr std::string_view name = ";chunk-signature=";
    if (m_signed) {
        if (!line.substr(mark).starts_with(name)) return bad("a chunk is not signed");
        m_claimed = line.substr(mark + name.size());
    } else if (mark != line.size()) {
        return bad("an unsigned chunk has an extension");
    }
    m_last = m_left == 0;
    if (!m_last) {
        m_state = state::data;
        return {};
    }
    // The last chunk has no data; its signature is checked here, and trailers or the final empty line follow.
    if (m_with_trailer) {
        S3_CHECK(end_of_chunk());
        m_state = state::trailer_line;
    } else {
        m_state = state::data_end;
    }
    return {};
}

answer<void> chunk_decoder::end_of_chunk() {
    if (m_signed) {
        const auto expected = chunk_signature(m_signing, m_previous, m_hash.finish());
        if (!same_signature(expected, m_claimed)) return failure(code::signature_does_not_match, "A chunk's signature does not match its data.");
        m_previous = expected;
    }
    m_state = m_last ? state::done : state::size_line;
    return {};
}

answer<void> chunk_decoder::take_trailer_line() {
    if (m_line.empty()) {
        // Some SDKs put an empty line before the signature of the trailers.
        if (m_signed && m_trailer_signature.empty() && !m_trailers.empty() && !m_blank_seen) {
            m_blank_seen = true;
            return {};
        }
        return end_of_trailers();
    }
    const auto colon = m_line.find(':');
    if (colon == std::string::npos) return bad("a trailer is not name:value");
    auto name = lower(trim(std::string_view(m_line).substr(0, colon)));
    std::string value(trim(std::string_view(m_line).substr(colon + 1)));
    if (!m_trailer_signature.empty()) return bad("a trailer follows the trailers' signature");
    if (m_signed && name == "x-amz-trailer-signature") {
        if (value.empty()) return bad("the trailers' signature is empty");
        m_trailer_signature = std::move(value);
        return {};
    }
    if (name != m_allowed_trailer) return bad("a trailer that x-amz-trailer does not name");
    if (!m_trailers.empty()) return bad("a trailer is given twice");
    m_signed_trailer.append(name).append(":").append(value).append("\n");
    m_trailers.push_back({std::move(name), std::move(value)});
    return {};
}

answer<void> chunk_decoder::end_of_trailers() {
    if (m_signed) {
        const auto expected = trailer_signature(m_signing, m_previous, crypto::sha256(as_view(m_signed_trailer)));
        if (!same_signature(expected, m_trailer_signature))
            return failure(code::signature_does_not_match, "The trailers' signature does not match them.");
    }
    if (!m_allowed_trailer.empty() && m_trailers.empty()) return bad("the trailer that x-amz-trailer names is missing");
    m_state = state::done;
    return {};
}

answer<void> chunk_decoder::finish() const {
    if (m_state != state::done) return failure(code::incomplete_body);
    return {};
}

}  // namespace cess::s3
