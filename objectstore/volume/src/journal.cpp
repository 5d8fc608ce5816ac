#include "journal.hpp"

#include <algorithm>
#include <map>

namespace cess::volume {
namespace {

using clock = std::chrono::steady_clock;
constexpr auto silence_grace = std::chrono::seconds(1);  // that a wait which begins in a silence lasts all the same
constexpr unsigned depth_max = 4;                     // entries under way; more only makes them smaller
constexpr std::uint64_t entry_payload_max = 4 * MiB;  // of one entry
constexpr std::uint64_t pending_bytes_max = 8 * MiB;  // of edits that wait to be appended
constexpr std::size_t pending_count_max = 64 * 1024;
constexpr std::uint64_t pending_data_max = 128 * MiB;  // of bytes written by them, whose buffers they keep even if stored
constexpr std::uint64_t pending_data_much = 16 * MiB;  // past it those of which only the mapping is to be journaled go at once

std::uint64_t data_of(const applied_change& change) {
    std::uint64_t sum = 0;
    for (const auto& each : change.places) sum += each.length;
    return sum;
}

}  // namespace

// What became of the entries: acknowledged, or stored. Under the lock but for `upto`.
struct journal::stage {
    std::atomic<std::uint64_t> upto{0};  // sequence
    std::uint64_t located = 0;           // count of locations
    unsigned under_way = 0;
    clock::time_point progress{};        // when an entry came, or the first one set out

    void begin() {
        if (under_way++ == 0) progress = clock::now();
    }
    void end(bool good, sequence_number last, std::uint64_t located_upto) {
        --under_way;
        if (!good) return;
        progress = clock::now();
        if (last.value > upto.load()) upto = last.value;
        located = std::max(located, located_upto);
    }
    [[nodiscard]] bool silent(net::duration limit) const { return under_way > 0 && clock::now() - progress > limit; }
};

struct journal::shared {
    struct location {
        location_record what;
        sequence_number complete_from;
        clock::time_point when;
        std::uint64_t count = 0;  // of locations up to it
    };
    mutable std::mutex mutex;
    std::condition_variable changed;    // the stages, appended, the gathering role
    std::condition_variable attention;  // of the thread that picks up what nobody waits for; it looks by itself now and then
    std::deque<applied_change> pending;
    std::uint64_t pending_bytes = 0;
    std::uint64_t pending_data = 0;
    std::vector<location> locations;
    // The index of the entry behind each, once it is known; with a local journal, the count of entries before it.
    std::map<sequence_number, std::optional<entry_index>> divisions;
    std::uint64_t located = 0, located_taken = 0;  // counts of locations
    sequence_number appended;
    stage acknowledged, stored;
    bool gathering = false;
    bool stop = false;
    std::optional<error> failure;

