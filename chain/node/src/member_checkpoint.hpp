// A committee member's checkpoint, as it lies in the state store: where the core goes on, and how high the chain is there.
#pragma once

#include <chain/consensus/checkpoint.hpp>
#include <core/kv/store.hpp>

namespace cess::chain {

// REQUIRES, of who stores it: the state in the same store is as high already, and the DAG log is synced.
struct member_checkpoint {
    static constexpr std::uint8_t wire_version = 2;
    consensus::checkpoint core;
    block_height height;         // of the last block in the sequence
    std::uint64_t bytes = 0;     // of the epoch's blocks with payload up to there
    template <class S, class C> static void describe(S& s, C& c) { c(s.core, s.height, s.bytes); }
};

// None: the log is replayed from its first block.
[[nodiscard]] result<std::optional<member_checkpoint>> load_checkpoint(kv::store& from, std::uint64_t epoch);
[[nodiscard]] result<void> store_checkpoint(kv::store& to, std::uint64_t epoch, const member_checkpoint& what);

// The prefix of an epoch's own keys in the state store: the letter, and its number big-endian.
[[nodiscard]] bytes epoch_family(char letter, std::uint64_t epoch);

}  // namespace cess::chain
