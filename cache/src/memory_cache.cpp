// S3-FIFO (Yang et al., SOSP '23): a small queue that new blocks must prove themselves in, a main queue, and ghosts of
// what the small queue let go, so that a block asked for again soon is taken for hot. A scan passes through the small
// queue and leaves the main one alone.
#include <cache/block_cache.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <mutex>
#include <vector>

namespace cess::cache {
namespace {

constexpr std::uint64_t entry_overhead = 192;  // an entry and its slot, with what their tables grow by; the shared block
constexpr std::uint64_t ghost_overhead = 96;
constexpr std::uint64_t shard_size_min = 4 * MiB;
constexpr std::size_t shards_max = 16;
constexpr unsigned small_part = 10;            // of it one part is the small queue
constexpr unsigned ghost_part = 32;            // one part of the shard may be ghosts: more than there is room for blocks of 4 KiB
constexpr std::uint64_t room_for_a_few = 64 * KiB;
constexpr std::uint8_t frequency_max = 3;
constexpr std::uint8_t promote_at = 2;
constexpr std::string_view memory_tier = "tier=\"memory\"";

std::uint64_t hash_of(const block_key& key) noexcept {
    const auto x = (id_hash()(key.segment) ^ (std::uint64_t{key.block} + 1) * 0x9e3779b97f4a7c15U) * 0xd6e8feb86659fd93U;
    return x ^ x >> 32;
}

struct counters {
    counter& hits;
    counter& misses;
    counter& evictions;
    gauge& size;
};

using entry_index = std::uint32_t;
constexpr entry_index none = std::numeric_limits<entry_index>::max();

enum class queue_kind : std::uint8_t { small, main, ghosts, count };

// A block, or the memory of one.
struct entry {
    block_key key;
    block data;  // null: a ghost
    std::uint32_t hash = 0;
    entry_index newer = none, older = none;
    queue_kind in = queue_kind::small;
    std::uint8_t frequency = 0;

    [[nodiscard]] std::uint64_t cost() const noexcept { return data ? data->size() + entry_overhead : ghost_overhead; }
};

// Which entry has a key: indices by hash, in open addressing.
class entry_table {
public:
    template <class Same>
    [[nodiscard]] entry_index find(std::uint32_t hash, Same&& same) const {
        for (auto i = home(hash); m_slots[i].entry != none; i = next(i))
            if (m_slots[i].hash == hash && same(m_slots[i].entry)) return m_slots[i].entry;
        return none;
    }
    void insert(std::uint32_t hash, entry_index which) {
        if ((m_size + 1) * 4 > m_slots.size() * 3) grow();
        place({hash, which});
        ++m_size;
    }
    void erase(std::uint32_t hash, entry_index which) noexcept {
        auto hole = home(hash);
        while (m_slots[hole].entry != which) hole = next(hole);
        for (auto i = next(hole); m_slots[i].entry != none; i = next(i)) {  // what follows moves up, but not before its home
            const auto wants = home(m_slots[i].hash);
            if (((i - wants) & m_mask) < ((i - hole) & m_mask)) continue;
            m_slots[hole] = m_slots[i];
            hole = i;
        }
        m_slots[hole] = {};
        --m_size;
    }

private:
    struct slot {
        std::uint32_t hash = 0;
        entry_index entry = none;
    };
    [[nodiscard]] std::size_t home(std::uint32_t hash) const noexcept { return hash & m_mask; }
    [[nodiscard]] std::size_t next(std::size_t i) const noexcept { return (i + 1) & m_mask; }
    void place(slot what) noexcept {
        auto i = home(what.hash);
        while (m_slots[i].entry != none) i = next(i);
        m_slots[i] = what;
    }
    void grow() {
        const auto before = std::exchange(m_slots, std::vector<slot>(m_slots.size() * 2));
        m_mask = m_slots.size() - 1;
        for (const auto& each : before)
            if (each.entry != none) place(each);
    }

    std::vector<slot> m_slots = std::vector<slot>(64);
    std::size_t m_mask = 63, m_size = 0;
};

class shard {
public:
    void set_capacity(std::uint64_t bytes) { m_capacity = bytes; }

    block find(const block_key& key, std::uint32_t hash) {
        const std::lock_guard lock(m_mutex);
        const auto at = look_up(key, hash);
        if (at == none) return nullptr;
        auto& e = m_entries[at];
        if (e.data && e.frequency < frequency_max) ++e.frequency;
        return e.data;
    }

    bool contains(const block_key& key, std::uint32_t hash) const {
        const std::lock_guard lock(m_mutex);
        const auto at = look_up(key, hash);
        return at != none && m_entries[at].data;
    }

    void insert(const block_key& key, std::uint32_t hash, block data, const counters& count) {
        const auto cost = data->size() + entry_overhead;
        if (cost > m_capacity / 2) return;
        const std::lock_guard lock(m_mutex);
        auto at = look_up(key, hash);
        if (at != none && m_entries[at].data) return;  // the same id is the same content
        const bool seen = at != none;
        if (seen) leave(at, count);
        while (m_used + cost > m_capacity) make_room(count);
        if (!seen) at = add(key, hash);
        auto& e = m_entries[at];
        e.data = std::move(data);
        e.frequency = 0;
        enter(at, seen ? queue_kind::main : queue_kind::small, count);
    }

    bool wants(const block_key& key, std::uint32_t hash, const counters& count) {
        const std::lock_guard lock(m_mutex);
        if (m_used + room_for_a_few <= m_capacity || look_up(key, hash) != none) return true;
        if (ghost_overhead > m_capacity / ghost_part) return false;
        auto& ghosts = queue(queue_kind::ghosts);
        if (ghosts.oldest != none && ghosts.bytes + ghost_overhead > m_capacity / ghost_part) drop(ghosts.oldest, count);
        while (m_used + ghost_overhead > m_capacity) make_room(count);
        enter(add(key, hash), queue_kind::ghosts, count);
        return false;
    }

