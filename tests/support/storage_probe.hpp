// One request from a stranger, made of arbitrary bytes: for the hostile test and the fuzzer.
#pragma once

#include <support/storage_world.hpp>

namespace cess::test {

// The first two bytes choose the method, the third who asks, the next two how long the head is; then head and body.
inline net::reply probe(storage_bed& bed, sample_volume& volume, byte_view input) {
    if (input.size() < 5) return net::reply::of(errc::invalid);
    const auto at = [&](std::size_t i) { return std::to_integer<unsigned>(input[i]); };
    const auto method = static_cast<net::method_id>(0x0100 | (at(0) & 0x3f) | (at(1) == 0xff ? 0x8000 : 0));
    const auto from = at(2) % 2 == 0 ? volume.owner(volume.term()) : bed.how.self;
    const auto rest = input.subspan(5);
    const auto head = std::min<std::size_t>(rest.size(), at(3) | at(4) << 8);
    return bed.ask_raw(from, method, to_bytes(rest.first(head)), to_bytes(rest.subspan(head)));
}

// A well-formed request to start from.
inline bytes probe_of(net::method_id method, const bytes& head, const bytes& body, bool as_owner = true) {
    bytes out{static_cast<std::byte>(method & 0x3f), std::byte{0}, as_owner ? std::byte{0} : std::byte{1},
              static_cast<std::byte>(head.size() & 0xff), static_cast<std::byte>(head.size() >> 8 & 0xff)};
    append(out, head);
    append(out, body);
    return out;
}

}  // namespace cess::test
