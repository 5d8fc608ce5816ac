// The index over the certified sequence: where each transaction stands and how it ended, and what each account sent.
//
// Written by the machine in the batch of the state that its blocks led to, so that it stands where the state does after any
// crash. Only ever added to; an entry never changes. Costs about 250 bytes a transaction in the store, and 120 a block.
#pragma once

#include <chain/consensus/block.hpp>
#include <chain/ledger/state.hpp>
#include <chain/ledger/types.hpp>
#include <chain/node/records.hpp>
#include <core/kv/store.hpp>

namespace cess::chain::index {

// How a transaction stands that the block of `height` just applied, by its client's record.
[[nodiscard]] standing standing_of(ledger::state& in, const ledger::transaction& body, const hash256& id, block_height height);

void add(kv::batch& to, transaction_place where, const ledger::signed_transaction& what, const hash256& id, const ledger::outcome& outcome, standing how);
void add(kv::batch& to, block_height height, const consensus::named_block& what, std::uint32_t transactions);
void add(kv::batch& to, const indexed_range& now);

// The range that the store has, if it ends where the state stands; else what begins behind it.
[[nodiscard]] result<indexed_range> range_of(kv::store& in, block_height state);

// Reading, all of it bounded by the caller's `certified`.
[[nodiscard]] result<block_entry> block(kv::store& in, block_height height);
[[nodiscard]] result<std::vector<transaction_entry>> transactions(kv::store& in, block_height height, std::uint32_t from, std::size_t limit);
[[nodiscard]] result<std::pair<transaction_place, transaction_entry>> find(kv::store& in, const hash256& id, block_height certified);
[[nodiscard]] result<std::vector<transaction_place>> of_account(kv::store& in, const account_id& account, const std::optional<transaction_place>& before, std::size_t limit, block_height certified);
[[nodiscard]] result<std::vector<volume_id>> lineages_of(kv::store& in, const segment_id& segment, const std::optional<volume_id>& after, std::size_t limit);

// Copies what `from` has of heights up to `upto` into `to`, a bounded batch each call, past `after`; nothing left: an empty cursor.
[[nodiscard]] result<bytes> copy_some(kv::store& from, kv::store& to, const bytes& after);

}  // namespace cess::chain::index
