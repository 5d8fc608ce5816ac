// Keys of the state that only the ledger itself uses. The first byte says what kind of record follows; numbers are
// big-endian, so that a prefix scan goes in their order.
#pragma once

#include <chain/ledger/types.hpp>

namespace cess::ledger::key {

[[nodiscard]] bytes volume_name_prefix(const account_id& owner);
[[nodiscard]] bytes view_prefix(const volume_id& volume);
[[nodiscard]] bytes segment_prefix(const volume_id& lineage);
[[nodiscard]] bytes node_prefix();

[[nodiscard]] bytes expiry(block_height at, const account_id& account, const client_id& client);
[[nodiscard]] bytes expiry_prefix();
[[nodiscard]] bytes forward_prefix(const volume_id& lineage);
[[nodiscard]] bytes led(const volume_id& lineage, segment_number to, segment_number from);  // the forwards, by where they lead
[[nodiscard]] bytes led_prefix(const volume_id& lineage, segment_number to);
[[nodiscard]] bytes led_prefix(const volume_id& lineage);
[[nodiscard]] bytes astray(const volume_id& lineage, segment_number to);    // freed: the forwards to it wait for removal
[[nodiscard]] bytes astray_prefix(const volume_id& lineage);
[[nodiscard]] bytes pinned(const volume_id& lineage, sequence_number by, segment_number number);
[[nodiscard]] bytes pinned_prefix(const volume_id& lineage, sequence_number by);
[[nodiscard]] bytes pinned_prefix(const volume_id& lineage);
[[nodiscard]] bytes pending(const volume_id& lineage, sequence_number death, segment_number number);  // dead past the head
[[nodiscard]] bytes pending_prefix(const volume_id& lineage);
[[nodiscard]] bytes unpinned(const volume_id& lineage, sequence_number by);  // a view is gone: its group waits for reap
[[nodiscard]] bytes unpinned_prefix(const volume_id& lineage);
[[nodiscard]] bytes freed_order(const node_id& miner, freed_cursor at);      // → segment_ref's lineage and the id
[[nodiscard]] bytes freed_order_prefix(const node_id& miner);
[[nodiscard]] bytes freed_count();
[[nodiscard]] bytes tombstone(const volume_id& id);                          // a deleted volume's id is never used again

}  // namespace cess::ledger::key
