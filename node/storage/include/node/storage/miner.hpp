// A storage miner: keeps fragments and journals in a directory and serves them by protocol.hpp.
//
// It judges nobody: whatever writes or deletes rests on records that `ledger::trust` finds certified. A reply that
// says "durable" is given after the syncs that make it true (docs/formats/storage.md has the layout and the order).
//
// `serve` may be called on any executor, for many requests at once. Blocking work goes to `workers`; without them it
// runs inside `serve`, which then never suspends: that is how the simulator runs it. Destroying a miner without
// `stop` is a crash: requests under way are abandoned, the disk stays as it is.
#pragma once

#include <chain/client/client.hpp>
#include <chain/ledger/proof.hpp>
#include <core/base/metrics.hpp>
#include <core/net/offload.hpp>
#include <core/net/rpc.hpp>
#include <core/os/file_system.hpp>

namespace cess::storage {

struct miner_limits {
    std::uint64_t fragment_size_max = 48 * MiB;
    std::uint32_t uploads_max = 256;                                       // unfinished, of all callers
    std::uint32_t uploads_per_caller_max = 64;
    std::uint64_t upload_bytes_max = 2 * GiB;                              // promised to unfinished uploads
    net::duration upload_idle_max = std::chrono::seconds(60);              // an upload without a chunk for so long is dropped
    std::uint32_t append_queue_max = 256;                                  // appends waiting in one journal
    std::uint64_t append_queue_bytes_max = 64 * MiB;                       // in all journals
    std::uint32_t open_fragments_max = 256;                                // files kept open with their proofs
    std::uint32_t journals_per_volume_max = 64;
    std::uint32_t volumes_max = 65536;
    std::uint64_t journal_file_size = 16 * MiB;
    net::duration sweep_interval = std::chrono::seconds(10);
    net::duration provisional_check_age = std::chrono::minutes(10);        // before a provisional fragment is looked up in the ledger
    std::uint32_t sweep_batch = 128;                                       // fragments looked up or deleted a round
};

struct miner_options {
    std::string directory;
    node_id self;
    std::uint64_t capacity = 0;                        // bytes of files it will hold, its own overhead included
    std::uint64_t disk_reserve = 256 * MiB;            // left free on the disk, whatever the capacity says
    net::duration free_horizon = std::chrono::minutes(10);  // between seeing a freed record and deleting
    net::duration scrub_period = std::chrono::hours(7 * 24);  // everything is read and checked once in it; 0: never
    std::uint64_t scrub_bandwidth = 16 * MiB;          // bytes a second that checking reads at most
    bool exclusive = true;                             // lock the directory against a second process; off for disks in memory
    miner_limits limits;
};

struct miner_dependencies {
    net::env& world;
    os::file_system& disk;
    ledger::trust trust;                          // the ledger's, if there is one: it follows handovers
    metrics& count;
    chain::client* ledger = nullptr;              // none: no sweeper, only what owners settle
    net::worker_pool* workers = nullptr;          // none: everything inline
    net::worker_pool* journal_workers = nullptr;  // for appends, so that bulk traffic never delays them; none: `workers`
};

struct miner_status {
    incarnation_id incarnation;
    std::uint64_t capacity = 0;
    std::uint64_t used = 0;      // bytes of files and of what uploads may still write
    std::uint64_t fragments = 0;
    std::uint64_t provisional = 0;
    std::uint64_t journals = 0;
};

class miner : public net::service {
public:
    // Refuses new requests (errc::unavailable), waits for those under way, stops the sweeper, closes the store.
    virtual net::awaitable<void> stop() = 0;
    [[nodiscard]] virtual miner_status status() const = 0;
    // One round of the sweeper, now. errc::unsupported without a ledger.
    virtual net::awaitable<result<void>> sweep() = 0;
    // One whole pass of the scrubber, now and at full speed.
    virtual net::awaitable<result<void>> scrub() = 0;
};

// Opens the store in options.directory, formatting it if it is empty or missing, and recovers: unfinished uploads are
// dropped, torn journal tails cut. errc::busy if another process has it; errc::corrupt / unsupported if it is not a store.
[[nodiscard]] result<std::unique_ptr<miner>> open_miner(miner_dependencies on, miner_options how);

}  // namespace cess::storage