    void forget(const segment_id& segment, const counters& count) {
        const std::lock_guard lock(m_mutex);
        for (entry_index i = 0; i < m_entries.size(); ++i)
            if (m_entries[i].data && m_entries[i].key.segment == segment) drop(i, count);
    }

    std::uint64_t size() const {
        const std::lock_guard lock(m_mutex);
        return m_used;
    }

private:
    struct fifo {
        entry_index newest = none, oldest = none;
        std::uint64_t bytes = 0;
    };
    fifo& queue(queue_kind which) noexcept { return m_queues[static_cast<std::size_t>(which)]; }

    [[nodiscard]] entry_index look_up(const block_key& key, std::uint32_t hash) const {
        return m_table.find(hash, [&](entry_index i) { return m_entries[i].key == key; });
    }

    entry_index add(const block_key& key, std::uint32_t hash) {
        if (m_free.empty()) {
            if (m_entries.size() == m_entries.capacity()) m_entries.reserve(std::max<std::size_t>(64, 2 * m_entries.size()));
            m_free.reserve(m_entries.capacity());  // for all: nothing that goes needs memory
            m_entries.emplace_back();
            m_free.push_back(static_cast<entry_index>(m_entries.size() - 1));
        }
        const auto at = m_free.back();
        m_table.insert(hash, at);
        m_free.pop_back();
        m_entries[at].key = key;
        m_entries[at].hash = hash;
        return at;
    }

    void enter(entry_index which, queue_kind into, const counters& count) {
        auto& e = m_entries[which];
        auto& q = queue(into);
        e.in = into;
        e.newer = none;
        e.older = q.newest;
        (q.newest == none ? q.oldest : m_entries[q.newest].newer) = which;
        q.newest = which;
        q.bytes += e.cost();
        m_used += e.cost();
        if (e.data) count.size.add(static_cast<std::int64_t>(e.cost()));
    }

    void leave(entry_index which, const counters& count) {
        auto& e = m_entries[which];
        auto& q = queue(e.in);
        (e.newer == none ? q.newest : m_entries[e.newer].older) = e.older;
        (e.older == none ? q.oldest : m_entries[e.older].newer) = e.newer;
        q.bytes -= e.cost();
        m_used -= e.cost();
        if (e.data) count.size.add(-static_cast<std::int64_t>(e.cost()));
    }

    void drop(entry_index which, const counters& count) {
        leave(which, count);
        auto& e = m_entries[which];
        e.data = nullptr;
        m_table.erase(e.hash, which);
        m_free.push_back(which);
    }

    void move(entry_index which, queue_kind into, const counters& count) {
        leave(which, count);
        enter(which, into, count);
    }

    void make_room(const counters& count) {
        const auto &small = queue(queue_kind::small), &main = queue(queue_kind::main);
        if (small.oldest != none && (main.oldest == none || small.bytes > m_capacity / small_part))
            evict_small(small.oldest, count);
        else if (main.oldest != none)
            evict_main(main.oldest, count);
        else
            drop(queue(queue_kind::ghosts).oldest, count);  // the only thing left that takes room
    }

    void evict_small(entry_index which, const counters& count) {
        auto& e = m_entries[which];
        if (e.frequency >= promote_at) {
            e.frequency = 0;
            return move(which, queue_kind::main, count);
        }
        leave(which, count);
        e.data = nullptr;
        count.evictions.add();
        enter(which, queue_kind::ghosts, count);
        if (queue(queue_kind::ghosts).bytes > m_capacity / ghost_part) drop(queue(queue_kind::ghosts).oldest, count);
    }

    void evict_main(entry_index which, const counters& count) {
        auto& e = m_entries[which];
        if (e.frequency > 0) {
            --e.frequency;
            return move(which, queue_kind::main, count);
        }
        drop(which, count);
        count.evictions.add();
    }

    mutable std::mutex m_mutex;
    std::uint64_t m_capacity = 0;
    std::uint64_t m_used = 0;
    std::vector<entry> m_entries;
    std::vector<entry_index> m_free;  // of them
    entry_table m_table;
    std::array<fifo, static_cast<std::size_t>(queue_kind::count)> m_queues;
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
        const auto hash = hash_of(key);
        auto found = shard_of(hash).find(key, static_cast<std::uint32_t>(hash));
        (found ? m_count.hits : m_count.misses).add();
        return found;
    }
    bool contains(const block_key& key) const override {
        const auto hash = hash_of(key);
        return m_shards[shard_index(hash)].contains(key, static_cast<std::uint32_t>(hash));
    }
    void insert(const block_key& key, block data) override {
        const auto hash = hash_of(key);
        if (data) shard_of(hash).insert(key, static_cast<std::uint32_t>(hash), std::move(data), m_count);
    }
    bool wants(const block_key& key) override {
        const auto hash = hash_of(key);
        return shard_of(hash).wants(key, static_cast<std::uint32_t>(hash), m_count);
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
    [[nodiscard]] std::size_t shard_index(std::uint64_t hash) const noexcept { return (hash >> 32) % m_shards.size(); }
    shard& shard_of(std::uint64_t hash) noexcept { return m_shards[shard_index(hash)]; }

    counters m_count;
    std::vector<shard> m_shards;
};

}  // namespace

std::unique_ptr<block_cache> make_memory_cache(std::uint64_t capacity, metrics& count) { return std::make_unique<memory_cache>(capacity, count); }

}  // namespace cess::cache
