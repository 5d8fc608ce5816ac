// A consensus node: orders transactions, applies them, certifies the state, and answers clients.
//
// A transaction is answered when its block is durable in the log, applied, and certified by a quorum of the committee, which is
// this node alone in a network of one. The log is the only write-ahead log: the state store keeps up behind it and is replayed
// from it after a crash.
#pragma once

#include <chain/consensus/proposer.hpp>
#include <chain/ledger/proof.hpp>
#include <chain/node/records.hpp>
#include <core/base/metrics.hpp>
#include <core/kv/store.hpp>
#include <core/net/offload.hpp>
#include <core/net/rpc.hpp>
#include <core/os/file_system.hpp>

#include <memory>
#include <optional>

namespace cess::chain {

struct validator_limits {
    std::size_t queue_transactions_max = 8192;          // waiting to be ordered
    std::uint64_t queue_bytes_max = 64 * MiB;           // by ledger::weight_of, as are blocks
    std::size_t block_transactions_max = 1024;
    std::uint64_t block_bytes_max = 3 * MiB;            // a block fits one reply
    std::uint64_t held_back_max = 64 * MiB;             // of the state's changes, waiting for a certificate in memory
    std::size_t requests_a_peer_max = 128;              // transactions of one peer under way
    std::uint64_t log_file_size = 64 * MiB;
    std::uint64_t replay_bytes_max = 64 * MiB;          // of blocks past the flushed state: bounds a restart
    std::uint64_t replay_blocks_max = 20'000;
    std::uint64_t checkpoint_rounds = 1024;             // of a committee, between its checkpoints: bounds a restart as well
    // Of a committee's epoch, which a member wishes to end at the first of them: bounds its log.
    std::uint64_t epoch_rounds = 65'536;
    std::uint64_t closed_epochs = 1;                    // whose logs are kept, for members who are late
    std::uint64_t epoch_rounds_min = 1'024;             // earlier than that nobody is done the favour
    std::uint64_t epoch_bytes = 1 * GiB;                // of blocks with payload
    std::uint64_t untaken_bytes_max = 32 * MiB;         // of a committee's blocks: before the log, and sequenced but not applied, each
    net::duration answer_within = std::chrono::seconds(30);  // of a submitted transaction
};

// What a member of a committee has besides; a single validator has none of it.
struct committee_dependencies {
    net::caller& through;                     // as this node
    std::vector<net::peer> members;           // where they are; all of the genesis committee, in any order
    crypto::secret_key coin;                  // this member's share of the coin's secret
    consensus::pacing pace;
    net::worker_pool& readers;                // of blocks that others ask for, so that they keep no log write waiting; of 0 threads in simulation
};

// Of a node that keeps an index (records.hpp). What was certified before it did is added in the background, in a store beside the
// node's own, which is there until that is done.
struct index_dependencies {
    std::function<result<std::unique_ptr<kv::store>>()> open_scratch;  // with what it had, if a build was interrupted
    std::function<void()> drop_scratch;                                // REQUIRES: it is closed
};

struct validator_dependencies {
    net::env& world;
    os::file_system& disk;
    std::string log_directory;            // of a committee's member: without `epoch-0` in it, it takes itself for one that has lost its disk
    kv::store& state;
    const crypto::signing_key& identity;  // a member of the genesis committee
    ledger::genesis origin;
    net::worker_pool& workers;            // applying, disk, signatures; of 0 threads in simulation
    metrics& count;
    validator_limits limits;
    std::optional<committee_dependencies> committee = std::nullopt;
    std::optional<index_dependencies> index = std::nullopt;
};

// Owned by its program; used on any executor. stop() must have ended before it is destroyed, and before what it depends on.
class validator : public net::service {
public:
    [[nodiscard]] virtual block_height height() const = 0;
    [[nodiscard]] virtual ledger::state_certificate certificate() const = 0;
    // errc::ok, or why this node takes no transactions any more.
    [[nodiscard]] virtual error failure() const = 0;
    [[nodiscard]] virtual const records& certified() const = 0;  // as long as the validator lives
    virtual net::awaitable<void> stop() = 0;
};

// Blocking: recovers the log and replays it. Then serves at once.
[[nodiscard]] result<std::unique_ptr<validator>> make_validator(validator_dependencies on);

}  // namespace cess::chain
