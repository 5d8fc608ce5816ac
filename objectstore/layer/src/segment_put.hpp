// Storing a segment at k+m miners while it is encoded: slice by slice to all in parallel, a failing or slow miner replaced.
#pragma once

#include "placement.hpp"
#include "segment_format.hpp"

#include <core/base/crash_points.hpp>
#include <core/net/offload.hpp>
#include <core/net/task_group.hpp>

namespace cess::layer {

struct put_context {
    net::env& world;
    placement& where;
    net::worker_pool& encoders;
    std::shared_ptr<buffer_recycler> memory;  // of slices
    deadlines limits;
    std::size_t* stored = nullptr;  // out, also when it fails: how many fragments are known to be at miners
    crash_points* crashes = nullptr;
};

struct segment_source {
    segment_layout layout;
    crypto::secret_key key;
    volume_id lineage;
    segment_number number;
    byte_view content;  // stays until the put has ended
};

struct stored_segment {
    segment_id id;
    std::vector<node_id> holders;  // by fragment index
};

// Once all fragments are durable. A put holds a few slices (5 of at most 4 MiB), not the fragments: a miner that takes another
// one's place gets its fragment from the beginning, encoded again, which takes as much while it lasts.
net::awaitable<result<stored_segment>> store_segment(put_context on, std::shared_ptr<miner_link> link, segment_source what, storage::journal_ref owner,
                                                   net::time_point deadline);

}  // namespace cess::layer
