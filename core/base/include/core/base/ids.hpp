// Identifiers as types, so that a segment's id cannot pass for a node's.
#pragma once

#include <core/base/bytes.hpp>

#include <array>
#include <compare>
#include <cstdint>
#include <functional>

namespace cess {

// A fixed-size opaque identifier, ordered bytewise.
template <class Tag, std::size_t Size>
struct fixed_id {
    static constexpr std::size_t size = Size;
    std::array<std::byte, Size> raw{};

    friend auto operator<=>(const fixed_id&, const fixed_id&) = default;
    [[nodiscard]] byte_view view() const noexcept { return raw; }
    [[nodiscard]] bool is_zero() const noexcept { return *this == fixed_id{}; }
    [[nodiscard]] std::string hex() const { return to_hex(raw); }
    [[nodiscard]] std::string brief() const { return to_hex(byte_view(raw).first(Size < 6 ? Size : 6)); }  // for people

    // REQUIRES: from.size() >= Size
    static fixed_id from(byte_view from) noexcept {
        fixed_id id;
        std::memcpy(id.raw.data(), from.data(), Size);
        return id;
    }
    static result<fixed_id> parse(std::string_view text) {
        TRY(auto decoded, from_hex(text));
        if (decoded.size() != Size) return error(errc::invalid, "identifier of the wrong length");
        return from(decoded);
    }
};

using hash256 = fixed_id<struct hash256_tag, 32>;        // SHA-256
using public_key = fixed_id<struct public_key_tag, 32>;  // Ed25519
using signature = fixed_id<struct signature_tag, 64>;    // Ed25519
using node_id = fixed_id<struct node_id_tag, 32>;        // a node's TLS public key
using account_id = fixed_id<struct account_id_tag, 32>;  // an account's public key
using client_id = fixed_id<struct client_id_tag, 16>;    // random, one a process; transactions are deduplicated by it
using network_id = fixed_id<struct network_id_tag, 32>;  // hash of the genesis block
using volume_id = fixed_id<struct volume_id_tag, 16>;    // also names a lineage: the segments a volume itself wrote
using segment_id = fixed_id<struct segment_id_tag, 32>;  // content id: hash of {geometry, length, fragment roots}
using incarnation_id = fixed_id<struct incarnation_tag, 16>;  // of a miner's store: random at format; a wipe changes it
using salt256 = fixed_id<struct salt_tag, 32>;

// Numbers as types. Arithmetic is spelled out where it is meant: `next()`, `value`.
template <class Tag>
struct strong_number {
    std::uint64_t value = 0;

    friend auto operator<=>(const strong_number&, const strong_number&) = default;
    [[nodiscard]] constexpr strong_number next() const noexcept { return {value + 1}; }
};

using term_number = strong_number<struct term_tag>;          // of a volume's ownership; 0 = never owned
using sequence_number = strong_number<struct sequence_tag>;  // of a change in a volume's history; 0 = the empty volume
using segment_number = strong_number<struct segment_tag>;    // of a segment within its lineage; term in the high 24 bits
using entry_index = strong_number<struct entry_tag>;         // of an entry in one journal
using block_height = strong_number<struct height_tag>;       // of a block in the chain

// STL hash over ids that are already uniformly distributed.
struct id_hash {
    template <class Tag, std::size_t Size>
    std::size_t operator()(const fixed_id<Tag, Size>& id) const noexcept {
        std::size_t h;
        std::memcpy(&h, id.raw.data(), sizeof h);
        return h;
    }
    template <class Tag>
    std::size_t operator()(const strong_number<Tag>& n) const noexcept {
        return std::hash<std::uint64_t>()(n.value);
    }
};

}  // namespace cess
