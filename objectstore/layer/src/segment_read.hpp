// Reading sealed bytes of a segment from whoever still has them, and finding out who lies.
//
// A range is asked of the data fragments that hold it. What is late, refused or wrong is decoded from any k others. If
// blocks then do not open, everything is asked again with proofs: every piece is checked against the Merkle root that
// the segment's id fixes, and who sent a wrong one is counted and named.
#pragma once

#include "read_together.hpp"
#include "segment_format.hpp"

#include <objectstore/layer/deadlines.hpp>
#include <objectstore/layer/miners.hpp>

#include <core/base/metrics.hpp>
#include <core/net/offload.hpp>
#include <core/net/task_group.hpp>

#include <atomic>
#include <functional>

namespace cess::layer {

struct read_counters {
    counter& requests;
    counter& hedges;
    counter& decoded;
    counter& proven;
    counter& faults;
};

// What hedging may add to the load, for all reads of a process: one request more for every ten, and a few saved up.
// When all is slow, asking more makes it slower. Thread-safe.
class hedge_budget {
public:
    void earn() noexcept {  // a request went out
        if (m_tenths.load(std::memory_order_relaxed) < tenths_max) m_tenths.fetch_add(1, std::memory_order_relaxed);
    }
    [[nodiscard]] bool spend(unsigned requests) noexcept {
        const auto price = static_cast<std::int64_t>(requests) * 10;
        auto have = m_tenths.load(std::memory_order_relaxed);
        while (have >= price)
            if (m_tenths.compare_exchange_weak(have, have - price, std::memory_order_relaxed)) return true;
        return false;
    }

private:
    static constexpr std::int64_t tenths_max = 640;
    std::atomic<std::int64_t> m_tenths{tenths_max};
};

// What became of asking the holder alone (first_try.hpp). It failed, or is late: others are asked at once. It sent what
// does not open: all begins anew.
enum class first_outcome { none, opened, wrong, failed, late };

struct read_context {
    net::env& world;
    miner_link& link;
    read_together& together;
    net::worker_pool& workers;
    deadlines limits;
    read_counters count;
    std::function<void(const node_id&, const segment_id&, unsigned, const error&)> accuse;  // any thread
    hedge_budget& hedging;
    void fault(const node_id& miner, const segment_id& segment, unsigned index, const error& why) const {
        count.faults.add();
        accuse(miner, segment, index, why);
    }
    first_outcome before = first_outcome::none;
};

// Sealed bytes [from, to). With `proven`, of pieces that were checked against the segment's id.
net::awaitable<result<bytes>> read_sealed(read_context on, std::shared_ptr<const ledger::segment_record> segment, std::uint64_t from, std::uint64_t to,
                                          bool proven, net::time_point deadline);

// Bytes [from, to) of fragment `index`, from its holder alone, checked if `proven`.
net::awaitable<result<bytes>> read_fragment(read_context on, std::shared_ptr<const ledger::segment_record> segment, unsigned index, std::uint64_t from,
                                            std::uint64_t to, bool proven, net::time_point deadline);

struct opened_blocks {
    bytes plain, sealed;  // each of all, back to back
};
// Blocks [first, first+count), opened with the segment's own key.
net::awaitable<result<opened_blocks>> read_blocks(read_context on, std::shared_ptr<const ledger::segment_record> segment, crypto::secret_key key,
                                                std::uint64_t first, std::uint64_t count, net::time_point deadline);

[[nodiscard]] result<bytes> open_blocks(const ledger::segment_record& segment, const crypto::secret_key& key, std::uint64_t first, std::uint64_t count,
                                        byte_view sealed);
[[nodiscard]] result<opened_blocks> open_blocks(const ledger::segment_record& segment, const crypto::secret_key& key, std::uint64_t first,
                                                std::uint64_t count, bytes&& sealed);

}  // namespace cess::layer
