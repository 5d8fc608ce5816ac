#include "frame.hpp"

#include <core/net/refusal.hpp>

#include <algorithm>

namespace cess::net {
namespace {

constexpr std::size_t failure_text_max = 1000;  // of an error that travels

template <class T>
void put(raw_header& to, std::size_t at, T value) noexcept {
    for (std::size_t i = 0; i < sizeof(T); ++i) to[at + i] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i));
}
template <class T>
T get(const raw_header& from, std::size_t at) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= std::to_integer<std::uint64_t>(from[at + i]) << (8 * i);
    return static_cast<T>(value);
}

// What a peer says is shown to people and logged: one line of printable ASCII, since terminals take orders from more than
// the ASCII control characters.
std::string one_line(byte_view text) {
    auto out = cess::to_string(text.first(std::min(text.size(), failure_text_max)));
    for (auto& c : out) {
        const auto code = static_cast<unsigned char>(c);
        if (code < 0x20) c = ' ';
        else if (code >= 0x7f) c = '?';
    }
    return out;
}

}  // namespace

raw_header write_header(const frame_header& h) noexcept {
    raw_header raw;
    put(raw, 0, frame_magic);
    put(raw, 4, h.code);
    put(raw, 6, h.flags);
    put(raw, 8, h.id);
    put(raw, 16, h.head_size);
    put(raw, 20, h.body_size);
    return raw;
}

result<frame_header> read_header(const raw_header& raw) {
    if (get<std::uint32_t>(raw, 0) != frame_magic) return error(errc::protocol, "not a CESS frame");
    frame_header h;
    h.code = get<std::uint16_t>(raw, 4);
    h.flags = get<std::uint16_t>(raw, 6);
    h.id = get<std::uint64_t>(raw, 8);
    h.head_size = get<std::uint32_t>(raw, 16);
    h.body_size = get<std::uint32_t>(raw, 20);
    if ((h.flags & ~frame_is_reply) != 0) return error(errc::protocol, "unknown frame flags");
    if (h.head_size > head_size_max || h.body_size > body_size_max) return error(errc::too_large, "frame is oversized");
    return h;
}

namespace {
frame sized(frame f) {
    f.header.head_size = static_cast<std::uint32_t>(f.head.size());
    f.header.body_size = static_cast<std::uint32_t>(f.bulk().size());
    return f;
}
}  // namespace

frame request_frame(std::uint64_t id, request what) {
    frame f;
    f.header.code = what.method;
    f.header.id = id;
    f.head = std::move(what.head);
    f.asked = std::move(what.body);
    return sized(std::move(f));
}

frame reply_frame(std::uint64_t id, reply what) {
    if (what.failure.code == errc::ok && (what.head.size() > head_size_max || what.body.size() > body_size_max))
        what = reply::of(error(errc::too_large, "the reply does not fit a frame"));
    frame f;
    f.header.code = static_cast<std::uint16_t>(what.failure.code);
    f.header.flags = frame_is_reply;
    f.header.id = id;
    if (what.failure.code == errc::ok) {
        f.head = std::move(what.head);
        f.body = std::move(what.body);
    } else {
        f.head = to_bytes(std::string_view(what.failure.what).substr(0, failure_text_max));
    }
    return sized(std::move(f));
}

error refusal_of_peer(error named) {
    if (named.code == errc::canceled) named.code = errc::unavailable;
    return named;
}

error refusal_of_peer(std::uint16_t code, byte_view text) {
    if (code > static_cast<std::uint16_t>(errc::no_attribute)) return error(errc::protocol, "reply with an unknown error code");
    return refusal_of_peer(error(static_cast<errc>(code), one_line(text)));
}

result<reply> open_reply(frame f) {
    if (static_cast<errc>(f.header.code) != errc::ok) return refusal_of_peer(f.header.code, f.head);
    reply r;
    r.head = std::move(f.head);
    r.body = std::move(f.body);
    return r;
}

}  // namespace cess::net
