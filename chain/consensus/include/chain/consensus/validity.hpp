// Which blocks may enter the DAG, whatever else is in it.
#pragma once

#include <chain/consensus/coin.hpp>
#include <chain/consensus/keys.hpp>

namespace cess::consensus {

// Of a block.
namespace limits {
inline constexpr std::size_t weak_links = 256;
inline constexpr std::size_t payload_bytes = 2 * MiB;
inline constexpr std::size_t payload_items = 4096;
inline constexpr std::size_t certificate_signatures = 64;
inline constexpr round_number round = round_number{1} << 48;
}  // namespace limits

// The epoch whose blocks these are.
struct epoch_context {
    network_id network;
    std::uint64_t epoch = 0;
    hash256 genesis;  // digest of the blocks of round 0
    rules by;
};

// What costs next to nothing. Refuses another network's or epoch's block, a stranger's, one that breaks a bound, one whose
// parents are not 2f+1 of the round before, by author, one without a link to an earlier block of its author's own, one with
// a weak link to more than `depth` rounds ago (but for that one, of an author that jumped), and one with a share of the coin
// where its round wants none, or without one.
[[nodiscard]] result<void> check_form(const named_block& what, const epoch_context& in);
// What is dear, after that: its signature, and then the share.
[[nodiscard]] result<void> check_proofs(const named_block& what, const epoch_context& in, const keys& signers, const coin& shares);
// Both.
[[nodiscard]] result<void> check(const named_block& what, const epoch_context& in, const keys& signers, const coin& shares);

}  // namespace cess::consensus
