// What a newcomer asks the process that a lease names as the volume's owner. Served by whoever attaches volumes.
#pragma once

#include <core/net/rpc.hpp>

namespace cess::layer {

namespace method {
inline constexpr net::method_id owner_ping = 0x0300;  // owner_ping_request → owner_ping_reply
}

struct owner_ping_request {
    static constexpr std::uint8_t wire_version = 1;
    volume_id volume;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.volume); }
};
struct owner_ping_reply {
    static constexpr std::uint8_t wire_version = 1;
    term_number term;    // in which it owns the volume
    bool alive = false;  // false: it does not own it (any more)
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.term, self.alive); }
};

}  // namespace cess::layer
