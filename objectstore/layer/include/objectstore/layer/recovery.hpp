// Taking a volume over: the lease, the fence, the longest valid chain, its tail in the new journal behind a seal.
//
// docs/formats/journal.md argues why nothing acknowledged is lost and why no two owners are both acknowledged. All
// coroutines run on the strand they are started on and end at the deadlines at the latest.
#pragma once

#include <objectstore/layer/deadlines.hpp>
#include <objectstore/layer/journal_writer.hpp>
#include <objectstore/layer/keyring.hpp>

namespace cess::layer {

struct take_options {
    std::string endpoint;
    std::uint64_t reservation = 4 * GiB;
    bool force = false;
    journal_limits journal;  // its deadlines come from the context
    std::size_t entry_size_max = entry_payload_max;
    recovery_mutations broken;
};

struct taken_volume {
    boost::asio::any_io_executor strand;  // the journal's
    ledger::volume_record record;  // as certified, our lease last
    ledger::lease lease;
    std::vector<bytes> history;
    std::shared_ptr<miner_link> link;
    std::shared_ptr<journal_writer> journal;  // started, the tail acknowledged
    std::unique_ptr<entry_sealer> sealer;
};

struct recovery_context {
    net::env& world;
    net::caller& network;
    chain::client& ledger;
    miner_directory& directory;
    deadlines limits;
    crash_points* crashes = nullptr;
};

// See layer::take for the errors.
net::awaitable<result<taken_volume>> take_volume(recovery_context on, chain::account who, volume_id volume, crypto::signing_key session, take_options how);

}  // namespace cess::layer
