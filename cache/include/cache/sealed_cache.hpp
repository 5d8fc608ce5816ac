// A tier behind the memory: blocks as the miners hold them, still sealed by the layer.
//
// Whoever keeps them, a disk or a cache miner, can neither read nor forge them, and what was read from the network is
// kept without sealing it anew. A block is named by its segment's content id and its index, so that clones share, and
// nothing cached can be stale. Thread-safe.
#pragma once

#include <cache/block_cache.hpp>

#include <algorithm>
#include <vector>

namespace cess::cache {

// Neighbouring sealed blocks of one segment, back to back.
struct sealed_run {
    segment_id segment;
    std::uint32_t first = 0, count = 0;
    std::uint32_t block_size = 0;  // sealed; the last may be shorter
    std::shared_ptr<const bytes> data;

    [[nodiscard]] block_key key(std::uint32_t i) const { return {segment, first + i}; }
    [[nodiscard]] byte_view sealed(std::uint32_t i) const {
        const auto rest = byte_view(*data).subspan(std::size_t{i} * block_size);
        return rest.first(std::min<std::size_t>(block_size, rest.size()));
    }
};

class sealed_cache {
public:
    virtual ~sealed_cache() = default;
    // What it has of blocks [first, first+count), in their order; not checked. May block on I/O.
    [[nodiscard]] virtual std::vector<sealed_run> fetch(const segment_id& segment, std::uint32_t first, std::uint32_t count) = 0;
    virtual void drop_wrong(const block_key& which) = 0;  // what fetch() gave does not open
    // Whether fetch() is likely to find something, without I/O; does not count as use. Of many blocks a few are looked
    // for: what holds single ones of them does not shorten the way of the others.
    [[nodiscard]] virtual bool may_hold(const segment_id& segment, std::uint32_t first, std::uint32_t count) const = 0;
    virtual void insert(sealed_run what) = 0;  // only queues, and drops what comes too fast. REQUIRES: count blocks in data
    [[nodiscard]] virtual bool off() const noexcept = 0;  // for good: it takes and finds nothing any more
};

}  // namespace cess::cache
