// A committee member's checkpoint, as it lies in the state store: where the core goes on, and how high the chain is there.
#pragma once

#include <chain/consensus/checkpoint.hpp>
#include <core/kv/store.hpp>

namespace cess::chain {

// REQUIRES, of who stores it: the state in the same store is as high already, and the DAG log is synced.
struct member_checkpoint {
    static constexpr std::uint8_t wire_version = 1;
    consensus::checkpoint core;
    block_height height;  // of the last block in the sequence
    template <class S, class C> static void describe(S& s, C& c) { c(s.core, s.height); }
};

// None: the log is replayed from its first block.
[[nodiscard]] result<std::optional<member_checkpoint>> load_checkpoint(kv::store& from);
[[nodiscard]] result<void> store_checkpoint(kv::store& to, const member_checkpoint& what);

}  // namespace cess::chain
