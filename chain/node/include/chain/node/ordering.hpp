// The order of transactions, behind an interface: by a single validator, or by a committee. Whatever implements it, the same
// blocks come out at the same heights at every member and after every restart, and the machine above (validator.hpp) applies them.
#pragma once

#include <chain/consensus/block.hpp>
#include <chain/ledger/proof.hpp>
#include <core/net/rpc.hpp>

#include <optional>

namespace cess::chain {

struct committed_block {
    block_height height;         // 1, 2, 3, …
    consensus::block_ptr block;  // payload: encoded ledger::signed_transaction; what is none is passed over
    bool verified = false;       // the signatures of its transactions hold
    bool certify = true;         // members sign the state after this one
    std::uint64_t encoded_size = 0;
    bool ends_epoch = false;     // the committed leader once more, with a height of its own: nothing of it is applied but that the epoch ends
};

// Where the block of a height is found.
struct block_place {
    static constexpr std::uint8_t wire_version = 1;
    std::uint64_t epoch = 0;
    consensus::block_ref name;
    bool ends_epoch = false;  // it stands at a height before as well, which holds its transactions
    template <class S, class C> static void describe(S& s, C& c) { c(s.epoch, s.name, s.ends_epoch); }
};

// Of a certificate's body at `height`; not checked.
struct member_signature {
    block_height height;
    consensus::author_index member = 0;
    signature sig;
};

struct ordered {
    std::vector<committed_block> blocks;
    std::vector<member_signature> signatures;
    bool behind = false;  // the others have dropped what would lead on from here: the state is to be had from them
    std::optional<ledger::state_certificate> last;  // of the epoch, from another member; not checked
};

class ordering {
public:
    virtual ~ordering() = default;
    virtual void start() {}  // what runs besides next(); once, after open()
    // Takes a transaction whose signature was verified; any thread. It will come out in a block, unless this node dies
    // first. errc::exhausted past the queue's bounds, errc::unavailable once stopped or failed.
    virtual result<void> submit(ledger::signed_transaction what, std::uint64_t weight) = 0;
    // What came since, not empty; waits without end until there is something. One caller at a time.
    virtual net::awaitable<result<ordered>> next() = 0;
    // This node's signature over the certificate of `height`, to travel in a later block. Any thread.
    virtual void contribute(block_height height, signature over_certificate) = 0;
    // The state is certified up to here: signatures for it need not travel any more. Any thread.
    virtual void certified(block_height) {}
    // After stop() and join(): all that it accepted is durable. Blocking.
    virtual result<void> finish() { return {}; }
    // Then: what was submitted and has not come out, for the next epoch.
    virtual std::vector<ledger::signed_transaction> unordered() { return {}; }
    virtual result<bytes> encoded_block(block_height height, const block_place& where) = 0;  // blocking; any thread
    [[nodiscard]] virtual std::size_t waiting() const = 0;
    // What other members ask (members.hpp).
    virtual net::awaitable<net::reply> serve(node_id, net::request) {
        co_return net::reply::of(error(errc::unsupported, "no such request to a consensus node"));
    }
    virtual void stop() = 0;  // next() ends with errc::canceled
    virtual net::awaitable<void> join() { co_return; }  // after stop(): until nothing of it runs
};

}  // namespace cess::chain
