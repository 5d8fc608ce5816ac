#include "sweeper.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::storage {
namespace {

constexpr std::size_t freed_batches_max = 64;
constexpr std::size_t suspects_max = 4096;
constexpr std::size_t journal_volumes_a_round = 4;
constexpr auto ledger_deadline = std::chrono::seconds(10);

struct cursor_record {
    static constexpr std::uint8_t wire_version = 1;
    ledger::freed_cursor cursor;
    template <class S, class C> static void describe(S& s, C& c) { c(s.cursor); }
};

}  // namespace

result<void> sweeper::load() {
    const store_paths paths(m_on.how.directory);
    if (!m_on.on.disk.exists(paths.cursor())) return {};
    TRY(const auto known, read_record<cursor_record>(m_on.on.disk, paths.cursor()));
    m_polled = m_remembered = known.cursor;
    return {};
}

std::size_t sweeper::backlog() const {
    const std::lock_guard lock(m_mutex);
    std::size_t n = 0;
    for (const auto& batch : m_freed) n += batch.segments.size();
    return n;
}

result<void> sweeper::learn_freed(std::vector<std::pair<segment_id, volume_id>> segments, net::time_point now) {
    // With a ledger to ask, every freed segment is found there: what strangers send can then not crowd it out.
    if (m_on.on.ledger) return {};
    const std::lock_guard lock(m_mutex);
    if (m_freed.size() >= freed_batches_max) return error(errc::exhausted, "too many freed segments wait for their horizon");
    m_freed.push_back({std::move(segments), std::nullopt, now});
    return {};
}

net::awaitable<void> sweeper::run(std::shared_ptr<store> alive) {
    auto& self = *alive->sweeping;
    for (;;) {
        const auto slept = co_await alive->on.world.sleep_for(alive->how.limits.sweep_interval);
        if (!slept || alive->tasks.stopping()) co_return;
        const auto swept = co_await self.round();
        if (swept) continue;
        alive->count.sweep_failures.add();
        log::debug("storage", "sweep failed: {}", swept.error().message());
    }
}

net::awaitable<result<void>> sweeper::round() {
    if (std::exchange(m_running, true)) co_return error(errc::busy, "a sweep is under way");
    struct guard {
        bool& flag;
        ~guard() { flag = false; }
    };
    const guard over{m_running};
    m_on.incoming.expire(m_on.on.world.now());
    result<void> polled;
    if (m_on.on.ledger) polled = co_await poll_freed();
    auto deleting = m_on.blocking([this] { return delete_freed(); });
    const auto deleted = co_await std::move(deleting);
    result<void> checked;
    if (m_on.on.ledger) checked = co_await check_provisional();
    result<void> trimmed;
    if (m_on.on.ledger) trimmed = co_await check_journals();
    m_on.count.sweeps.add();
    m_on.count.sweep_backlog.set(static_cast<std::int64_t>(backlog() + m_suspects.size()));
    m_on.publish_status();
    CO_CHECK_OK(polled);
    CO_CHECK_OK(deleted);
    CO_CHECK_OK(checked);
    co_return trimmed;
}

net::awaitable<result<ledger::proved_record>> sweeper::read(bytes key) {
    const auto deadline = m_on.on.world.now() + ledger_deadline;
    co_return co_await m_on.on.ledger->read(std::move(key), deadline);
}

// ---- freed segments --------------------------------------------------------------------------------------

net::awaitable<result<void>> sweeper::poll_freed() {
    for (;;) {
        {
            const std::lock_guard lock(m_mutex);
            if (m_freed.size() >= freed_batches_max) co_return result<void>();
        }
        const auto deadline = m_on.on.world.now() + ledger_deadline;
        CO_TRY(const auto page, co_await m_on.on.ledger->freed_for(m_on.how.self, m_polled, deadline));
        if (page.records.empty()) co_return result<void>();
        CO_CHECK_OK(learn_page(page));
        if (page.next <= m_polled) co_return error(errc::protocol, "the ledger's list of freed segments does not move on");
        m_polled = page.next;
    }
}

result<void> sweeper::learn_page(const chain::client::freed_page& page) {
    freed_batch batch;
    batch.next = page.next;
    batch.seen = m_on.on.world.now();
    for (const auto& record : page.records) {
        TRY(const auto value, m_on.leases.check(record));
        if (!value) continue;  // the segment is not freed
        TRY(const auto freed, wire::decode<ledger::freed_record>(*value));
        if (!equal(record.key, ledger::key::freed(freed.lineage, freed.id))) return error(errc::invalid, "the record is about another segment");
        batch.segments.emplace_back(freed.id, freed.lineage);
    }
    const std::lock_guard lock(m_mutex);
    m_freed.push_back(std::move(batch));
    return {};
}

