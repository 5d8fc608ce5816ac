// The ledger: a pure function from a state and a signed transaction to the next state and an outcome.
//
// Deterministic: no clock, no randomness, no I/O of its own, no float, no order of hash maps. What it does in one
// transaction is bounded by limits:: (types.hpp). docs/formats/chain.md tells the rules, above all when a segment is
// freed.
#pragma once

#include <chain/ledger/proof.hpp>
#include <chain/ledger/state.hpp>
#include <chain/ledger/types.hpp>

namespace cess::ledger {

// Where a transaction stands.
struct context {
    network_id network;
    block_height height;  // of the block that holds it
};

// Whether somebody has already verified the signature of this very transaction (blocks are verified in parallel).
enum class signature_is { unknown, verified };

// Applies `what`. A refused transaction changes nothing but its client's record, and one that cannot be told to be the
// account's own (network, signature, expiry, order of numbers) changes nothing at all. The same (account, client,
// number) again answers the recorded outcome, without its words.
outcome apply(state& on, const signed_transaction& what, const context& at, signature_is sig = signature_is::unknown);

// The epoch of `now` ends with the block at this height, after so many transactions: who orders from then on. Today the same members.
committee end_epoch(state& on, const committee& now, block_height at, std::uint64_t transactions);

// How much state a transaction may change, in bytes, roughly: what a block's size is counted by, so that short
// transactions with large effects (reap, deaths) do not make long blocks.
[[nodiscard]] std::uint64_t weight_of(const transaction& what, std::size_t encoded_size);

// Listings for people and for placement. All in order of keys, after a cursor.
namespace list {
[[nodiscard]] std::vector<node_record> nodes(state& on, const std::optional<node_id>& after, std::size_t limit);
[[nodiscard]] std::vector<volume_record> volumes(state& on, const account_id& of, const std::string& after_name, std::size_t limit);
[[nodiscard]] std::vector<view_record> views(state& on, const volume_id& of, const std::string& after_name, std::size_t limit);
[[nodiscard]] std::vector<segment_record> segments(state& on, const volume_id& lineage, segment_number after, std::size_t limit);
struct freed_entry {
    freed_cursor at;
    bytes key;  // of the freed_record
};
[[nodiscard]] std::vector<freed_entry> freed(state& on, const node_id& miner, freed_cursor after, std::size_t limit);
}  // namespace list

}  // namespace cess::ledger
