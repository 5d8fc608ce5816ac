#include "scrubber.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::storage {
namespace {

constexpr double slices = 168;
constexpr net::duration pause_min = std::chrono::milliseconds(500);
constexpr net::duration pause_max = std::chrono::hours(1);
constexpr net::duration yield_step = std::chrono::milliseconds(10);
constexpr unsigned yields_max = 25;        // a busy miner is scrubbed all the same
constexpr std::uint32_t step_leaves = 16;  // 1 MiB at a time
constexpr std::size_t names_at_once = 256;
constexpr std::uint64_t slice_bytes_min = 256 * MiB;  // a small store is through at once, and its disk asleep for the rest

// Where in the order of ids, from 0 to 1.
double place_of(const scrub_progress& at) {
    if (at.fragments_done) return 1;
    const auto high = std::to_integer<unsigned>(at.cursor.segment.raw[0]) << 8 | std::to_integer<unsigned>(at.cursor.segment.raw[1]);
    return static_cast<double>(high) / 65536;
}

fault fault_of(const copy_name& name, fault_kind kind) {
    fault out;
    out.kind = static_cast<std::uint8_t>(kind);
    out.segment = name.segment;
    out.index = name.index;
    out.volume = name.volume;
    return out;
}

// What an error of opening or reading a copy says about the copy; nothing if it is about this process or machine.
std::optional<fault> blame(const copy_name& name, const error& why) {
    switch (why.code) {
    case errc::corrupt: return fault_of(name, fault_kind::header);
    case errc::out_of_range: return fault_of(name, fault_kind::length);
    case errc::not_found: return fault_of(name, fault_kind::missing);
    case errc::io: return fault_of(name, fault_kind::unreadable);
    default: return std::nullopt;
    }
}

// The check of one copy, a step at a time. Blocking.
class copy_check {
public:
    copy_check(store& on, const copy_name& name) : m_on(on), m_name(name) {}

    // Bytes read; 0 when there is nothing left to read.
    result<std::uint64_t> step() {
        if (std::exchange(m_opened, true)) return read();
        auto file = m_on.fragments.open_medium(m_name);
        if (!file) return fail(file.error());
        m_file = std::move(*file);
        gone = m_file == nullptr;
        return m_file ? read() : result<std::uint64_t>(0);
    }

    bool gone = false;  // deleted meanwhile
    std::optional<fault> found;
    [[nodiscard]] std::uint64_t length() const { return m_file ? m_file->length() : 0; }

private:
    result<std::uint64_t> read() {
        if (!m_file || found || m_next >= m_file->leaves()) return finish();
        auto got = m_file->check(m_next, step_leaves, m_bad);
        if (!got) return fail(got.error());
        m_next += step_leaves;
        return std::max<std::uint64_t>(*got, 1);
    }
    result<std::uint64_t> finish() {
        if (!m_bad.empty() && !found) {
            found = fault_of(m_name, fault_kind::leaves);
            found->leaves = std::move(m_bad);
        }
        return 0;
    }
    result<std::uint64_t> fail(const error& why) {
        found = blame(m_name, why);
        // Data that ends early, though the header was whole.
        if (found && m_file && why == errc::corrupt) found->kind = static_cast<std::uint8_t>(fault_kind::length);
        return found ? result<std::uint64_t>(0) : why;
    }

    store& m_on;
    const copy_name m_name;
    std::shared_ptr<const fragment_file> m_file;
    bool m_opened = false;
    std::uint32_t m_next = 0;
    std::vector<std::uint32_t> m_bad;
};

}  // namespace

// Sleeps after each step for as long as what it read takes at the bandwidth, and while requests are under way.
struct scrubber::pace {
    store& on;
    bool measured;
    std::uint64_t read = 0;

    net::awaitable<result<void>> after(std::uint64_t bytes) {
        read += bytes;
        if (!measured) co_return result<void>();
        const auto time = std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(on.how.scrub_bandwidth));
        CO_CHECK_OK(co_await on.on.world.sleep_for(std::chrono::duration_cast<net::duration>(time)));
        for (unsigned i = 0; i < yields_max && on.busy(); ++i) CO_CHECK_OK(co_await on.on.world.sleep_for(yield_step));
        co_return result<void>();
    }
};

result<void> scrubber::load() {
    for (const auto& name : m_on.faults.journals()) {
        bool damaged = m_on.journals->damaged(name);
        for (const auto file : m_on.journals->files(name)) {
            TRY(const auto found, m_on.journals->check(name, file));
            damaged |= found.damaged;
        }
        judge_journal(name, damaged);
    }
    publish();
    return {};
}

