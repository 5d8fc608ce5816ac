// Storing an encoded segment at k+m miners: in parallel, streamed in chunks, a failing or slow miner replaced.
#pragma once

#include "placement.hpp"
#include "segment_format.hpp"

#include <core/base/crash_points.hpp>
#include <core/net/task_group.hpp>

namespace cess::layer {

struct put_context {
    net::env& world;
    placement& where;
    deadlines limits;
    std::size_t* stored = nullptr;  // out, also when it fails: how many fragments are known to be at miners
    crash_points* crashes = nullptr;
};

// The holders, by fragment index, once all fragments are durable. `what` is shared with the requests under way.
net::awaitable<result<std::vector<node_id>>> put_fragments(put_context on, std::shared_ptr<miner_link> link, std::shared_ptr<const encoded_segment> what,
                                                           storage::journal_ref owner, net::time_point deadline);

}  // namespace cess::layer
