// Locks: m_mutex guards the index, the regions' states and the queue, and is never held across I/O or opening. The
// builders and the order of regions belong to the writer thread alone.
#include <cache/disk_cache.hpp>

#include "disk_region.hpp"

#include <core/base/log.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_set>

namespace cess::cache {
namespace {

constexpr std::uint64_t region_size_max = 1 * MiB;  // offsets and lengths in the index have 20 bits
constexpr std::uint64_t region_size_min = 64 * KiB;
constexpr std::uint64_t regions_min = 16;
constexpr std::uint64_t buffers_held = 4;       // regions' worth of memory: builders 2, one being written, one spare
constexpr std::uint64_t buffers_part = 16;      // of the memory at most one part for them
constexpr std::uint64_t queue_part = 8;         // and one for what waits to be written: runs of a megabyte, if there is room
constexpr std::uint64_t small_part = 10;        // of the regions one part is the small queue
constexpr std::uint64_t region_memory = 32;     // of a region's state, and its place in the order
constexpr std::uint64_t regions_part = 4;       // of the memory at most one part for regions' states
constexpr std::uint64_t block_size_least = 1 * KiB;  // on average; smaller blocks fill the index before the disk
constexpr std::size_t large_block = 16 * KiB + crypto::aead_tag_size;   // to stay, it must be asked for twice
constexpr std::uint32_t looked_at_of = 16;      // blocks one, to know whether a run is likely here
constexpr std::chrono::milliseconds gathering(20);  // of small reads: to wake a thread for each costs more than it does
constexpr std::string_view disk_tier = "tier=\"disk\"";

std::uint64_t region_size_for(std::uint64_t capacity, std::uint64_t memory) {
    const auto most = std::min(capacity / regions_min, memory / buffers_part / buffers_held);
    std::uint64_t size = region_size_max;
    while (size > region_size_min && size > most) size /= 2;
    return size;
}

// What is left of the memory for the index, and no more than the disk can hold.
std::uint64_t blocks_max(const disk_options& how, std::uint64_t region_size) {
    const auto others = buffers_held * region_size + how.memory_max / queue_part + how.capacity / region_size * region_memory;
    return std::min((how.memory_max - others) / disk_index::bytes_a_block, how.capacity / block_size_least);
}

std::vector<block_tag> tags_of(const segment_id& segment, std::uint32_t first, std::uint32_t count) {
    std::vector<block_tag> out(count);
    for (std::uint32_t i = 0; i < count; ++i) out[i] = tag_of({segment, first + i});
    return out;
}

struct counters {
    explicit counters(metrics& m)
        : hits(m.make_counter("cess_cache_hits_total", "Blocks found.", disk_tier)),
          misses(m.make_counter("cess_cache_misses_total", "Blocks not found.", disk_tier)),
          evictions(m.make_counter("cess_cache_evictions_total", "Blocks that made room.", disk_tier)),
          hit_bytes(m.make_counter("cess_cache_hit_bytes_total", "Bytes of blocks found.", disk_tier)),
          written_bytes(m.make_counter("cess_cache_written_bytes_total", "Bytes written to the disk.", disk_tier)),
          dropped(m.make_counter("cess_cache_dropped_total", "Blocks not taken: the disk was too slow, or they are too large.", disk_tier)),
          errors(m.make_counter("cess_cache_errors_total", "Blocks and tables that failed their check, and failed I/O.", disk_tier)),
          size(m.make_gauge("cess_cache_bytes", "Bytes of blocks and their bookkeeping.", disk_tier)) {}
    counter &hits, &misses, &evictions, &hit_bytes, &written_bytes, &dropped, &errors;
    gauge& size;
};

class disk_cache_impl final : public disk_cache {
public:
    disk_cache_impl(std::unique_ptr<os::file> file, disk_options how, std::uint64_t region_size, random_source& random, metrics& count)
        : m_file(std::move(file)), m_how(std::move(how)), m_region_size(region_size), m_random(random), m_count(count),
          m_index(blocks_max(m_how, region_size)),
          m_regions(m_how.capacity / region_size), m_builders{new_builder(), new_builder()} {
        m_writer = std::thread([this] { work(); });
    }

    ~disk_cache_impl() override {
        {
            const std::lock_guard lock(m_mutex);
            m_stop = true;
        }
        m_wake.notify_all();
        m_writer.join();
    }

