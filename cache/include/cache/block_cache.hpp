// A bounded cache of verified plain blocks in memory, under the read path, shared by all volumes of a process.
//
// A block is named by its segment's content id and its index, so that clones share, and nothing cached can be stale.
// Slower tiers, which keep blocks sealed, stand behind it: sealed_cache.hpp. Thread-safe.
#pragma once

#include <core/base/bytes.hpp>
#include <core/base/ids.hpp>
#include <core/base/metrics.hpp>

#include <memory>

namespace cess::cache {

struct block_key {
    segment_id segment;
    std::uint32_t block = 0;
    friend bool operator==(const block_key&, const block_key&) = default;
};

using block = std::shared_ptr<const bytes>;

class block_cache {
public:
    virtual ~block_cache() = default;
    [[nodiscard]] virtual block find(const block_key& key) = 0;           // null on a miss
    [[nodiscard]] virtual bool contains(const block_key& key) const = 0;  // does not count as use
    virtual void insert(const block_key& key, block data) = 0;
    // Whether a block that a slower tier near by has as well is worth a place: while there is room, or when it was asked
    // for before, not long ago. What is asked for once in a set larger than the memory would only push out its like.
    [[nodiscard]] virtual bool wants(const block_key& key) = 0;
    virtual void forget(const segment_id& segment) = 0;
    [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;
};

// In memory, at most `capacity` bytes of data and bookkeeping; scan-resistant (S3-FIFO, SOSP '23), sharded.
[[nodiscard]] std::unique_ptr<block_cache> make_memory_cache(std::uint64_t capacity, metrics& count);

}  // namespace cess::cache
