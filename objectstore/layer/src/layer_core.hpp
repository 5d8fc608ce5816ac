// What the layer and its sessions share.
#pragma once

#include "placement.hpp"
#include "segment_keys.hpp"
#include "segment_read.hpp"

#include <objectstore/layer/layer.hpp>
#include <objectstore/layer/recovery.hpp>

namespace cess::layer {

struct layer_core {
    explicit layer_core(dependencies with);

    dependencies on;
    miner_directory directory;
    miner_link readers;  // without a lease
    placement where;
    net::worker_pool workers;
    net::worker_pool encoders;  // apart, so that a read does not wait for a slice
    std::shared_ptr<buffer_recycler> slices = std::make_shared<buffer_recycler>(12);
    segment_keys keys;
    read_counters count;
    hedge_budget hedging;
    counter& put_bytes;
    counter& read_bytes;
    read_together together;  // the last: what it has under way uses the rest

    [[nodiscard]] read_context reading();
};

[[nodiscard]] std::unique_ptr<session> make_session(layer_core& core, const chain::account& who, taken_volume with);

}  // namespace cess::layer
