// What members of a committee ask each other, over the same RPC as everything else. docs/formats/chain.md has the rules.
#pragma once

#include <chain/consensus/block.hpp>
#include <core/net/rpc.hpp>

namespace cess::chain {

namespace method {
inline constexpr net::method_id blocks = 0x0280;  // blocks_message, body: encoded blocks as a vector<bytes> → nothing
inline constexpr net::method_id fetch = 0x0281;   // fetch_request → body: encoded blocks as a vector<bytes>; those that are there
inline constexpr net::method_id state = 0x0282;   // state_request → body: vector<bytes>, or a vector of (key, value)
inline constexpr net::method_id reached = 0x0283; // reached_request → u64: the epoch that comes after what this member has of the sequence
inline constexpr net::method_id silent = 0x0284;  // silent_request → nothing: the sender makes no blocks before the next epoch
inline constexpr net::method_id signatures = 0x0285;  // signatures_message → nothing: what the sender's next block has, without its way to the disk
}  // namespace method

[[nodiscard]] constexpr bool is_of_members(net::method_id what) noexcept { return what >= method::blocks && what <= method::signatures; }

inline constexpr std::size_t message_bytes_max = 3 * MiB;   // of blocks in a message; a single larger one goes alone
inline constexpr std::size_t message_blocks_max = 4096;

// errc::conflict from a member for whom that epoch has ended, errc::unavailable from one for whom it has not begun.
struct blocks_message {
    static constexpr std::uint8_t wire_version = 2;
    network_id network;
    std::uint64_t epoch = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.network, s.epoch); }
};
// Of this epoch or, from a member who keeps them, of one that has ended: these blocks, or (`from` set) those of the rounds from there on, in the order of rounds.
struct fetch_request {
    static constexpr std::uint8_t wire_version = 2;
    network_id network;
    std::uint64_t epoch = 0;
    std::vector<consensus::block_ref> blocks;
    std::optional<consensus::round_number> from;
    template <class S, class C> static void describe(S& s, C& c) { c(s.network, s.epoch, s.blocks, s.from); }
};

// Of the state with which that epoch began, errc::not_found if it is not kept: the nodes of the tree at these places, or (`after` set) the
// records past that key. As many as fit a message, from the first on, and one at least; no records past the last.
struct state_request {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    std::uint64_t epoch = 0;
    std::vector<bytes> places;
    std::optional<bytes> after;
    template <class S, class C> static void describe(S& s, C& c) { c(s.network, s.epoch, s.places, s.after); }
};
struct reached_request {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    template <class S, class C> static void describe(S& s, C& c) { c(s.network); }
};
inline constexpr std::size_t message_signatures_max = 64;
struct signatures_message {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    std::uint64_t epoch = 0;
    std::vector<std::pair<block_height, signature>> own;  // over state certificates
    template <class S, class C> static void describe(S& s, C& c) { c(s.network, s.epoch, s.own); }
};
struct silent_request {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    std::uint64_t epoch = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.network, s.epoch); }
};

}  // namespace cess::chain