    std::vector<sealed_run> fetch(const segment_id& segment, std::uint32_t first, std::uint32_t count) override {
        std::vector<sealed_run> out;
        std::uint32_t found = 0;
        for (const auto& each : locate(segment, first, count)) {
            if (m_off) break;
            auto got = read_group(segment, each);
            if (!got) continue;
            found += got->count;
            m_count.hits.add(got->count);
            m_count.hit_bytes.add(got->data->size());
            out.push_back(std::move(*got));
        }
        m_count.misses.add(count - found);
        return out;
    }

    void drop_wrong(const block_key& which) override {
        const auto tag = tag_of(which);
        const std::lock_guard lock(m_mutex);
        if (const auto at = m_index.find(tag)) m_index.erase(tag, at->region);
        m_count.errors.add();
    }

    bool may_hold(const segment_id& segment, std::uint32_t first, std::uint32_t count) const override {
        if (m_off) return false;
        const std::lock_guard lock(m_mutex);
        for (std::uint32_t i = 0; i < count; i += looked_at_of)
            if (m_index.find(tag_of({segment, first + i}))) return true;
        return m_index.find(tag_of({segment, first + count - 1})).has_value();
    }

    void insert(sealed_run what) override {
        if (!what.data || what.count == 0 || m_off) return;
        if (what.data->size() <= queue_max()) return wait_for_writer(std::move(what));
        // With little memory it could never go whole.
        const auto blocks = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, queue_max() / 2 / what.block_size));
        for (std::uint32_t i = 0; i < what.count; i += std::min(blocks, what.count - i)) wait_for_writer(part_of(what, i, std::min(blocks, what.count - i)));
    }

    std::uint64_t size_bytes() const override {
        const std::lock_guard lock(m_mutex);
        return m_used_regions * m_region_size;
    }

    void flush() override {
        std::unique_lock lock(m_mutex);
        const auto mine = ++m_flush_wanted;
        m_wake.notify_all();
        m_flushed.wait(lock, [&] { return m_flush_done >= mine; });
    }
    bool off() const noexcept override { return m_off; }
    std::uint64_t memory_bytes() const override {
        return m_index.memory_bytes() + m_regions.size() * region_memory + buffers_held * m_region_size + m_how.memory_max / queue_part;
    }

private:
    struct region {
        std::uint64_t sequence = 0;  // 0: nothing of it is in the index
        queue_kind queue = queue_kind::small;
    };
    static_assert(sizeof(region) <= region_memory);
    struct group {  // neighbouring blocks that lie back to back in one region
        std::uint32_t first = 0, count = 0;
        std::uint32_t region = 0, offset = 0, length = 0;
        std::uint32_t block_size = 0;  // sealed; the last may be shorter
        std::uint64_t sequence = 0;    // of the region when they were found there
    };

    // ---- finding

    std::vector<group> locate(const segment_id& segment, std::uint32_t first, std::uint32_t count) {
        std::vector<group> out;
        if (m_off) return out;
        const auto tags = tags_of(segment, first, count);
        const std::lock_guard lock(m_mutex);
        if (count > 1)
            for (const auto tag : tags) m_index.prefetch(tag);
        for (std::uint32_t i = 0; i < count; ++i) {
            const auto at = m_index.ask(tags[i]);
            if (at && (out.empty() || !extend(out.back(), first + i, *at)))
                out.push_back({first + i, 1, at->region, at->offset, at->length, at->length, m_regions[at->region].sequence});
        }
        return out;
    }

    static bool extend(group& to, std::uint32_t block, const disk_index::place& at) {
        const bool next = to.first + to.count == block && to.region == at.region && to.offset + to.length == at.offset;
        const bool all_full = to.length == to.count * to.block_size && at.length <= to.block_size;
        if (!next || !all_full) return false;
        ++to.count;
        to.length += at.length;
        return true;
    }

    // Null: not there any more, wrong, or the disk fails.
    std::optional<sealed_run> read_group(const segment_id& segment, const group& what) {
        bytes data(what.length);
        const auto got = m_file->read_at(what.region * m_region_size + what.offset, data);
        if (!got) switch_off(got.error());
        if (!got || !still(what)) return std::nullopt;
        if (*got != data.size()) {  // somebody cut the file
            for (std::uint32_t i = 0; i < what.count; ++i) drop_wrong({segment, what.first + i});
            return std::nullopt;
        }
        return sealed_run{segment, what.first, what.count, what.block_size, std::make_shared<const bytes>(std::move(data))};
    }
    bool still(const group& what) const {
        const std::lock_guard lock(m_mutex);
        return m_regions[what.region].sequence == what.sequence;
    }

