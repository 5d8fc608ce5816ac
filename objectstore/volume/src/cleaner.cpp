#include "cleaner.hpp"

#include "rocks.hpp"

#include <core/base/log.hpp>
#include <core/net/blocking.hpp>

#include <algorithm>

namespace cess::volume {
namespace {

using clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr int views_period = 10;  // in looks
constexpr int rest_after_nothing = 10;
constexpr std::size_t units_max = 128;            // of a pass
constexpr std::size_t moves_max = 1500;           // and so of the transaction that ends it
constexpr unsigned containers_max = 4;            // worth of bytes copied by a pass
constexpr std::size_t ranges_max = 512 * 1024;    // held in memory by a pass
constexpr std::uint64_t capacity_min = 256 * KiB;
constexpr std::uint64_t step = 1 * MiB;           // read at once
constexpr std::size_t step_pieces = 256;
constexpr std::size_t useless_max = 64 * 1024;
constexpr std::size_t erased_at_once = 2048;

std::string label_of(const ledger::volume_record& record) { return "volume=\"" + record.name + "\""; }

}  // namespace

struct cleaner::candidate {
    segment_table::unit what;
    std::uint64_t needed = 0;
    ranges_by_segment ranges;
    [[nodiscard]] std::vector<segment_number> numbers() const {
        return what.members.empty() ? std::vector<segment_number>{what.at->number} : what.members;
    }
    [[nodiscard]] std::size_t pieces() const {
        std::size_t sum = 0;
        for (const auto& [number, list] : ranges) sum += list.size();
        return sum;
    }
};

cleaner::cleaner(parts of)
    : m_of(std::move(of)),
      m_passes(m_of.count.make_counter("cess_volume_cleaning_passes_total", "Passes that copied or freed something.", label_of(m_of.record))),
      m_copied(m_of.count.make_counter("cess_volume_cleaning_copied_bytes_total", "Plain bytes stored by cleaning, tables included.", label_of(m_of.record))),
      m_freed(m_of.count.make_counter("cess_volume_cleaning_freed_bytes_total", "Plain bytes of segments that cleaning freed.", label_of(m_of.record))),
      m_stored_gauge(m_of.count.make_gauge("cess_volume_stored_bytes", "Plain bytes of the segments that hold the volume's data.", label_of(m_of.record))),
      m_needed_gauge(m_of.count.make_gauge("cess_volume_needed_bytes", "Of those, bytes that the head or a snapshot needs.", label_of(m_of.record))),
      m_capacity(capacity_max()) {}

cleaner::~cleaner() { stop(); }

void cleaner::run() {
    m_thread = std::thread([this] { work(); });
}

void cleaner::stop() {
    {
        const std::lock_guard lock(m_mutex);
        m_stop = true;
    }
    m_changed.notify_all();
    if (m_thread.joinable()) m_thread.join();
    const std::lock_guard nobody_passes(m_passing);  // they see that we stop
}

std::uint64_t cleaner::capacity_max() const noexcept { return std::min(m_of.how.segment_size, m_of.how.buffers_max / 4); }

// What one unit may take of a container that is its alone: it may be of a time with larger segments.
std::uint64_t cleaner::unit_max() const noexcept { return m_capacity < capacity_max() ? m_capacity : m_of.how.buffers_max / 2; }

bool cleaner::stopping() const {
    const std::lock_guard lock(m_mutex);
    return m_stop || !m_of.writable();
}

bool cleaner::sleep(net::duration time) {
    std::unique_lock lock(m_mutex);
    return !m_changed.wait_for(lock, time, [this] { return m_stop; });
}

std::uint64_t cleaner::needed_bytes() const { return std::min(m_of.table.live_bytes() + m_held.load(), m_of.table.stored_bytes()); }

bool cleaner::over_bound() const {
    const auto needed = needed_bytes();
    return m_of.table.stored_bytes() > needed + needed / 2 + m_of.how.clean_slack;
}

void cleaner::work() {
    bool look = !m_of.table.views().empty();  // what they hold is not known yet
    int next_views = views_period, rest = 0;
    while (sleep(m_of.how.clean_look)) {
        if (!m_of.writable()) return;
        m_stored_gauge.set(static_cast<std::int64_t>(m_of.table.stored_bytes()));
        m_needed_gauge.set(static_cast<std::int64_t>(needed_bytes()));
        if (--next_views <= 0 && !m_of.table.views().empty()) {
            (void)refresh_views();  // while consensus is down: as last seen
            auto now = m_of.table.views();
            look = look || now != m_views_seen;
            m_views_seen = std::move(now);
            next_views = views_period;
        }
        if (!look && (!over_bound() || --rest > 0)) continue;
        if (m_of.state.incomplete()) continue;  // a pass reads under the apply lock: not what may have to come from the network
        look = false;
        const std::unique_lock mine(m_passing, std::try_to_lock);
        if (!mine) continue;
        const auto done = pass(clock::time_point::max());
        if (!done && !stopping()) log::warn("volume", "cleaning stopped short volume={} error={}", m_of.record.name, done.error().message());
        rest = !done || !*done ? rest_after_nothing : 0;
    }
}

result<void> cleaner::clean(net::duration patience) {
    const auto deadline = clock::now() + patience;
    const std::unique_lock mine(m_passing, deadline);
    if (!mine) return error(errc::timeout, "cleaning of volume " + m_of.record.name + " waits for the pass before");
    while (m_of.state.incomplete()) {
        if (clock::now() > deadline) return error(errc::timeout, "cleaning of volume " + m_of.record.name + " waits for its metadata");
        if (stopping() || !sleep(10ms)) return error(errc::canceled, "volume is closed");
    }
    for (;;) {
        TRY(const bool did, pass(deadline));
        if (!did) return {};
        if (clock::now() > deadline) return error(errc::timeout, "cleaning of volume " + m_of.record.name);
    }
}

result<void> cleaner::refresh_views() {
    const auto before = m_of.table.views_before_asking();
    const auto deadline = m_of.on.world().now() + m_of.on.limits().request;
    TRY(auto read, net::wait(m_of.on.world(), m_of.on.ledger().read(ledger::key::pins(m_of.record.id), deadline)));
    std::vector<sequence_number> anchored;
    if (read.value) {
        TRY(const auto list, wire::decode<ledger::pin_list>(*read.value));
        for (const auto& each : list.pins) anchored.push_back(each.sequence);
    }
    const std::lock_guard lock(m_of.apply);
    m_of.table.set_views(anchored, before);
    return {};
}

// REQUIRES: m_passing
result<bool> cleaner::pass(std::chrono::steady_clock::time_point deadline) {
    CHECK_OK(make_final(deadline));  // of a pass that was given up
    (void)refresh_views();  // those we know are at least those that there are: only we make any
    const auto units = m_of.table.units();  // before the scan: nothing can be placed in them any more
    std::optional<need_scan> scan;
    std::uint64_t held_before = 0;
    {
        const std::lock_guard lock(m_of.apply);
        scan.emplace(m_of.state, m_of.table, m_of.table.views());
        held_before = m_held.load();
    }
    const auto stop = [this] { return stopping(); };
    std::vector<bytes> useless;
    TRY(const auto held, scan->held_by_views(useless, useless_max, stop));
    std::uint64_t sum = 0;
    for (const auto& [number, bytes] : held) sum += bytes;
    m_held.fetch_add(sum - held_before);
    CHECK_OK(forget_rows(useless));

    segment_table::cleaning out;
    auto chosen = choose(units, held, out);
    for (;;) {
        ranges_by_segment ranges;
        for (const auto& each : chosen)
            for (const auto number : each.numbers()) ranges.emplace(number, std::vector<byte_range>());
        auto collected = ranges.empty() ? result<void>() : scan->collect(ranges, ranges_max, stop);
        if (!collected && collected.error().code == errc::exhausted && chosen.size() > 1) {
            chosen.resize(chosen.size() / 2);
            continue;
        }
        if (!collected && collected.error().code == errc::exhausted) {  // one alone, shared too often
            m_untouchable.insert(chosen.front().what.at->number);
            chosen.clear();
            break;
        }
        CHECK_OK(collected);
        for (auto& each : chosen)
            for (const auto number : each.numbers()) each.ranges[number] = std::move(ranges[number]);
        break;
    }
    scan.reset();
    result<void> packed = pack(chosen, out);
    if (!packed && out.made.empty() && out.unneeded.empty()) return packed.error();
    if (out.made.empty() && out.unneeded.empty()) return false;
    m_passes.add();
    m_of.table.stage(std::move(out));
    CHECK_OK(make_final(deadline));
    return true;
}

// Least needed first, until what is left is well within the bound.
std::vector<cleaner::candidate> cleaner::choose(const std::vector<segment_table::unit>& units, const std::unordered_map<segment_number, std::uint64_t, id_hash>& held,
                                                segment_table::cleaning& out) {
    std::vector<candidate> sparse_ones;
    std::size_t moves = 0;
    for (const auto& unit : units) {
        candidate next;
        next.what = unit;
        std::uint64_t by_views = 0;
        for (const auto number : next.numbers())
            if (const auto it = held.find(number); it != held.end()) by_views += it->second;
        next.needed = std::min(unit.at->length, unit.live + by_views);
        if (unit.dead && next.needed == 0) {
            if (moves + unit.members.size() >= moves_max) continue;
            moves += unit.members.size() + 1;
            m_freed.add(unit.at->length);
            out.unneeded.push_back(unit.at->number);
        } else if (next.needed != 0 && next.needed <= unit_max() && pays_to_pack(next.needed, unit.at->length) && !m_untouchable.contains(unit.at->number)) {
            sparse_ones.push_back(std::move(next));
        }
    }
    std::sort(sparse_ones.begin(), sparse_ones.end(), [](const auto& a, const auto& b) {
        return a.needed * b.what.at->length < b.needed * a.what.at->length;  // both below 2^26
    });
    std::vector<candidate> chosen;
    const auto needed = needed_bytes();
    auto stored = m_of.table.stored_bytes();
    const auto enough = needed + needed / 4 + m_of.how.clean_slack / 2;
    if (!over_bound()) return chosen;
    std::uint64_t copied = 0;
    for (auto& each : sparse_ones) {
        if (stored <= enough || chosen.size() >= units_max) break;
        if (copied + each.needed > m_capacity * containers_max || moves + each.what.members.size() >= moves_max) continue;
        copied += each.needed;
        moves += each.what.members.size() + 1;
        stored -= each.what.at->length - each.needed;
        chosen.push_back(std::move(each));
    }
    return chosen;
}

// Rows of dead ranges that no view needs any more.
result<void> cleaner::forget_rows(const std::vector<bytes>& rows) {
    for (std::size_t at = 0; at < rows.size(); at += erased_at_once) {
        rocksdb::WriteBatch batch;
        for (auto i = at; i < std::min(rows.size(), at + erased_at_once); ++i) batch.Delete(slice(rows[i]));
        const std::lock_guard lock(m_of.apply);
        if (stopping()) return error(errc::canceled, "volume is closed");
        CHECK_OK(m_of.state.write(batch));
    }
    return {};
}

// ---- copying ---------------------------------------------------------------------------------------------

// Containers of one key generation each: a clone, or a snapshot, only has the keys of its time.
result<void> cleaner::pack(std::vector<candidate>& chosen, segment_table::cleaning& out) {
    std::map<std::uint32_t, std::vector<candidate*>> by_generation;
    for (auto& each : chosen) {
        each.needed = 0;
        for (const auto& [number, list] : each.ranges) each.needed += bytes_in(list);
        // None: all of it died meanwhile, and will be declared dead.
        if (each.needed == 0 || !pays_to_pack(each.needed + container_entry_size * each.pieces(), each.what.at->length)) continue;
        by_generation[each.what.at->key_generation].push_back(&each);
    }
    for (auto& [generation, units] : by_generation) {
        while (!units.empty()) {
            std::vector<candidate*> now, later;
            std::uint64_t size = container_table::size_of(0) + container_padding_max;
            std::size_t pieces = 0;
            for (auto* each : units) {
                const auto more = each->needed + container_entry_size * each->pieces();
                if (size + more > (now.empty() ? unit_max() : m_capacity) || pieces + each->pieces() > container_pieces_max) {
                    later.push_back(each);
                    continue;
                }
                size += more;
                pieces += each->pieces();
                now.push_back(each);
            }
            if (now.empty()) {  // none of them ever fits
                if (m_capacity == capacity_max())
                    for (const auto* each : units) m_untouchable.insert(each->what.at->number);
                break;
            }
            CHECK_OK(pack_one(now, out));
            units.swap(later);
        }
    }
    return {};
}

result<void> cleaner::pack_one(std::vector<candidate*>& units, segment_table::cleaning& out) {
    container_table table;
    for (const auto* each : units)
        for (const auto& [number, list] : each->ranges)
            for (const auto& range : list) table.pieces.push_back({number, range.offset, range.end - range.offset});
    std::sort(table.pieces.begin(), table.pieces.end(), [](const auto& a, const auto& b) { return std::pair(a.number, a.offset) < std::pair(b.number, b.offset); });
    const auto begin = table.data_at();
    auto size = begin;
    const auto head = wire::encode(table);
    if (head.size() != container_table::size_of(table.pieces.size())) return error(errc::corrupt, "table of a container of another size than counted");
    for (const auto& piece : table.pieces) size += piece.length;
    TRY(const auto index, piece_index::make(std::move(table), size));
    std::optional<buffer_pool::loan> lent;
    if (size > capacity_max()) {
        lent.emplace(m_of.pool.take_now(size));
    } else {
        TRY(auto memory, m_of.pool.lend(size));
        lent.emplace(std::move(memory));
    }
    bytes content(size);
    std::memcpy(content.data(), head.data(), head.size());
    std::memset(content.data() + head.size(), 0, begin - head.size());
    std::vector<candidate*> whole;
    const auto ring = m_of.keys.ring();
    for (auto* each : units) {
        auto done = fetch(*each, index, content, *ring);
        if (stopping()) return error(errc::canceled, "volume is closed");
        if (done) {
            whole.push_back(each);
            continue;
        }
        log::warn("volume", "segment not cleaned, it cannot be read volume={} segment={} error={}", m_of.record.name, each->what.at->number.value, done.error().message());
        m_untouchable.insert(each->what.at->number);
    }
    if (whole.size() < units.size()) {
        bytes().swap(content);
        lent.reset();
        return whole.empty() ? result<void>() : pack_one(whole, out);
    }
    auto admitted = m_of.room.admit(size);
    if (!admitted) {
        if (admitted.error().code == errc::no_space) m_capacity = std::max(std::min(capacity_min, m_capacity), m_capacity / 4);
        return admitted;
    }
    layer::segment_spec spec;
    spec.number = m_of.pool.next_number();
    spec.geometry = m_of.record.geometry;
    if (m_of.record.block_size) spec.block_size = m_of.record.block_size;
    spec.lineage = m_of.record.id;
    spec.key_generation = units.front()->what.at->key_generation;
    pace(size);
    TRY(auto stored, m_of.holder.put_segment(*ring, spec, content));
    m_copied.add(size);
    segment_table::packed made;
    stored.birth = {~std::uint64_t{0}};
    for (const auto* each : units) {
        stored.birth = std::min(stored.birth, each->what.birth);
        made.units.push_back(each->what.at->number);
        m_freed.add(each->what.at->length);
        for (const auto& [number, list] : each->ranges)
            if (!list.empty()) made.members.push_back(number);
    }
    made.at = std::move(stored);
    out.made.push_back(std::move(made));
    m_capacity = std::min(capacity_max(), m_capacity * 2);
    return {};
}

// Copies the needed ranges of one unit to their places.
result<void> cleaner::fetch(const candidate& from, const piece_index& to, byte_span content, const layer::keyring& keys) {
    std::vector<layer::piece> pieces;
    std::uint64_t size = 0;
    const auto read = [&]() -> result<void> {
        pace(size);
        if (stopping()) return error(errc::canceled, "volume is closed");
        CHECK_OK(m_of.on.read_once(keys, pieces));
        pieces.clear();
        size = 0;
        return {};
    };
    for (const auto& [number, list] : from.ranges) {
        for (const auto& range : list) {
            const auto place = to.find(number, range.offset);
            for (std::uint64_t done = 0; done < range.end - range.offset;) {
                const auto length = std::min<std::uint64_t>(range.end - range.offset - done, step);
                const auto part = content.subspan(place.at + done, length);
                if (from.what.members.empty() && !from.what.squeezed)
                    pieces.push_back({from.what.at.get(), range.offset + done, part});
                else
                    CHECK_OK(m_of.where.expand(keys, from.what.at, number, range.offset + done, part, pieces));
                done += length;
                size += length;
                if (size >= step || pieces.size() >= step_pieces) CHECK_OK(read());
            }
        }
    }
    return pieces.empty() ? result<void>() : read();
}

// Users' I/O goes first, but it cannot keep cleaning below a fifth of its rate: or the bound would not hold.
void cleaner::pace(std::uint64_t bytes) {
    const auto share = std::chrono::microseconds(bytes * 1'000'000 / std::max<std::uint64_t>(1, m_of.how.clean_bandwidth));
    if (share.count() > 0) (void)sleep(share);
    const auto until = clock::now() + 4 * share;
    while (m_of.busy() && clock::now() < until)
        if (!sleep(std::min<net::duration>(2ms, 4 * share))) return;
}

// Waits while consensus is down: one pass at most is outstanding.
result<void> cleaner::make_final(std::chrono::steady_clock::time_point deadline) {
    while (m_of.table.cleaning_waits()) {
        if (clock::now() > deadline) return error(errc::timeout, "what was cleaned is not final yet");
        if (stopping()) return error(errc::canceled, "volume is closed");
        if (auto made = m_of.cut(); !made) log::debug("volume", "cleaning waits for a checkpoint volume={} error={}", m_of.record.name, made.error().message());
        for (int i = 0; i < 50 && m_of.table.cleaning_waits(); ++i)
            if (!sleep(10ms)) break;
    }
    return {};
}

}  // namespace cess::volume