    void done(std::initializer_list<stage*> which, const result<void>& how, sequence_number last, std::uint64_t located_upto) {
        {
            const std::lock_guard lock(mutex);
            if (!how && !failure) failure = how.error();
            for (auto* each : which) each->end(!failure, last, located_upto);
        }
        changed.notify_all();
        if (!how) attention.notify_all();
    }
    [[nodiscard]] bool crowded() const { return pending_bytes > pending_bytes_max || pending_data > pending_data_max || pending.size() > pending_count_max; }
    // How many at the front an entry of them alone would carry as mapping only.
    [[nodiscard]] std::size_t settled() const {
        std::size_t out = 0, seen = 0;
        sequence_number needed;
        for (const auto& change : pending) {
            for (const auto& each : change.places) {
                if (!each.buffer->stored.load(std::memory_order_acquire)) return out;
                needed = std::max(needed, each.buffer->complete_from);
            }
            ++seen;
            if (needed <= change.at) out = seen;
        }
        return out;
    }
    // Whether a location may go, and has waited since `old`.
    [[nodiscard]] bool locations_due(clock::time_point old) const {
        return std::any_of(locations.begin(), locations.end(), [&](const auto& each) { return each.complete_from <= appended && each.when <= old; });
    }
};

journal::journal(layer::session& to, local_half near, limits with, sequence_number start, std::function<void(const error&)> failed)
    : m_to(to), m_near(near), m_limits(with), m_failed(std::move(failed)), m_shared(std::make_shared<shared>()) {
    m_shared->appended = start;
    m_shared->acknowledged.upto = m_shared->stored.upto = start.value;
    m_thread = std::thread([this] { run(); });
}

journal::~journal() { stop(); }

void journal::stop() {
    {
        const std::lock_guard lock(m_shared->mutex);
        m_shared->stop = true;
    }
    m_shared->changed.notify_all();
    m_shared->attention.notify_all();
    if (m_thread.joinable()) m_thread.join();
    std::unique_lock lock(m_shared->mutex);
    m_shared->changed.wait(lock, [this] { return !m_shared->gathering; });
}

void journal::push(applied_change change) {
    bool wake = false;
    {
        const std::lock_guard lock(m_shared->mutex);
        m_shared->pending_bytes += change.encoded.size();
        m_shared->pending_data += data_of(change);
        m_shared->pending.push_back(std::move(change));
        wake = m_shared->crowded();
    }
    if (wake) m_shared->attention.notify_all();
}

void journal::locate(const std::shared_ptr<segment_buffer>& buffer, location_record at) {
    bool wake = false;
    {
        const std::lock_guard lock(m_shared->mutex);
        m_shared->locations.push_back({std::move(at), buffer->complete_from, clock::now(), ++m_shared->located});
        buffer->stored.store(true, std::memory_order_release);
        wake = m_shared->pending_data > pending_data_much;
    }
    if (wake) m_shared->attention.notify_all();
}

sequence_number journal::durable() const noexcept { return {m_shared->acknowledged.upto.load()}; }

sequence_number journal::stored() const noexcept { return {m_shared->stored.upto.load()}; }

std::optional<error> journal::failure() const {
    const std::lock_guard lock(m_shared->mutex);
    return m_shared->failure;
}

bool journal::payload_exceeds(std::uint64_t limit, sequence_number upto, segment_number except) const {
    const std::lock_guard lock(m_shared->mutex);
    if (m_shared->pending_data <= limit) return false;
    std::uint64_t sum = 0;
    for (const auto& change : m_shared->pending) {
        if (change.at > upto || sum > limit) break;
        for (const auto& each : change.places)
            if (!each.buffer->stored.load(std::memory_order_acquire) && each.buffer->number() != except) sum += each.length;
    }
    return sum > limit;
}

void journal::divide(sequence_number at) {
    const std::lock_guard lock(m_shared->mutex);
    m_shared->divisions[at];
}

void journal::set_bases() {
    for (auto& [at, base] : m_shared->divisions) {
        if (base || at > m_shared->appended) continue;
        base = m_near.behind ? entry_index{m_entries} : m_to.next_entry();
        if (m_near.behind) m_near.behind->note(m_entries);
    }
}

bool journal::may_gather(const stage& which) const {
    const auto& s = *m_shared;
    if (s.gathering || s.acknowledged.under_way >= depth_max || which.silent(m_limits.silence)) return false;
    return !m_near.behind || !m_near.behind->full();
}

result<void> journal::wait_step(std::unique_lock<std::mutex>& lock, const stage& which, clock::time_point since, bool gather_helps) {
    auto& s = *m_shared;
    if (s.failure) return *s.failure;
    if (s.stop) return error(errc::canceled, "volume is closed");
    if (gather_helps && may_gather(which) && gather(lock, false)) return {};
    // Where the local journal may not run further ahead, the miners are what everybody waits for.
    const auto& slow = m_near.behind && m_near.behind->full() ? s.stored : which;
    const auto now = clock::now();
    if (slow.silent(m_limits.silence) && now >= since + silence_grace)
        return error(errc::timeout, "too few miners answer; what was written is kept, and stored when they are back");
    if (now >= since + m_limits.patience) return error(errc::timeout, "the journal does not answer");
    auto until = since + m_limits.patience;
    if (slow.under_way > 0) until = std::min(until, std::max(slow.progress + m_limits.silence, since + silence_grace) + std::chrono::milliseconds(1));
    // A location may wait for a change that is applied and not pushed yet, which push() tells nobody who waits here.
    if (gather_helps) until = std::min<clock::time_point>(until, now + std::chrono::milliseconds(5));
    s.changed.wait_until(lock, until);
    return {};
}

result<void> journal::sync(sequence_number upto) {
    auto& s = *m_shared;
    if (s.acknowledged.upto.load() >= upto.value) return {};
    const auto since = clock::now();
    std::unique_lock lock(s.mutex);
    while (s.acknowledged.upto.load() < upto.value) CHECK_OK(wait_step(lock, s.acknowledged, since, s.appended < upto));
    return {};
}

result<void> journal::sync_stored(sequence_number upto) {
    auto& s = *m_shared;
    const auto since = clock::now();
    std::unique_lock lock(s.mutex);
    while (s.stored.upto.load() < upto.value) CHECK_OK(wait_step(lock, s.stored, since, s.appended < upto));
    return {};
}

result<void> journal::sync_locations() {
    auto& s = *m_shared;
    const auto since = clock::now();
    std::unique_lock lock(s.mutex);
    const auto target = s.located;
    while (s.stored.located < target) CHECK_OK(wait_step(lock, s.stored, since, s.located_taken < target));
    return {};
}

result<entry_index> journal::base_after(sequence_number at) {
    CHECK_OK(sync_stored(at));
    auto& s = *m_shared;
    const auto deadline = clock::now() + m_limits.patience;
    std::unique_lock lock(s.mutex);
    while (s.gathering)
        if (s.changed.wait_until(lock, deadline) == std::cv_status::timeout) return error(errc::timeout, "the journal does not answer");
    set_bases();  // nobody appends meanwhile: appending takes the gathering role, which takes the lock
    const auto it = s.divisions.find(at);
    if (it == s.divisions.end() || !it->second) return error(errc::invalid, "journal has no division there");
    auto base = *it->second;
    if (m_near.behind) {
        lock.unlock();
        TRY(base, m_near.behind->index_after(base.value, m_limits.patience));
        lock.lock();
    }
    s.divisions.erase(at);
    return base;
}

result<void> journal::relieve() {
    auto& s = *m_shared;
    const auto since = clock::now();
    std::unique_lock lock(s.mutex);
    while (s.crowded()) CHECK_OK(wait_step(lock, s.acknowledged, since, true));
    return {};
}

void journal::run() {
    auto& s = *m_shared;
    std::unique_lock lock(s.mutex);
    // It looks twice in the time a change may wait, and then takes what has waited for half of it.
    const auto half = std::max<net::duration>(m_limits.append_idle / 2, std::chrono::microseconds(500));
    while (!s.stop && !s.failure) {
        const auto old = clock::now() - half;
        const bool due = s.crowded() || (!s.pending.empty() && s.pending.front().when <= old) || s.locations_due(old) ||
                         (s.pending_data > pending_data_much && s.settled() > 0);
        if (due && may_gather(s.acknowledged))
            gather(lock, true);
        else
            s.attention.wait_for(lock, due && !s.acknowledged.silent(m_limits.silence) ? std::chrono::milliseconds(5) : half);
    }
    if (!s.failure || s.stop) return;
    const auto why = *s.failure;
    lock.unlock();
    m_failed(why);
}

bool journal::take(gathered& out, bool idle) {
    auto& s = *m_shared;
    sequence_number until{~std::uint64_t{0}};
    for (const auto& [at, base] : s.divisions)
        if (at > s.appended && !m_limits.broken.undivided_cuts) {
            until = at;
            break;
        }
    const auto recent = clock::now() - m_limits.append_idle / 2;
    const auto settled = idle ? s.settled() : 0;
    std::uint64_t size = 0;
    while (!s.pending.empty() && s.pending.front().at <= until && size < entry_payload_max) {
        auto& next = s.pending.front();
        // Nobody waits for it: young data whose segment is still to be stored may yet be journaled as a mapping alone.
        if (idle && !s.crowded() && next.when > recent && out.changes.size() >= settled) break;
        for (const auto& each : next.places)
            if (!each.buffer->stored.load(std::memory_order_acquire)) size += each.length;
        size += next.encoded.size();
        s.pending_bytes -= next.encoded.size();
        s.pending_data -= data_of(next);
        if (out.changes.empty()) out.header.first = next.at;
        out.last = next.at;
        out.changes.push_back(std::move(next));
        s.pending.pop_front();
    }
    out.before = s.appended;
    out.upto = std::max(s.appended, out.last);
    return !out.changes.empty() || s.locations_due(clock::time_point::max());
}

// Those that a history which ends with this entry may know. Returns up to which all are taken.
std::uint64_t journal::take_locations(entry_header& to, sequence_number upto) {
    auto& s = *m_shared;
    std::vector<shared::location> later;
    for (auto& each : s.locations) {
        if (each.complete_from > upto) later.push_back(std::move(each));
        else if (!m_limits.broken.lose_locations) to.locations.push_back(std::move(each.what));
    }
    s.locations.swap(later);
    return s.located_taken = s.locations.empty() ? s.located : s.locations.front().count - 1;
}

bool journal::gather(std::unique_lock<std::mutex>& lock, bool idle) {
    auto& s = *m_shared;
    s.gathering = true;
    set_bases();
    gathered what;
    const bool any = take(what, idle);
    if (any) {
        const auto last = what.last;
        lock.unlock();
        append(std::move(what));
        lock.lock();
        if (last > s.appended) s.appended = last;
        set_bases();
    }
    s.gathering = false;
    s.changed.notify_all();
    return any;
}

// An entry that only carries payload, for a change whose data is larger than an entry.
void journal::append_payload_alone(gathered& what, buffer_pool::hold run) {
    what.payload.push_back(std::move(run));
    what.payload_size += what.payload.back().length;
    if (what.payload_size < entry_payload_max) return;
    gathered part;
    part.payload.swap(what.payload);
    part.payload_size = std::exchange(what.payload_size, 0);
    part.before = part.upto = what.before;
    append(std::move(part));
}

void journal::append(gathered&& what) {
    for (auto& change : what.changes) {
        for (auto& each : change.places) {
            if (each.buffer->stored_for(what.upto)) continue;
            if (m_limits.broken.first_payload_only && &each != &change.places.front()) continue;
            while (each.length > entry_payload_max) {
                constexpr auto piece = static_cast<std::uint32_t>(entry_payload_max);
                append_payload_alone(what, {each.buffer, each.offset, piece});
                each.offset += piece;
                each.length -= piece;
            }
            if (!what.payload.empty() && what.payload.back().buffer == each.buffer &&
                what.payload.back().offset + what.payload.back().length == each.offset && what.payload_size < entry_payload_max) {
                what.payload.back().length += each.length;
                what.payload_size += each.length;
            } else {
                append_payload_alone(what, std::move(each));
            }
        }
        what.header.changes.push_back(std::move(change.encoded));
    }
    auto& s = *m_shared;
    std::uint64_t located = 0;
    {
        // Taken after the payload was decided: who was seen stored there has its location in this entry or an earlier one.
        const std::lock_guard lock(s.mutex);
        located = take_locations(what.header, what.upto);
        s.acknowledged.begin();
        s.stored.begin();
    }
    what.header.name = {m_to.term(), ++m_entries};
    std::uint64_t size = 0;
    for (const auto& run : what.payload) {
        what.header.payload.push_back({run.buffer->number(), run.offset, run.length});
        size += run.length;
    }
    const auto head = wire::encode(what.header);
    bytes entry(head.size() + size);
    std::memcpy(entry.data(), head.data(), head.size());
    auto* to = entry.data() + head.size();
    for (const auto& run : what.payload) {
        std::memcpy(to, run.buffer->at(run.offset), run.length);
        to += run.length;
    }
    reach(m_limits.crashes, crash_point::entry_built);
    if (m_limits.broken.sync_early && what.last.value > s.acknowledged.upto.load()) s.acknowledged.upto = what.last.value;
    hand_on(std::move(entry), what.last, located);
    reach(m_limits.crashes, crash_point::entry_appended);
}

// To the miners; with a local journal, to that first. What the local disk refuses is acknowledged by the miners alone.
void journal::hand_on(bytes entry, sequence_number last, std::uint64_t located) {
    auto* crashes = m_limits.crashes;
    const auto state = m_shared;
    const bool kept = m_near.log && m_near.log->append(m_entries, entry).has_value();
    auto stored = [state, last, located, kept, crashes](result<void> how) {
        if (how && !kept) reach(crashes, crash_point::entry_acknowledged);
        if (kept) state->done({&state->stored}, how, last, located);
        else state->done({&state->stored, &state->acknowledged}, how, last, located);
    };
    if (m_near.behind) m_near.behind->send(std::move(entry), std::move(stored));
    else m_to.append(std::move(entry), std::move(stored));
    if (!kept) return;
    reach(crashes, crash_point::entry_acknowledged);
    state->done({&state->acknowledged}, {}, last, located);
}

}  // namespace cess::volume
