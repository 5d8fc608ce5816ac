// Talking to the consensus nodes: submit transactions, read records, believe only what is proved.
#pragma once

#include <chain/ledger/proof.hpp>
#include <core/net/rpc.hpp>

#include <memory>

namespace cess::chain {

// The account that signs, with the secret from which its volumes' keys are unwrapped.
struct account {
    crypto::signing_key key;
    crypto::secret_key wrapping;  // hkdf(seed, "", "cess volume key wrapping v1")
    [[nodiscard]] account_id id() const { return crypto::id_of<account_id>(key.pub()); }
};

struct network_config {
    ledger::genesis origin;
    std::vector<net::peer> validators;
};

// Thread-safe; coroutines resume on the awaiting executor. Results come checked against the committee of their epoch, which is known by the
// handovers from the genesis committee on.
class client {
public:
    virtual ~client() = default;
    [[nodiscard]] virtual const network_config& network() const noexcept = 0;
    [[nodiscard]] virtual const ledger::trust& trust() const noexcept = 0;

    // Signs for `who`, submits, waits until the transaction is final, and answers its outcome's value, or the
    // ledger's refusal as an error. Retried across reconnects exactly once by (client, number). errc::unavailable
    // or errc::timeout leave the fate unknown: callers read back.
    virtual net::awaitable<result<bytes>> submit(const account& who, ledger::action what, net::time_point deadline) = 0;
    // The newest certified record, or its proved absence (value empty).
    virtual net::awaitable<result<ledger::proved_record>> read(bytes key, net::time_point deadline) = 0;
    // Lists, uncertified (for people and for choosing, never for authority).
    virtual net::awaitable<result<std::vector<ledger::node_record>>> nodes(net::time_point deadline) = 0;
    virtual net::awaitable<result<std::vector<ledger::volume_record>>> volumes(account_id of, net::time_point deadline) = 0;
    virtual net::awaitable<result<std::vector<ledger::view_record>>> views(volume_id of, net::time_point deadline) = 0;
    virtual net::awaitable<result<std::vector<ledger::segment_record>>> segments(volume_id lineage, segment_number after, std::uint32_t limit, net::time_point deadline) = 0;
    // Segments freed for this miner past the cursor, each with its proof; an empty page = nothing newer. Keep `next`.
    struct freed_page {
        std::vector<ledger::proved_record> records;
        ledger::freed_cursor next;
    };
    virtual net::awaitable<result<freed_page>> freed_for(node_id miner, ledger::freed_cursor after, net::time_point deadline) = 0;

    struct status {
        block_height height;
        std::uint64_t epoch = 0;  // the one that goes on from that height
        std::uint64_t transactions = 0;
        std::uint64_t finality_us = 0;  // of recent transactions, mean
    };
    virtual net::awaitable<result<status>> health(net::time_point deadline) = 0;

    // Brings trust() to the newest epoch that a node can prove. All other calls do so where they need it.
    virtual net::awaitable<result<void>> follow_handovers(net::time_point deadline) = 0;
};

[[nodiscard]] std::unique_ptr<client> make_client(net::env& world, net::caller& through, network_config network);

}  // namespace cess::chain
