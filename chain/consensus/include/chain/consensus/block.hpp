// The one message of the committee's DAG: a signed block. docs/CONSENSUS.md has the protocol, docs/formats/chain.md the bytes.
#pragma once

#include <core/wire/codec.hpp>

#include <memory>
#include <vector>

namespace cess::consensus {

using round_number = std::uint64_t;  // 0 = the genesis blocks, which everybody has and nobody sends
using author_index = std::uint16_t;  // in the order of the epoch's committee
using coin_number = std::uint64_t;   // k of the coin slot in round kK

struct block_ref {
    round_number round = 0;
    author_index author = 0;
    hash256 digest;
    template <class S, class C> static void describe(S& s, C& c) { c(s.round, s.author, s.digest); }
    friend auto operator<=>(const block_ref&, const block_ref&) = default;
};

struct block_body {
    static constexpr std::uint8_t wire_version = 2;
    network_id network;
    std::uint64_t epoch = 0;
    round_number round = 0;
    author_index author = 0;
    std::vector<block_ref> parents;  // of the round before, one an author, in their order
    std::vector<block_ref> weak;     // older blocks that nothing else in its history refers to: ascending, one an author and round
    std::vector<bytes> payload;      // opaque here
    bytes coin_share;                // in the rounds in which a coin slot is revealed, else empty
    std::vector<std::pair<block_height, signature>> certificate_signatures;  // of state certificates, ascending
    round_number durable_watermark = 0;  // of the author's own rounds, the highest that it holds durably
    bool closing = false;            // its author wishes the epoch to end
    template <class S, class C> static void describe(S& s, C& c) {
        c(s.network, s.epoch, s.round, s.author, s.parents, s.weak, s.payload, s.coin_share, s.certificate_signatures, s.durable_watermark, s.closing);
    }
};

struct block {
    static constexpr std::uint8_t wire_version = 1;
    block_body body;
    signature sig;  // by the author, over the digest (keys.hpp)
    template <class S, class C> static void describe(S& s, C& c) { c(s.body, s.sig); }
};

// About what it takes in memory.
[[nodiscard]] std::size_t memory_of(const block_body& body);
[[nodiscard]] hash256 digest_of(const block_body& body);  // sha256(encode(body))

// A block and its name, computed once. Immutable and shared by whoever stores, sends or refers to it.
struct named_block {
    block what;
    block_ref ref;
    [[nodiscard]] const block_body& body() const noexcept { return what.body; }
};
using block_ptr = std::shared_ptr<const named_block>;
[[nodiscard]] block_ptr named(block what);

}  // namespace cess::consensus
