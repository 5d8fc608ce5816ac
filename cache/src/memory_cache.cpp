// S3-FIFO (Yang et al., SOSP '23): a small queue that new blocks must prove themselves in, a main queue, and ghosts of
// what the small queue let go, so that a block asked for again soon is taken for hot. A scan passes through the small
// queue and leaves the main one alone.
#include <cache/block_cache.hpp>

#include <algorithm>
#include <list>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace cess::cache {
namespace {

constexpr std::uint64_t entry_overhead = 192;  // list node, index node, shared block
constexpr std::uint64_t ghost_overhead = 96;
constexpr std::uint64_t shard_size_min = 4 * MiB;
constexpr std::size_t shards_max = 16;
constexpr unsigned small_part = 10;            // of it one part is the small queue
constexpr unsigned ghost_part = 64;            // one part of the shard may be ghosts
constexpr std::uint8_t frequency_max = 3;
constexpr std::uint8_t promote_at = 2;
constexpr std::string_view memory_tier = "tier=\"memory\"";

struct key_hash {  // not noexcept, so that libstdc++ keeps the codes: a chain is walked without touching every key
    std::size_t operator()(const block_key& key) const {
        return id_hash()(key.segment) ^ (std::uint64_t{key.block} + 1) * 0x9e3779b97f4a7c15U;
    }
};

struct counters {
    counter& hits;
    counter& misses;
    counter& evictions;
    gauge& size;
};

class shard {
public:
    void set_capacity(std::uint64_t bytes) { m_capacity = bytes; }

    block find(const block_key& key) {
        const std::lock_guard lock(m_mutex);
        const auto it = m_index.find(key);
        if (it == m_index.end()) return nullptr;
        auto& e = *it->second;
        if (e.frequency < frequency_max) ++e.frequency;
        return e.data;
    }

    bool contains(const block_key& key) const {
        const std::lock_guard lock(m_mutex);
        return m_index.contains(key);
    }

    void insert(const block_key& key, block data, const counters& count) {
        const auto cost = data->size() + entry_overhead;
        if (cost > m_capacity / 2) return;
        const std::lock_guard lock(m_mutex);
        if (m_index.contains(key)) return;  // the same id is the same content
        const bool seen = take_ghost(key);
        while (m_used + cost > m_capacity) evict(count);
        auto& into = seen ? m_main : m_small;
        into.push_front({key, std::move(data), 0, seen});
        m_index.emplace(key, into.begin());
        (seen ? m_main_bytes : m_small_bytes) += cost;
        m_used += cost;
        count.size.add(static_cast<std::int64_t>(cost));
    }

    void forget(const segment_id& segment, const counters& count) {
        const std::lock_guard lock(m_mutex);
        for (auto it = m_index.begin(); it != m_index.end();) {
            const auto which = it->second;
            if (which->key.segment != segment) {
                ++it;
                continue;
            }
            it = m_index.erase(it);
            release(which, count);
        }
    }

    std::uint64_t size() const {
        const std::lock_guard lock(m_mutex);
        return m_used;
    }

private:
    struct entry {
        block_key key;
        block data;
        std::uint8_t frequency = 0;
        bool in_main = false;
    };
    using queue = std::list<entry>;

    static std::uint64_t cost_of(const entry& e) { return e.data->size() + entry_overhead; }

    void release(queue::iterator which, const counters& count) {
        const auto cost = cost_of(*which);
        (which->in_main ? m_main_bytes : m_small_bytes) -= cost;
        m_used -= cost;
        count.size.add(-static_cast<std::int64_t>(cost));
        (which->in_main ? m_main : m_small).erase(which);
    }

    void evict(const counters& count) {
        if (!m_small.empty() && (m_main.empty() || m_small_bytes > m_capacity / small_part))
            evict_small(count);
        else if (!m_main.empty())
            evict_main(count);
        else
            drop_ghost();  // the only thing left that takes room
    }