    void switch_off(const error& why) {
        m_count.errors.add();
        if (m_off.exchange(true)) return;
        if (why.code == errc::no_space) (void)m_file->truncate(0);  // others on this disk need the room more
        log::warn("cache", "disk cache switched off, reads go to the network directory={} error={}", m_how.directory, why.message());
    }

    // ---- on the way to the writer

    static sealed_run part_of(const sealed_run& whole, std::uint32_t from, std::uint32_t count) {
        bytes data;
        for (auto i = from; i < from + count; ++i) append(data, whole.sealed(i));
        return {whole.segment, whole.first + from, count, whole.block_size, std::make_shared<const bytes>(std::move(data))};
    }

    void wait_for_writer(sealed_run what) {
        const std::lock_guard lock(m_mutex);
        if (m_queued + what.data->size() > queue_max()) return m_count.dropped.add(what.count);
        const bool had_enough = enough();
        m_queued += what.data->size();
        m_queue.push_back(std::move(what));
        if (m_queue.size() == 1 || (!had_enough && enough())) m_wake.notify_all();
    }

    // ---- the writer's thread

    [[nodiscard]] std::uint64_t queue_max() const noexcept { return m_how.memory_max / queue_part; }
    [[nodiscard]] bool enough() const noexcept { return m_queued >= queue_max() / 2; }                 // to be worth waking for
    [[nodiscard]] bool urgent() const noexcept { return m_stop || m_flush_wanted != m_flush_done; }

    void work() {
        if (!load()) return;
        std::unique_lock lock(m_mutex);
        for (;;) {
            m_wake.wait(lock, [this] { return urgent() || !m_queue.empty(); });
            m_wake.wait_for(lock, gathering, [this] { return urgent() || enough(); });
            const auto wanted = m_flush_wanted;
            const bool last = m_stop;
            auto batch = std::exchange(m_queue, {});
            lock.unlock();
            for (; !batch.empty(); batch.pop_front()) take(batch.front());  // its memory goes as its place in the bound does
            if (last || wanted != m_flush_done) write_out();
            lock.lock();
            m_flush_done = wanted;
            m_flushed.notify_all();
            if (last) return;
        }
    }

    void take(const sealed_run& what) {
        std::vector<std::optional<queue_kind>> into(what.count);
        const auto tags = tags_of(what.segment, what.first, what.count);
        {
            const std::lock_guard lock(m_mutex);
            m_queued -= what.data->size();
            for (const auto tag : tags) m_index.prefetch(tag);
            for (std::uint32_t i = 0; i < what.count; ++i)
                if (!m_index.find(tags[i])) into[i] = m_index.is_ghost(tags[i]) ? queue_kind::main : queue_kind::small;
        }
        for (std::uint32_t i = 0; i < what.count && !m_off; ++i) {
            if (!into[i]) continue;
            const auto sealed = what.sealed(i);
            if (sealed.size() > m_region_size / 4)
                m_count.dropped.add();
            else
                gather(*into[i], what.key(i), sealed);
        }
    }

    std::unique_ptr<region_builder> new_builder() { return std::make_unique<region_builder>(m_how.key, m_region_size, m_random); }
    std::unique_ptr<region_builder>& builder(queue_kind queue) { return m_builders[static_cast<std::size_t>(queue)]; }

    void gather(queue_kind queue, const block_key& key, byte_view sealed) {
        if (!m_gathered.insert(tag_of(key)).second) return;
        if (builder(queue)->fits(sealed.size())) return builder(queue)->add(key, sealed);
        const auto full = begin_anew(queue);
        builder(queue)->add(key, sealed);  // now: what moves here while a region is freed takes the room that is left
        write_region(queue, *full);
    }

    std::unique_ptr<region_builder> begin_anew(queue_kind queue) { return std::exchange(builder(queue), new_builder()); }

    void write_out() {
        for (const auto queue : {queue_kind::small, queue_kind::main})
            if (!builder(queue)->entries().empty()) write_region(queue, *begin_anew(queue));
    }

