// The aws-chunked body: data in chunks that may each be signed, then, for some kinds, trailing headers.
//
//     100;chunk-signature=<hex>\r\n <data> \r\n … 0;chunk-signature=<hex>\r\n <name:value\r\n>* x-amz-trailer-signature:<hex>\r\n \r\n
//
// Decodes in place as the bytes arrive, with a bounded state. Data comes out before its chunk's signature is
// known: nothing may be made visible until finish() has succeeded. Not thread-safe.
#pragma once

#include "signature.hpp"

namespace cess::s3 {

class chunk_decoder {
public:
    // REQUIRES: is_chunked(who.payload). `trailer` is the x-amz-trailer header: the only name that may trail.
    chunk_decoder(const identity& who, std::string_view trailer);

    // Turns wire bytes into data, moved to the front of `wire`; how many there are. An error is final.
    [[nodiscard]] answer<std::size_t> decode(byte_span wire);
    // REQUIRES: every wire byte has been decoded. Refuses a body that is cut short.
    [[nodiscard]] answer<void> finish() const;
    [[nodiscard]] const std::vector<named_value>& trailers() const noexcept { return m_trailers; }

private:
    enum class state { size_line, data, data_end, trailer_line, done };
    answer<void> take_line();
    answer<void> take_size_line();
    answer<void> take_trailer_line();
    answer<void> end_of_chunk();
    answer<void> end_of_trailers();

    signing_context m_signing;
    std::string m_allowed_trailer;
    bool m_signed, m_with_trailer;
    state m_state = state::size_line;
    std::string m_line;               // bounded
    std::uint64_t m_left = 0;         // of the current chunk's data
    bool m_last = false;              // the chunk of size 0 has been seen
    bool m_blank_seen = false;
    std::size_t m_after_end = 0;      // bytes seen after the end
    std::string m_previous, m_claimed, m_trailer_signature;
    crypto::sha256_stream m_hash;
    std::string m_signed_trailer;     // name:value\n as it is signed
    std::vector<named_value> m_trailers;
};

}  // namespace cess::s3
