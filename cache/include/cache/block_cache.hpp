// A bounded cache of verified plain blocks under the read path, shared by all volumes of a process.
//
// The tier interface through which memory, disk and cache miners over the network come: a block is named by its
// segment's content id and its index, so that clones share, and nothing cached can be stale. Thread-safe; only
// fetch() waits for I/O.
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
    [[nodiscard]] virtual block find(const block_key& key) = 0;  // in memory; null on a miss
    [[nodiscard]] virtual bool contains(const block_key& key) const = 0;  // in memory; does not count as use
    // Where find() has failed: from a slower tier, whose block find() then has. May block on the local disk.
    [[nodiscard]] virtual block fetch(const block_key& key) = 0;
    [[nodiscard]] virtual bool has_slow_tier() const { return false; }  // fetch() may find what find() does not
    virtual void insert(const block_key& key, block data) = 0;
    virtual void forget(const segment_id& segment) = 0;          // in memory; a slower tier lets it age out
    [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;
};

// In memory, at most `capacity` bytes of data and bookkeeping; scan-resistant (S3-FIFO, SOSP '23), sharded.
[[nodiscard]] std::unique_ptr<block_cache> make_memory_cache(std::uint64_t capacity, metrics& count);

}  // namespace cess::cache
