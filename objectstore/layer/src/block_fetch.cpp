#include "block_fetch.hpp"

#include "first_try.hpp"

#include <core/net/blocking.hpp>

#include <algorithm>
#include <tuple>

namespace cess::layer {
namespace {

constexpr unsigned large_load = 16;       // of a run of up to run_bytes_max; a small one is 1
constexpr unsigned load_max = 512;        // under way
constexpr unsigned load_max_ahead = 256;  // of this
constexpr std::size_t holes_max = 4;      // of a run that the slow tier has in part; of more, what lies between is asked for with them
constexpr net::duration grace = std::chrono::milliseconds(250);  // for a fetch that ends at its deadline to say why

void copy_block(const piece& into, std::uint64_t block, byte_view data) {
    const auto start = block * into.from->block_size;
    const auto from = std::max(into.offset, start);
    const auto to = std::min(into.offset + into.out.size(), start + data.size());
    if (from < to) std::memcpy(into.out.data() + (from - into.offset), data.data() + (from - start), to - from);
}

result<void> check_range(const ledger::segment_record& segment, std::uint64_t offset, std::uint64_t length) {
    CHECK_OK(check(segment));
    if (offset >= segment.length || length > segment.length - offset)
        return error(errc::out_of_range, "segment " + segment.id.brief() + ": bytes past its end");
    return {};
}

void extend(std::vector<run>& runs, const run& like, std::uint64_t block) {
    if (!runs.empty()) {
        auto& last = runs.back();
        const bool room = (last.count + 1) * last.segment->block_size <= run_bytes_max;
        if (last.segment == like.segment && last.looked_behind == like.looked_behind && last.first + last.count == block && room) {
            ++last.count;
            return;
        }
    }
    runs.push_back(like);
    runs.back().first = block;
    runs.back().count = 1;
}

run part_of(const run& whole, std::uint64_t first, std::uint64_t count) {
    auto out = whole;
    out.first = first;
    out.count = count;
    return out;
}

unsigned load_of(const run& what) noexcept { return in_one_small_range(what) ? 1 : large_load; }

net::awaitable<result<int>> stopped(net::task_group& tasks) {
    auto op = tasks.stop();
    co_await std::move(op);
    co_return 0;
}

}  // namespace

// What the slow tier has of blocks [first, first+count), in their order. Blocks on its I/O.
struct block_fetch::slow_lookup {
    cache::sealed_cache* slow;
    const ledger::segment_record* of;
    crypto::secret_key key;
    std::uint64_t first, count;
    std::vector<stored> operator()() const {
        std::vector<stored> out;
        for (const auto& found : slow->fetch(of->id, static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(count)))
            if (!open(found, 0, found.count, *found.data, out)) open_singly(found, out);
        return out;
    }

private:
    void open_singly(const cache::sealed_run& found, std::vector<stored>& out) const {
        for (std::uint32_t i = 0; i < found.count; ++i)
            if (found.count == 1 || !open(found, i, 1, found.sealed(i), out)) slow->drop_wrong(found.key(i));
    }
    bool open(const cache::sealed_run& found, std::uint32_t from, std::uint32_t blocks, byte_view sealed, std::vector<stored>& out) const {
        auto plain = open_blocks(*of, key, found.first + from, blocks, sealed);
        if (plain) out.push_back({found.first + from, blocks, std::move(*plain)});
        return plain.has_value();
    }
};

// A read that waits for flights. Whatever ends it, none of them knows of it afterwards; what it was to bring itself, and
// an exception kept it from, fails.
struct block_fetch::waiting_for {
    waiting_for(block_fetch& in, std::vector<gap>& missing, call& mine) : m_in(in), m_missing(missing), m_mine(mine) {}
    waiting_for(const waiting_for&) = delete;
    waiting_for& operator=(const waiting_for&) = delete;
    ~waiting_for() {
        if (m_landed) return;
        const std::lock_guard hold(m_in.m_mutex);
        for (auto& each : m_missing)
            if (each.trip) std::erase(each.trip->waiting, &m_mine);
        if (std::uncaught_exceptions() == 0) return;
        for (auto& each : m_missing) {
            const auto found = each.ours ? m_in.m_flights.find(each.key()) : m_in.m_flights.end();
            if (found == m_in.m_flights.end() || found->second != each.trip) continue;
            each.trip->why = error(errc::canceled);
            m_in.settle(found);
        }
    }
    void landed() { m_landed = true; }

private:
    block_fetch& m_in;
    std::vector<gap>& m_missing;
    call& m_mine;
    bool m_landed = false;
};

block_fetch::block_fetch(layer_core& core) : m_core(core), m_ahead(core.on.ahead_max, core.on.count), m_tasks(core.on.world.executor()) {}

block_fetch::~block_fetch() {
    {
        const std::lock_guard hold(m_mutex);
        m_stopping = true;
    }
    (void)net::wait(m_core.on.world, stopped(m_tasks));
    std::unique_lock hold(m_mutex);
    m_no_first_try.wait(hold, [this] { return m_first_tries == 0; });  // they end by themselves, within the patience of a hedge
}

void block_fetch::sort_by_place(std::vector<gap*>& what) {
    std::sort(what.begin(), what.end(), [](const gap* a, const gap* b) { return std::tie(a->of->from->id, a->block) < std::tie(b->of->from->id, b->block); });
}

// ---- reading ---------------------------------------------------------------------------------------------

result<void> block_fetch::read(const keyring& keys, const std::vector<piece>& pieces) {
    std::vector<gap> missing;
    CHECK_OK(copy_cached(pieces, missing));
    if (missing.empty()) return {};
    const auto deadline = m_core.on.world.now() + m_core.on.limits.read;
    sources from;
    for (const auto& each : missing) {
        const auto& record = *each.of->from;
        if (from.contains(record.id)) continue;
        TRY(const auto key, keys.find(record.lineage, record.key_generation));
        from[record.id] = {&record, m_core.keys.of(record, key), nullptr};
    }
    CHECK_OK(fetch(from, missing, deadline));
    for (const auto& each : missing) copy_block(*each.of, each.block, each.data.data);
    return {};
}

// The common case: everything is in memory, and nothing is allocated.
result<void> block_fetch::copy_cached(const std::vector<piece>& pieces, std::vector<gap>& missing) {
    for (const auto& p : pieces) {
        if (p.out.empty()) continue;
        CHECK_OK(check_range(*p.from, p.offset, p.out.size()));
        const auto last = (p.offset + p.out.size() - 1) / p.from->block_size;
        for (auto block = p.offset / p.from->block_size; block <= last; ++block) {
            if (const auto cached = m_core.on.blocks.memory().find({p.from->id, static_cast<std::uint32_t>(block)})) {
                copy_block(p, block, *cached);
                continue;
            }
            gap one;
            one.of = &p;
            one.block = block;
            const auto start = block * p.from->block_size;
            one.whole = p.offset <= start && p.offset + p.out.size() >= std::min(start + p.from->block_size, p.from->length);
            missing.push_back(std::move(one));
        }
    }
    return {};
}

// What failed on its way for somebody else, who may have begun long ago, is asked for once more.
result<void> block_fetch::fetch(sources& from, std::vector<gap>& missing, net::time_point deadline) {
    while (std::any_of(missing.begin(), missing.end(), [](const gap& each) { return !each.data; })) {
        if (auto* slow = m_core.on.blocks.slow()) {
            take_ahead(missing);
            look_behind(*slow, from, missing);
        }
        call mine;
        waiting_for guard(*this, missing, mine);
        join(missing, mine);
        bring_ours(from, missing, deadline);
        CHECK_OK(wait(missing, mine, deadline));
        guard.landed();
    }
    return {};
}

void block_fetch::take_ahead(std::vector<gap>& missing) {
    const std::lock_guard hold(m_mutex);
    for (auto& each : missing) {
        if (each.data) continue;
        take_ahead(each);
        each.under_way = !each.data && m_flights.contains(each.key());
    }
}

void block_fetch::take_ahead(gap& one) {
    if ((one.data = m_ahead.take(one.key())) && stays_in_memory(true, !one.whole)) keep_in_memory(one.key(), one.data);
}

// What is neither here nor on its way may be in the slow tier. Two who want the same may both look: that costs less than
// to agree on who does.
void block_fetch::look_behind(cache::sealed_cache& slow, const sources& from, std::vector<gap>& missing) {
    std::vector<gap*> wanted;
    for (auto& each : missing)
        if (!each.data && !each.under_way) wanted.push_back(&each);
    sort_by_place(wanted);
    for (auto at = wanted.begin(); at != wanted.end();) {
        const auto& of = *(*at)->of->from;
        const auto first = (*at)->block;
        auto end = at, last = at;
        const auto follows = [&](const gap& next) {
            return next.of->from->id == of.id && next.block <= (*last)->block + 1 && (next.block - first + 1) * of.block_size <= run_bytes_max;
        };
        while (++end != wanted.end() && follows(**end)) last = end;
        const slow_lookup look{&slow, &of, from.at(of.id).key, first, (*last)->block - first + 1};
        auto asked = ~std::uint64_t{0};
        for (auto& part : look()) {
            const auto plain = std::make_shared<plain_run>(std::move(part.plain));
            for (; at != end && (*at)->block < part.first + part.count; ++at) {
                if ((*at)->block < part.first) continue;
                (*at)->data = plain_block_of(plain, (*at)->block - part.first, of.block_size);
                const bool again = (*at)->block == asked;  // another piece of the same read
                asked = (*at)->block;
                if (!(*at)->whole || (!again && m_core.on.blocks.memory().wants((*at)->key()))) keep_in_memory((*at)->key(), (*at)->data);
            }
        }
        at = end;
    }
}

void block_fetch::join(std::vector<gap>& missing, call& mine) {
    const std::lock_guard hold(m_mutex);
    for (auto& each : missing)
        if (!each.data) join(each, mine);
}

void block_fetch::join(gap& one, call& mine) {
    const auto key = one.key();
    one.ours = false;
    one.trip = nullptr;
    take_ahead(one);
    if (one.data) return;
    const auto under_way = m_flights.find(key);
    if (under_way != m_flights.end()) {
        one.trip = under_way->second;
        one.trip->in_part = one.trip->in_part || !one.whole;
        if (one.trip->ahead_of) {
            one.trip->ahead_of.reset();
            m_ahead.release(one.trip->size, true);
            m_queue.hurry(key.segment, key.block);
        }
    } else {
        if (const auto there = m_core.on.blocks.memory().find(key)) {  // it landed a moment ago
            one.data = plain_block_of(std::make_shared<plain_run>(*there), 0, there->size());
            return;
        }
        one.trip = std::make_shared<flight>();
        one.ours = true;
        m_flights.emplace(key, one.trip);
    }
    one.trip->waiting.push_back(&mine);
    ++mine.missing;
}

void block_fetch::bring_ours(sources& from, std::vector<gap>& missing, net::time_point deadline) {
    std::vector<gap*> ours;
    for (auto& each : missing)
        if (each.ours && !each.data) ours.push_back(&each);
    sort_by_place(ours);
    std::vector<run> runs;
    for (auto* each : ours) {
        auto& of = from.at(each->of->from->id);
        if (!of.shared) of.shared = std::make_shared<const ledger::segment_record>(*of.record);
        run like;
        like.segment = of.shared;
        like.key = of.key;
        like.deadline = deadline;
        like.looked_behind = !each->under_way;  // it may have come to nothing since, and was not looked for
        extend(runs, like, each->block);
    }
    begin(std::move(runs));
}

// What somebody else failed to fetch has no data then, if there is time to ask again.
result<void> block_fetch::wait(std::vector<gap>& missing, call& mine, net::time_point deadline) {
    std::unique_lock hold(m_mutex);
    const bool landed = mine.landed.wait_until(hold, deadline + grace, [&mine] { return mine.missing == 0; });
    if (!landed) {
        const auto key = missing.front().key();
        return error(errc::timeout, "segment " + key.segment.brief() + " block " + std::to_string(key.block));
    }
    for (auto& each : missing) {
        if (each.data) continue;
        each.data = each.trip->data;
        if (!each.data && (each.ours || m_core.on.world.now() >= deadline)) return each.trip->why;
    }
    return {};
}

// ---- reading ahead ---------------------------------------------------------------------------------------

void block_fetch::read_ahead(const keyring& keys, const std::vector<coming>& what, stream_id of) {
    bool first = false;
    const auto now = m_core.on.world.now();
    {
        const std::lock_guard hold(m_mutex);
        std::vector<run> runs;
        std::map<segment_id, run> begun;  // pieces of few segments may come mixed
        bool room = true;
        for (const auto& each : what) {
            if (!room || each.length == 0 || !check_range(*each.from, each.offset, each.length)) break;
            auto& like = begun[each.from->id];
            if (!like.segment) {
                auto key = keys.find(each.from->lineage, each.from->key_generation);
                if (!key) break;
                like.segment = std::make_shared<const ledger::segment_record>(*each.from);
                like.key = m_core.keys.of(*each.from, *key);
                like.deadline = now + m_core.on.limits.read;
                like.ahead_of = of;
                like.of_stream = true;
            }
            const auto layout = layout_of(*each.from);
            const auto last = (each.offset + each.length - 1) / layout.block_size;
            for (auto block = each.offset / layout.block_size; block <= last; ++block) {
                const cache::block_key name{each.from->id, static_cast<std::uint32_t>(block)};
                if (m_flights.contains(name) || m_ahead.contains(name) || m_core.on.blocks.memory().contains(name)) continue;
                room = m_ahead.reserve(layout.plain_size(block), now);
                if (!room) break;
                auto trip = std::make_shared<flight>();
                trip->size = layout.plain_size(block);
                trip->ahead_of = of;
                trip->of_stream = true;
                m_flights.emplace(name, std::move(trip));
                extend(runs, like, block);
            }
        }
        // Under one lock with their flights: a read that joins one finds its run in the queue, and takes it out of what
        // is given up with the stream.
        first = push(std::move(runs));
    }
    if (first) m_tasks.spawn(start());
}

void block_fetch::give_up(stream_id of) {
    const std::lock_guard hold(m_mutex);
    m_ahead.drop(of);
    for (const auto& r : m_queue.drop(of))
        for (std::uint64_t i = 0; i < r.count; ++i) {
            const auto found = m_flights.find({r.segment->id, static_cast<std::uint32_t>(r.first + i)});
            if (found == m_flights.end() || found->second->ahead_of != of) continue;
            m_ahead.release(found->second->size, false);
            m_flights.erase(found);
        }
    for (auto& [key, trip] : m_flights)
        if (trip->ahead_of == of) trip->given_up = true;
}

// ---- runs ------------------------------------------------------------------------------------------------

void block_fetch::begin(std::vector<run> what) {
    std::erase_if(what, [this](const run& each) { return each.looked_behind && try_first(each, false); });
    enqueue(std::move(what));
}

// Whether it is under way to its holder. `counted`: it came from the queue, and its load is part of what is under way.
bool block_fetch::try_first(const run& what, bool counted) {
    if (what.before != first_outcome::none) return false;
    {
        const std::lock_guard hold(m_mutex);
        ++m_first_tries;
    }
    const auto answered = [this, what, counted](first_outcome how, result<opened_blocks> got) {
        auto of = what;
        of.before = how;
        tried(std::move(of), std::move(got), counted);
    };
    if (try_holder(m_core, what, answered)) return true;
    const std::lock_guard hold(m_mutex);
    if (--m_first_tries == 0) m_no_first_try.notify_all();
    return false;
}

void block_fetch::tried(run what, result<opened_blocks> got, bool counted) {
    if (got)
        land(what, from_network(what, std::move(*got)));
    else
        try_again(what, got.error());
    if (counted) finished(what);
    const std::lock_guard hold(m_mutex);
    if (--m_first_tries == 0) m_no_first_try.notify_all();
}

// By the long way, on which a liar is found out. What nobody waits for is given up instead.
void block_fetch::try_again(run what, const error& why) {
    bool wanted = false;
    {
        const std::lock_guard hold(m_mutex);
        for (std::uint64_t i = 0; i < what.count; ++i) {
            const auto found = m_flights.find({what.segment->id, static_cast<std::uint32_t>(what.first + i)});
            wanted = wanted || (found != m_flights.end() && !found->second->ahead_of);
        }
    }
    if (!wanted) return land(what, why);
    what.ahead_of.reset();
    enqueue({std::move(what)});
}

// They start a moment later, on the network's thread: what other threads add meanwhile goes out with them.
void block_fetch::enqueue(std::vector<run> what) {
    bool first = false;
    {
        const std::lock_guard hold(m_mutex);
        first = push(std::move(what));
    }
    if (first) m_tasks.spawn(start());
}

// True: start() is to be spawned.
bool block_fetch::push(std::vector<run> what) {
    if (what.empty()) return false;
    for (auto& each : what) m_queue.push(std::move(each));
    return !std::exchange(m_posted, true);
}

net::awaitable<void> block_fetch::start() {
    start_waiting();
    co_return;
}

void block_fetch::start_waiting() {
    std::vector<run> next;
    {
        const std::lock_guard hold(m_mutex);
        m_posted = false;
        while (m_load < load_max && !m_stopping) {
            auto one = m_queue.pop(m_load_ahead < load_max_ahead);
            if (!one) break;
            m_load += load_of(*one);
            if (one->ahead_of) m_load_ahead += load_of(*one);
            next.push_back(std::move(*one));
        }
    }
    for (auto& each : next) {
        auto* slow = each.looked_behind ? nullptr : m_core.on.blocks.slow();
        const bool look_behind = slow && (!each.of_stream || slow->may_hold(each.segment->id, static_cast<std::uint32_t>(each.first), static_cast<std::uint32_t>(each.count)));
        if (!look_behind && try_first(each, true)) continue;
        auto op = look_behind ? bring_from_slow(slow, std::move(each)) : bring(std::move(each));
        m_tasks.spawn_on(m_core.on.world.executor(), std::move(op));
    }
}

void block_fetch::finished(const run& what) {
    {
        const std::lock_guard hold(m_mutex);
        m_load -= load_of(what);
        if (what.ahead_of) m_load_ahead -= load_of(what);
        if (m_queue.empty()) return;
    }
    start_waiting();
}

// A run that its coroutine has not brought to its end, by an exception or a cancellation, fails.
struct block_fetch::unfinished {
    unfinished(block_fetch& in, const run& what) : m_in(in), m_what(what) {}
    unfinished(const unfinished&) = delete;
    unfinished& operator=(const unfinished&) = delete;
    ~unfinished() {
        if (!m_ended) m_in.land(m_what, error(errc::canceled, "read given up"));
        m_in.finished(m_what);
    }
    void end() { m_ended = true; }

private:
    block_fetch& m_in;
    const run& m_what;
    bool m_ended = false;
};

net::awaitable<void> block_fetch::bring(run what) {
    unfinished work(*this, what);
    auto with = m_core.reading();
    with.before = what.before;
    auto got = co_await read_blocks(with, what.segment, what.key, what.first, what.count, what.deadline);
    if (got)
        land(what, from_network(what, std::move(*got)));
    else
        land(what, got.error());
    work.end();
}

// The slow tier first, on a worker: it reads a disk.
net::awaitable<void> block_fetch::bring_from_slow(cache::sealed_cache* slow, run what) {
    unfinished ending(*this, what);
    const slow_lookup look{slow, what.segment.get(), what.key, what.first, what.count};
    auto work = net::offload(m_core.workers, look);
    auto found = co_await std::move(work);
    const auto rest = from_slow(what, found ? std::move(*found) : std::vector<stored>());
    auto with = m_core.reading();
    with.before = what.before;
    const auto requests = requests_for(rest);
    for (const auto& each : requests) {
        const auto& asked = each.whole;
        auto got = co_await read_blocks(with, asked.segment, asked.key, asked.first, asked.count, asked.deadline);
        land_holes(each, std::move(got));
    }
    ending.end();
}

// Of many holes, what lies between is asked for with them.
std::vector<block_fetch::request> block_fetch::requests_for(const std::vector<run>& holes) {
    std::vector<request> out;
    if (holes.size() > holes_max) {
        const auto begin = holes.front().first, end = holes.back().first + holes.back().count;
        out.push_back({part_of(holes.front(), begin, end - begin), holes});
    } else {
        for (const auto& each : holes) out.push_back({each, {each}});
    }
    return out;
}

// Not what lies between: by now that may be somebody else's to bring.
void block_fetch::land_holes(const request& of, result<opened_blocks> got) {
    if (!got) {
        for (const auto& each : of.holes) land(each, got.error());
        return;
    }
    auto plain = from_network(of.whole, std::move(*got));
    if (of.holes.size() == 1) return land(of.whole, std::move(plain));
    const std::uint64_t size = of.whole.segment->block_size;
    for (const auto& each : of.holes) {
        const auto from = byte_view(plain).subspan((each.first - of.whole.first) * size);
        land(each, to_bytes(from.first(std::min<std::uint64_t>(from.size(), each.count * size))));
    }
}

// Lands what was there, and lists what was not.
std::vector<run> block_fetch::from_slow(const run& of, std::vector<stored> parts) {
    std::vector<run> rest;
    auto missing = of;
    missing.looked_behind = true;
    auto at = of.first;
    for (auto& each : parts) {
        if (at < each.first) rest.push_back(part_of(missing, at, each.first - at));
        at = each.first + each.count;
        land(part_of(of, each.first, each.count), std::move(each.plain));
    }
    if (const auto end = of.first + of.count; at < end) rest.push_back(part_of(missing, at, end - at));
    return rest;
}

// What came over the network, its slow tier keeps, whoever asked for it.
bytes block_fetch::from_network(const run& of, opened_blocks got) {
    m_core.read_bytes.add(got.plain.size());
    auto* slow = m_core.on.blocks.slow();
    if (!slow) return std::move(got.plain);
    cache::sealed_run kept;
    kept.segment = of.segment->id;
    kept.first = static_cast<std::uint32_t>(of.first);
    kept.count = static_cast<std::uint32_t>(of.count);
    kept.block_size = static_cast<std::uint32_t>(layout_of(*of.segment).sealed_block());
    kept.data = std::make_shared<const bytes>(std::move(got.sealed));
    slow->insert(std::move(kept));
    return std::move(got.plain);
}

// What a stream reads in whole blocks passes by the memory if a slow tier keeps it: who reads it again finds it there.
bool block_fetch::stays_in_memory(bool of_stream, bool in_part) const { return !of_stream || in_part || !m_core.on.blocks.slow(); }

// A block that came alone as it is, one of many as a copy: it would hold the others' memory as well.
void block_fetch::keep_in_memory(const cache::block_key& key, const plain_block& what) {
    const bool alone = what.data.size() == what.of->data.size();
    m_core.on.blocks.memory().insert(key, alone ? cache::block(what.of, &what.of->data) : std::make_shared<const bytes>(to_bytes(what.data)));
}

void block_fetch::land(const run& of, result<bytes> got) {
    const auto now = m_core.on.world.now();
    const auto plain = got ? std::make_shared<plain_run>(std::move(*got)) : nullptr;
    const auto block_size = of.segment->block_size;
    std::vector<cache::block> copies;  // for the memory, made before everybody waits for the lock
    if (plain && of.count > 1 && !of.ahead_of && stays_in_memory(of.of_stream, false))
        for (std::uint64_t i = 0; i < of.count; ++i) copies.push_back(std::make_shared<const bytes>(to_bytes(plain_block_of(plain, i, block_size).data)));
    const std::lock_guard hold(m_mutex);
    for (std::uint64_t i = 0; i < of.count; ++i) {
        const cache::block_key key{of.segment->id, static_cast<std::uint32_t>(of.first + i)};
        const auto found = m_flights.find(key);
        if (found == m_flights.end()) continue;
        auto& trip = *found->second;
        if (plain)
            trip.data = plain_block_of(plain, i, block_size);
        else
            trip.why = got.error();
        if (!trip.ahead_of) {
            if (!copies.empty())
                m_core.on.blocks.memory().insert(key, copies[i]);
            else if (plain && stays_in_memory(trip.of_stream, trip.in_part))
                keep_in_memory(key, trip.data);
        } else if (plain && !trip.given_up) {
            m_ahead.add(key, trip.data, *trip.ahead_of, now);
        } else {
            m_ahead.release(trip.size, false);
        }
        settle(found);
    }
}

void block_fetch::settle(flights::iterator which) {
    for (auto* each : which->second->waiting)
        if (--each->missing == 0) each->landed.notify_one();
    m_flights.erase(which);
}

}  // namespace cess::layer
