// The RPC frame as it stands on the wire; docs/formats/rpc.md.
#pragma once

#include <core/net/rpc.hpp>

#include <array>
#include <optional>

namespace cess::net {

inline constexpr std::uint32_t frame_magic = 0x31524543;  // "CER1"
inline constexpr std::uint16_t frame_is_reply = 1;        // the only flag
inline constexpr std::size_t frame_header_size = 24;

struct frame_header {
    std::uint16_t code = 0;   // a method, or a reply's errc
    std::uint16_t flags = 0;
    std::uint64_t id = 0;     // chosen by the caller; a reply repeats it
    std::uint32_t head_size = 0;
    std::uint32_t body_size = 0;
};

struct frame {
    frame_header header;
    bytes head;
    bytes body;
    std::optional<request_body> asked;  // of a request that goes out, instead of `body`
    [[nodiscard]] byte_view bulk() const noexcept { return asked ? byte_view(*asked) : byte_view(body); }
    [[nodiscard]] std::size_t payload() const noexcept { return head.size() + bulk().size(); }
};

using raw_header = std::array<std::byte, frame_header_size>;
[[nodiscard]] raw_header write_header(const frame_header& h) noexcept;
// errc::protocol for another magic or unknown flags, errc::too_large for sizes past the limits.
[[nodiscard]] result<frame_header> read_header(const raw_header& raw);

[[nodiscard]] frame request_frame(std::uint64_t id, request what);
[[nodiscard]] frame reply_frame(std::uint64_t id, reply what);
// The answer a reply frame carries: a reply without failure, or the error its sender named. REQUIRES: a reply frame
[[nodiscard]] result<reply> open_reply(frame f);

}  // namespace cess::net