net::awaitable<void> scrubber::run(std::shared_ptr<store> alive) {
    auto& self = *alive->scrubbing;
    const auto& how = alive->how;
    const auto slice_time = std::chrono::duration_cast<net::duration>(how.scrub_period / slices);
    const auto pause_least = std::min(pause_min, how.scrub_period / 4);
    auto pause = std::clamp(slice_time, pause_least, net::duration(std::chrono::minutes(1)));
    for (;;) {
        const auto slept = co_await alive->on.world.sleep_for(pause);
        if (!slept || alive->tasks.stopping()) co_return;
        const auto done = co_await self.slice();
        if (!done && done.error() == errc::canceled) co_return;
        if (!done) log::warn("storage", "scrubbing stopped short, and goes on in the next slice: {}", done.error().message());
        const auto ahead = self.m_reached - self.elapsed();
        const auto until_due = std::chrono::duration_cast<net::duration>(std::chrono::duration<double>(how.scrub_period) * ahead);
        pause = done ? std::clamp(until_due, pause_least, std::max(pause_max, pause_least)) : std::max(slice_time, pause_least);
    }
}

// Up to one slice past what is due by now.
net::awaitable<result<void>> scrubber::slice() {
    if (std::exchange(m_running, true)) co_return error(errc::busy, "scrubbing is under way");
    struct guard {
        bool& flag;
        ~guard() { flag = false; }
    };
    const guard over{m_running};
    const auto at = m_on.faults.progress();
    if (at.fragments_done && elapsed() < 1) {  // this period's pass is done
        m_reached = 1;
        co_return result<void>();
    }
    if (at.started_s == 0 || at.fragments_done) start_pass();
    pace how{m_on, true};
    const auto place = std::min(1.0, elapsed() + 1 / slices);
    const auto done = co_await scrub_until(place, how);
    publish();
    auto saving = m_on.blocking([this] { return m_on.faults.save(); });
    CO_CHECK_OK(co_await std::move(saving));
    co_return done;
}

net::awaitable<result<void>> scrubber::whole_pass() {
    if (std::exchange(m_running, true)) co_return error(errc::busy, "scrubbing is under way");
    struct guard {
        bool& flag;
        ~guard() { flag = false; }
    };
    const guard over{m_running};
    start_pass();
    pace how{m_on, false};
    const auto done = co_await scrub_until(1, how);
    publish();
    auto saving = m_on.blocking([this] { return m_on.faults.save(); });
    CO_CHECK_OK(co_await std::move(saving));
    co_return done;
}

net::awaitable<result<void>> scrubber::scrub_until(double place, pace& how) {
    for (;;) {
        auto at = m_on.faults.progress();
        const auto names = m_on.fragments.after(at.cursor, names_at_once);
        for (const auto& name : names) {
            at.cursor = name;
            if (place < 1 && place_of(at) >= place && how.read >= slice_bytes_min) {
                m_reached = place;
                co_return result<void>();
            }
            CO_CHECK_OK(co_await scrub_fragment(name, how));
            m_on.faults.set(at);
        }
        if (!names.empty()) continue;
        CO_CHECK_OK(co_await scrub_journals(how));
        finish_pass();
        m_reached = 1;
        co_return result<void>();
    }
}

net::awaitable<result<void>> scrubber::scrub_fragment(copy_name name, pace& how) {
    const auto check = std::make_shared<copy_check>(m_on, name);
    for (;;) {
        auto step = m_on.blocking([check] { return check->step(); });
        CO_TRY(const auto got, co_await std::move(step));
        if (got == 0) break;
        m_on.count.scrubbed_bytes.add(got);
        CO_CHECK_OK(co_await how.after(got));
    }
    if (check->gone) co_return result<void>();
    m_on.count.scrubbed.add();
    judge(name, check->found);
    co_return result<void>();
}

net::awaitable<result<void>> scrubber::scrub_journals(pace& how) {
    for (const auto& name : m_on.journals->names()) {
        bool damaged = false;
        for (const auto file : m_on.journals->files(name)) {
            auto step = m_on.blocking([this, name, file] { return m_on.journals->check(name, file); });
            CO_TRY(const auto found, co_await std::move(step));
            damaged |= found.damaged;
            m_on.count.scrubbed_bytes.add(found.bytes);
            CO_CHECK_OK(co_await how.after(found.bytes));
        }
        judge_journal(name, damaged);
    }
    co_return result<void>();
}

