// The order of transactions, behind an interface: the single validator is its first implementation, the BFT committee
// the next. Whatever implements it, blocks come out in one order, durable before they come out, and the machine above
// (validator.hpp) applies them.
#pragma once

#include <chain/ledger/proof.hpp>
#include <core/net/env.hpp>

namespace cess::chain {

struct committed_block {
    block_height height;       // 1, 2, 3, …
    ledger::block what;
    bool verified = false;     // the signatures of its transactions hold
    std::uint64_t encoded_size = 0;
};

class ordering {
public:
    virtual ~ordering() = default;
    // Takes a transaction whose signature was verified; any thread. It will come out in a block, unless this node dies
    // first. errc::exhausted past the queue's bounds, errc::unavailable once stopped or failed.
    virtual result<void> submit(ledger::signed_transaction what, std::uint64_t weight) = 0;
    // The next block, already durable; waits without end until there is one. One caller at a time.
    virtual net::awaitable<result<committed_block>> next() = 0;
    // This node's signature over the certificate of `height`, to travel in a later block.
    virtual void contribute(block_height height, signature over_certificate) = 0;
    virtual result<bytes> encoded_block(block_height height) = 0;  // blocking; any thread
    [[nodiscard]] virtual std::size_t waiting() const = 0;
    virtual void stop() = 0;  // next() ends with errc::canceled
};

}  // namespace cess::chain
