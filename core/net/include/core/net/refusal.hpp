// What a peer names as the reason of its refusal, as its caller sees it.
#pragma once

#include <core/base/bytes.hpp>
#include <core/base/result.hpp>

namespace cess::net {

// errc::canceled means here that we gave up ourselves, and whoever meets it stops trying: a peer that says it has only
// failed, and is taken as errc::unavailable.
[[nodiscard]] error refusal_of_peer(error named);
// From the wire: the text is bounded and made one printable line. errc::protocol for a code that there is not.
// REQUIRES: code is not errc::ok's
[[nodiscard]] error refusal_of_peer(std::uint16_t code, byte_view text);

}  // namespace cess::net