// The cursor is remembered only when everything before it is durably deleted: after a restart nothing is missed.
result<void> sweeper::delete_freed() {
    const auto now = m_on.on.world.now();
    std::size_t left = m_on.how.limits.sweep_batch;
    for (;;) {
        std::pair<segment_id, volume_id> doomed;
        std::optional<ledger::freed_cursor> finished;
        {
            const std::lock_guard lock(m_mutex);
            if (m_freed.empty() || now - m_freed.front().seen < m_on.how.free_horizon) return {};
            auto& batch = m_freed.front();
            if (batch.segments.empty()) {
                finished = batch.next;
                m_freed.pop_front();
            } else if (left-- == 0) {
                return {};
            } else {
                doomed = batch.segments.back();
            }
        }
        if (finished) {
            const cursor_record record{*finished};
            CHECK_OK(write_checked(m_on.on.disk, store_paths(m_on.how.directory).cursor(), wire::encode(record)));
            m_remembered = *finished;
        }
        if (doomed.first.is_zero()) continue;
        TRY(const auto removed, m_on.fragments.remove_all(doomed.first, doomed.second));
        m_on.count.freed.add(removed);
        const std::lock_guard lock(m_mutex);
        m_freed.front().segments.pop_back();  // only this round removes from the front
    }
}

// ---- provisional fragments -------------------------------------------------------------------------------

net::awaitable<result<void>> sweeper::check_provisional() {
    if (m_suspects.empty()) {
        const auto found = m_on.fragments.provisional(m_cursor, suspects_max);
        m_suspects.assign(found.begin(), found.end());
        m_seen = m_on.on.world.now();
    }
    if (m_on.on.world.now() - m_seen < m_on.how.limits.provisional_check_age) co_return result<void>();
    for (auto left = m_on.how.limits.sweep_batch; left > 0 && !m_suspects.empty(); --left) {
        const auto suspect = m_suspects.front();
        m_suspects.pop_front();
        CO_CHECK_OK(co_await check_one(suspect));
    }
    co_return result<void>();
}

// First the volume, then the segment: once a root of a higher term is final, nobody can add segments under the old
// one, so an absence certified after that is for ever.
net::awaitable<result<void>> sweeper::check_one(provisional_segment what) {
    CO_TRY(auto volume_record, co_await read(ledger::key::volume(what.tag.volume)));
    CO_TRY(auto segment_record, co_await read(ledger::key::segment_by_id(what.tag.volume, what.segment)));
    const auto volume = m_on.leases.learn(volume_record);
    if (!volume) co_return volume.error();
    const auto listed = m_on.leases.check(segment_record);
    if (!listed) co_return listed.error();
    if (!equal(segment_record.key, ledger::key::segment_by_id(what.tag.volume, what.segment))) co_return error(errc::protocol, "the ledger answered about another segment");
    if (*listed) {
        CO_TRY(const auto ref, wire::decode<ledger::segment_ref>(**listed));
        co_return co_await check_listed(what, ref);
    }
    // Not than what was read: others may have brought a newer record meanwhile, whose root may list the segment.
    const bool later = segment_record.certificate.body.height >= volume->height;
    const bool unneeded = volume->gone || volume->head_term > what.tag.term;
    if (!later || !unneeded) co_return result<void>();
    auto removing = m_on.blocking([this, what] { return m_on.fragments.remove_provisional(what.segment, what.tag); });
    CO_TRY(const auto removed, co_await std::move(removing));
    m_on.count.orphaned.add(removed);
    co_return result<void>();
}

// The ledger lists the segment: here, or at another miner because this one was too slow for the writer.
net::awaitable<result<void>> sweeper::check_listed(provisional_segment what, ledger::segment_ref listed) {
    CO_TRY(auto record, co_await read(ledger::key::segment(listed.lineage, listed.number)));
    auto found = m_on.leases.check(record);
    if (!found) co_return found.error();
    if (!*found || !equal(record.key, ledger::key::segment(listed.lineage, listed.number))) co_return result<void>();  // freed meanwhile
    CO_TRY(const auto segment, wire::decode<ledger::segment_record>(**found));
    if (segment.id != what.segment) co_return result<void>();
    const bool ours = std::find(segment.holders.begin(), segment.holders.end(), m_on.how.self) != segment.holders.end();
    if (ours) {
        auto settling = m_on.blocking([this, what] { return m_on.fragments.commit(what.segment, what.tag.volume); });
        CO_CHECK_OK(co_await std::move(settling));
        m_on.count.settled.add();
        co_return result<void>();
    }
    auto removing = m_on.blocking([this, what] { return m_on.fragments.remove_provisional(what.segment, what.tag); });
    CO_TRY(const auto removed, co_await std::move(removing));
    m_on.count.orphaned.add(removed);
    co_return result<void>();
}

// ---- journals --------------------------------------------------------------------------------------------

// Owners trim at the members they know; what they could not reach, or left for good, is found here.
net::awaitable<result<void>> sweeper::check_journals() {
    const auto now = m_on.on.world.now();
    const auto volumes = m_on.journals->volumes();
    std::erase_if(m_journals_checked, [&](const auto& entry) { return !std::binary_search(volumes.begin(), volumes.end(), entry.first); });
    std::size_t left = journal_volumes_a_round;
    for (const auto& volume : volumes) {
        const auto [at, fresh] = m_journals_checked.emplace(volume, now);
        if (now - at->second < m_on.how.limits.provisional_check_age) continue;
        if (left-- == 0) break;
        at->second = now;
        CO_TRY(auto record, co_await read(ledger::key::volume(volume)));
        const auto known = m_on.leases.learn(record);
        if (!known) co_return known.error();
        auto trimming = m_on.blocking([this, volume_now = *known] { return m_on.journals->trim(volume_now); });
        CO_CHECK_OK(co_await std::move(trimming));
    }
    co_return result<void>();
}

}  // namespace cess::storage