    void write_region(queue_kind queue, region_builder& full) {
        for (const auto& e : full.entries()) m_gathered.erase(tag_of(e.key));
        if (m_off) return;
        const auto into = make_room(full.entries().size());
        const auto sequence = m_next_sequence++;
        const auto raw = full.finish(sequence, queue);
        if (auto written = m_file->write_at(into * m_region_size, raw); !written) return switch_off(written.error());
        m_count.written_bytes.add(raw.size());
        publish(into, sequence, queue, full.entries());
        m_order[static_cast<std::size_t>(queue)].push_back(into);
    }

    void publish(std::uint32_t into, std::uint64_t sequence, queue_kind queue, const std::vector<region_entry>& entries) {
        const std::lock_guard lock(m_mutex);
        m_regions[into] = {sequence, queue};
        ++m_used_regions;
        m_count.size.set(static_cast<std::int64_t>(m_used_regions * m_region_size));
        for (const auto& e : entries) m_index.prefetch(tag_of(e.key));
        for (const auto& e : entries) m_index.insert(tag_of(e.key), {into, e.offset, e.length, 0});
    }

    // A region for `blocks` new ones.
    std::uint32_t make_room(std::size_t blocks) {
        for (;;) {
            const bool nothing = m_order[0].empty() && m_order[1].empty();
            if (!m_free.empty() && (nothing || index_room() >= blocks)) {
                const auto out = m_free.back();
                m_free.pop_back();
                return out;
            }
            evict();
        }
    }
    std::size_t index_room() const {
        const std::lock_guard lock(m_mutex);
        return m_index.room();
    }

    // The oldest region of a queue. Who was asked for moves to the main queue, as far as one region has room for them.
    void evict() {
        auto &small = m_order[0], &main = m_order[1];
        const bool from_small = !small.empty() && (main.empty() || small.size() > m_regions.size() / small_part);
        auto& from = from_small ? small : main;
        const auto which = from.front();
        from.pop_front();
        const auto table = read_table(which);
        std::vector<region_entry> keep;
        {
            const std::lock_guard lock(m_mutex);
            if (!table) m_index.erase_region(which);
            for (const auto& e : table ? *table : std::vector<region_entry>()) {
                const auto tag = tag_of(e.key);
                const auto at = m_index.find(tag);
                if (!at || !m_index.erase(tag, which)) continue;
                if (at->asked >= (from_small && e.length > large_block ? 2 : 1))
                    keep.push_back(e);
                else if (from_small)
                    m_index.add_ghost(tag);
                m_count.evictions.add();
            }
        }
        move_to_main(which, keep);
        const std::lock_guard lock(m_mutex);
        m_regions[which].sequence = 0;
        --m_used_regions;
        m_free.push_back(which);
    }

    void move_to_main(std::uint32_t from, const std::vector<region_entry>& what) {
        for (const auto& e : what) {
            if (m_off || !builder(queue_kind::main)->fits(e.length)) return;
            bytes sealed(e.length);
            const auto got = m_file->read_at(from * m_region_size + e.offset, sealed);
            if (!got) return switch_off(got.error());
            if (*got == sealed.size())
                gather(queue_kind::main, e.key, sealed);
            else
                m_count.errors.add();
        }
    }

    // ---- after a restart

    // Errors: errc::corrupt (nothing usable is there), or the disk's.
    result<region_header> read_header(std::uint32_t which, bytes& raw) {
        raw.resize(region_header::size);
        TRY(const auto got, m_file->read_at(which * m_region_size, raw));
        raw.resize(got);
        return parse_region_header(raw, m_region_size);
    }
    result<std::vector<region_entry>> read_table(std::uint32_t which) {
        auto out = read_table(which, nullptr);
        if (!out && out.error().code != errc::corrupt) switch_off(out.error());
        if (!out) m_count.errors.add();
        return out;
    }
    result<std::vector<region_entry>> read_table(std::uint32_t which, region* into) {
        bytes raw;
        TRY(const auto header, read_header(which, raw));
        bytes sealed(header.table_size);
        TRY(const auto got, m_file->read_at(which * m_region_size + header.table_offset, sealed));
        if (got != sealed.size()) return error(errc::corrupt, "end of the disk cache");
        if (into) *into = {header.sequence, header.queue};
        return open_table(m_how.key, header.salt, raw, sealed, m_region_size);
    }