result<verify_reply> scrubber::check(const fragment_ref& what) {
    const auto copies = m_on.fragments.copies_of(what);
    if (copies.empty()) return error(errc::not_found, "fragment " + what.segment.brief() + "/" + std::to_string(what.index));
    verify_reply out;
    for (const auto& name : copies) {
        copy_check one(m_on, name);
        for (;;) {
            TRY(const auto got, one.step());
            if (got == 0) break;
        }
        if (one.gone) continue;
        judge(name, one.found);
        out.sound |= !one.found;
        out.length = std::max(out.length, one.length());
    }
    publish();
    CHECK_OK(m_on.faults.save());
    return out;
}

// ---- what was found --------------------------------------------------------------------------------------

void scrubber::judge(const copy_name& name, std::optional<fault> what) {
    if (!what) {
        if (!m_on.faults.mended(name)) return;
        m_on.fragments.judged(name);
        log::info("storage", "fragment is sound again segment={} index={} volume={}", name.segment.hex(), name.index, name.volume.hex());
        return;
    }
    what->found_s = wall_s();
    if (!m_on.faults.note(*what)) return;
    m_on.fragments.judged(name);
    log::error("storage", "fragment is damaged segment={} index={} volume={} fault=\"{}\"", name.segment.hex(), name.index, name.volume.hex(),
               to_string(static_cast<fault_kind>(what->kind)));
}

void scrubber::judge_journal(const journal_ref& name, bool damaged) {
    if (!damaged) {
        (void)m_on.faults.mended(name);
        return;
    }
    fault what;
    what.kind = static_cast<std::uint8_t>(fault_kind::journal);
    what.volume = name.volume;
    what.term = name.term;
    what.found_s = wall_s();
    if (m_on.faults.note(std::move(what))) log::error("storage", "journal is damaged volume={} term={}", name.volume.hex(), name.term.value);
}

void scrubber::forget_dropped_journals() {
    for (const auto& name : m_on.faults.journals())
        if (!m_on.journals->holds(name)) (void)m_on.faults.mended(name);
}

// ---- where it is -----------------------------------------------------------------------------------------

std::uint64_t scrubber::wall_s() const {
    const auto since = std::chrono::duration_cast<std::chrono::seconds>(m_on.on.world.wall_now().time_since_epoch()).count();
    return since > 0 ? static_cast<std::uint64_t>(since) : 1;  // 0 says "never"
}

double scrubber::elapsed() const {
    const auto period = std::chrono::duration<double>(m_on.how.scrub_period).count();
    const auto started = m_on.faults.progress().started_s;
    const auto now = wall_s();
    if (started == 0 || now <= started || period <= 0) return 0;
    return static_cast<double>(now - started) / period;
}

void scrubber::start_pass() {
    auto at = m_on.faults.progress();
    at.started_s = wall_s();
    at.fragments_done = false;
    at.cursor = {};
    m_reached = 0;
    m_on.faults.set(at);
}

void scrubber::finish_pass() {
    auto at = m_on.faults.progress();
    at.fragments_done = true;
    at.last_pass_s = wall_s();
    ++at.passes;
    m_on.faults.set(at);
    m_on.count.scrub_passes.add();
    log::info("storage", "everything was read and checked pass={} faults={}", at.passes, m_on.faults.count());
}

void scrubber::publish() {
    forget_dropped_journals();
    const auto at = m_on.faults.progress();
    m_on.count.faults.set(static_cast<std::int64_t>(m_on.faults.count()));
    m_on.count.scrub_permille.set(static_cast<std::int64_t>(1000 * place_of(at)));
    m_on.count.scrub_last_pass.set(static_cast<std::int64_t>(at.last_pass_s));
}

health_reply scrubber::health() {
    publish();
    const auto at = m_on.faults.progress();
    health_reply out;
    out.scrub_period_s = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(m_on.how.scrub_period).count());
    if (m_on.how.scrub_period > net::duration::zero()) out.scrub_period_s = std::max<std::uint64_t>(out.scrub_period_s, 1);
    out.passes = at.passes;
    out.last_pass_s = at.last_pass_s;
    out.permille = static_cast<std::uint32_t>(1000 * place_of(at));
    out.faults = m_on.faults.count();
    out.listed = m_on.faults.list(listed_faults_max);
    return out;
}

}  // namespace cess::storage