    void evict_small(const counters& count) {
        const auto last = std::prev(m_small.end());
        if (last->frequency >= promote_at) {
            const auto cost = cost_of(*last);
            last->frequency = 0;
            last->in_main = true;
            m_main.splice(m_main.begin(), m_small, last);
            m_small_bytes -= cost;
            m_main_bytes += cost;
            return;
        }
        const auto key = last->key;
        m_index.erase(key);
        release(last, count);
        count.evictions.add();
        add_ghost(key);
    }

    void evict_main(const counters& count) {
        const auto last = std::prev(m_main.end());
        if (last->frequency > 0) {
            --last->frequency;
            m_main.splice(m_main.begin(), m_main, last);
            return;
        }
        m_index.erase(last->key);
        release(last, count);
        count.evictions.add();
    }

    void add_ghost(const block_key& key) {
        if (m_ghosts.size() >= m_capacity / ghost_part / ghost_overhead) drop_ghost();
        if (m_used + ghost_overhead > m_capacity) return;
        m_ghosts.push_front(key);
        m_ghost_index[key] = m_ghosts.begin();
        m_used += ghost_overhead;
    }

    void drop_ghost() {
        if (m_ghosts.empty()) return;
        m_ghost_index.erase(m_ghosts.back());
        m_ghosts.pop_back();
        m_used -= ghost_overhead;
    }

    bool take_ghost(const block_key& key) {
        const auto it = m_ghost_index.find(key);
        if (it == m_ghost_index.end()) return false;
        m_ghosts.erase(it->second);
        m_ghost_index.erase(it);
        m_used -= ghost_overhead;
        return true;
    }

    mutable std::mutex m_mutex;
    std::uint64_t m_capacity = 0;
    std::uint64_t m_used = 0, m_small_bytes = 0, m_main_bytes = 0;
    queue m_small, m_main;  // newest in front
    std::unordered_map<block_key, queue::iterator, key_hash> m_index;
    std::list<block_key> m_ghosts;
    std::unordered_map<block_key, std::list<block_key>::iterator, key_hash> m_ghost_index;
};

class memory_cache final : public block_cache {
public:
    memory_cache(std::uint64_t capacity, metrics& count)
        : m_count{count.make_counter("cess_cache_hits_total", "Blocks found.", memory_tier),
                  count.make_counter("cess_cache_misses_total", "Blocks not found.", memory_tier),
                  count.make_counter("cess_cache_evictions_total", "Blocks that made room.", memory_tier),
                  count.make_gauge("cess_cache_bytes", "Bytes of blocks and their bookkeeping.", memory_tier)},
          m_shards(std::clamp<std::size_t>(capacity / shard_size_min, 1, shards_max)) {
        for (auto& each : m_shards) each.set_capacity(capacity / m_shards.size());
    }

    block find(const block_key& key) override {
        auto found = shard_of(key).find(key);
        (found ? m_count.hits : m_count.misses).add();
        return found;
    }
    bool contains(const block_key& key) const override { return const_cast<memory_cache*>(this)->shard_of(key).contains(key); }
    void insert(const block_key& key, block data) override {
        if (data) shard_of(key).insert(key, std::move(data), m_count);
    }
    void forget(const segment_id& segment) override {
        for (auto& each : m_shards) each.forget(segment, m_count);
    }
    std::uint64_t size_bytes() const override {
        std::uint64_t sum = 0;
        for (const auto& each : m_shards) sum += each.size();
        return sum;
    }

private:
    shard& shard_of(const block_key& key) { return m_shards[(key_hash()(key) >> 32) % m_shards.size()]; }

    counters m_count;
    std::vector<shard> m_shards;
};

}  // namespace

std::unique_ptr<block_cache> make_memory_cache(std::uint64_t capacity, metrics& count) { return std::make_unique<memory_cache>(capacity, count); }

}  // namespace cess::cache