    // Newest first, so that of two places of a block the newer wins, and what has no room is the oldest. False: stopped.
    bool load() {
        std::vector<std::pair<std::uint64_t, std::uint32_t>> found;
        bytes raw;
        for (std::uint32_t i = 0; i < m_regions.size() && !stopping(); ++i) {
            const auto header = read_header(i, raw);
            if (!header && header.error().code != errc::corrupt) switch_off(header.error());
            if (header)
                found.emplace_back(header->sequence, i);
            else
                m_free.push_back(i);
        }
        std::sort(found.rbegin(), found.rend());
        for (const auto& [sequence, which] : found)
            if (stopping() || !load_region(which)) m_free.push_back(which);
        std::reverse(m_free.begin(), m_free.end());
        return !stopping();
    }

    bool load_region(std::uint32_t which) {
        region state;
        const auto table = read_table(which, &state);
        if (!table) {
            if (table.error().code != errc::corrupt) switch_off(table.error());
            return false;
        }
        const std::lock_guard lock(m_mutex);
        if (m_index.room() < table->size()) return false;
        m_regions[which] = state;
        ++m_used_regions;
        m_count.size.set(static_cast<std::int64_t>(m_used_regions * m_region_size));
        m_next_sequence = std::max(m_next_sequence, state.sequence + 1);
        m_order[static_cast<std::size_t>(state.queue)].push_front(which);
        for (const auto& e : *table)
            if (!m_index.find(tag_of(e.key))) m_index.insert(tag_of(e.key), {which, e.offset, e.length, 0});
        return true;
    }

    bool stopping() const {
        const std::lock_guard lock(m_mutex);
        return m_stop;
    }

    const std::unique_ptr<os::file> m_file;
    const disk_options m_how;
    const std::uint64_t m_region_size;
    random_source& m_random;
    counters m_count;
    std::atomic<bool> m_off{false};

    mutable std::mutex m_mutex;  // what follows, up to the thread's own
    std::condition_variable m_wake, m_flushed;
    disk_index m_index;
    std::vector<region> m_regions;
    std::uint64_t m_used_regions = 0;
    std::deque<sealed_run> m_queue;
    std::uint64_t m_queued = 0;  // bytes in it
    std::uint64_t m_flush_wanted = 0, m_flush_done = 0;
    bool m_stop = false;

    std::array<std::unique_ptr<region_builder>, 2> m_builders;  // the writer's thread's own
    std::unordered_set<block_tag> m_gathered;                   // what is in them
    std::array<std::deque<std::uint32_t>, 2> m_order;           // oldest in front, by queue
    std::vector<std::uint32_t> m_free;
    std::uint64_t m_next_sequence = 1;
    std::thread m_writer;
};

}  // namespace

std::uint64_t disk_memory_wanted(std::uint64_t capacity) noexcept {
    const auto rest = capacity / (4 * KiB) * disk_index::bytes_a_block + capacity / region_size_max * region_memory + (buffers_held + 1) * region_size_max;
    return std::max(rest * queue_part / (queue_part - 1), rest + 4 * MiB);
}

result<std::unique_ptr<disk_cache>> disk_cache::open(os::file_system& disk, disk_options how, random_source& random, metrics& count) {
    if (how.capacity < disk_capacity_min) return error(errc::invalid, "a disk cache of less than " + format_size(disk_capacity_min));
    if (how.memory_max < disk_memory_min) return error(errc::invalid, "memory of less than " + format_size(disk_memory_min) + " for a disk cache");
    const auto region_size = region_size_for(how.capacity, how.memory_max);
    how.capacity = std::min(how.capacity / region_size, how.memory_max / regions_part / region_memory) * region_size;
    CHECK_OK(disk.make_directories(how.directory));
    const auto path = how.directory + "/blocks";
    TRY(auto file, disk.open(path, disk.exists(path) ? os::open_mode::read_write : os::open_mode::create_new));
    TRY(const auto size, file->size());
    if (size != how.capacity) CHECK_OK(file->truncate(how.capacity));
    return std::unique_ptr<disk_cache>(std::make_unique<disk_cache_impl>(std::move(file), std::move(how), region_size, random, count));
}

}  // namespace cess::cache
