#include "journal_store.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::storage {

struct journal_store::commit_task final : net::worker_pool::task {
    commit_task(std::shared_ptr<journal_store> s, lane_ptr l) : store(std::move(s)), on(std::move(l)) {}
    void run() noexcept override {
        while (store->commit_once(*on)) {
            // Behind the others' work, so that a busy journal does not keep a worker to itself.
            std::unique_ptr<net::worker_pool::task> next = std::make_unique<commit_task>(store, on);
            if (store->m_how.workers->submit(next)) return;
        }
    }
    const std::shared_ptr<journal_store> store;
    const lane_ptr on;
};

journal::setting journal_store::setting_of(const journal_ref& name) const {
    return {m_how.disk, m_how.space, m_how.spares, m_how.random, m_how.paths.journal(name), name, m_how.limits.journal_file_size, m_how.synced};
}

result<void> journal_store::load() {
    TRY(const auto entries, m_how.disk.list(m_how.paths.journals()));
    for (const auto& entry : entries) {
        const auto name = parse_journal_name(entry.name);
        if (!name || !entry.is_directory) {
            log::warn("storage", "not a journal, left alone path={}/{}", m_how.paths.journals(), entry.name);
            continue;
        }
        auto made = std::make_shared<lane>(setting_of(*name));
        CHECK_OK(made->log.load());
        const std::lock_guard lock(m_mutex);
        m_lanes.emplace(*name, std::move(made));
    }
    return {};
}

journal_store::lane_ptr journal_store::find(const journal_ref& name) const {
    const std::lock_guard lock(m_mutex);
    const auto at = m_lanes.find(name);
    return at == m_lanes.end() ? nullptr : at->second;
}

result<journal_store::lane_ptr> journal_store::find_or_make(const journal_ref& name) {
    const std::lock_guard lock(m_mutex);
    if (const auto at = m_lanes.find(name); at != m_lanes.end()) return at->second;
    const auto first = m_lanes.lower_bound({name.volume, {}});
    const auto same = [&](const auto& l) { return l.first.volume == name.volume; };
    std::size_t journals = 0;
    for (auto at = first; at != m_lanes.end() && same(*at); ++at) ++journals;
    if (journals >= m_how.limits.journals_per_volume_max) return error(errc::exhausted, "this miner has as many journals of the volume as it takes");
    auto made = std::make_shared<lane>(setting_of(name));
    m_lanes.emplace(name, made);
    return made;
}

result<void> journal_store::append(journal::pending what) {
    TRY(auto on, find_or_make(what.what.journal));
    const auto size = what.body.size() + 4 * what.what.lengths.size();
    {
        const std::lock_guard lock(m_mutex);
        if (m_closed) return error(errc::canceled, "the miner is stopping");
        if (size > m_how.limits.append_queue_bytes_max - std::min(m_queued_bytes, m_how.limits.append_queue_bytes_max))
            return error(errc::exhausted, "too many bytes wait to be appended at this miner");
    }
    {
        const std::lock_guard lock(on->mutex);
        if (on->queue.size() >= m_how.limits.append_queue_max) return error(errc::exhausted, "too many appends wait in one journal");
        on->queue.push_back(std::move(what));
        {
            const std::lock_guard count_lock(m_mutex);
            m_queued_bytes += size;
        }
        if (std::exchange(on->committing, true)) return {};
    }
    start(std::move(on));
    return {};
}

void journal_store::start(lane_ptr on) {
    if (!m_how.workers) {
        while (commit_once(*on)) {}
        return;
    }
    std::unique_ptr<net::worker_pool::task> task = std::make_unique<commit_task>(shared_from_this(), on);
    auto taken = m_how.workers->submit(task);
    if (!taken) fail_queue(*on, taken.error());
}

bool journal_store::commit_once(lane& on) {
    std::vector<journal::pending> batch;
    {
        const std::lock_guard lock(on.mutex);
        if (on.queue.empty()) {
            on.committing = false;
            return false;
        }
        batch.swap(on.queue);
    }
    std::uint64_t size = 0;
    for (const auto& p : batch) size += p.body.size() + 4 * p.what.lengths.size();
    const auto volume = batch.front().what.journal.volume;
    on.log.commit(batch, [&] { return m_how.leases.fence_of(volume); });
    {
        const std::lock_guard lock(m_mutex);
        m_queued_bytes -= size;
    }
    if (m_how.committed) m_how.committed(batch.size());
    for (auto& p : batch) p.done(p);
    // As a rule nobody has queued anything meanwhile: then no worker is woken only to see that.
    const std::lock_guard lock(on.mutex);
    on.committing = !on.queue.empty();
    return on.committing;
}

void journal_store::fail_queue(lane& on, const error& why) {
    std::vector<journal::pending> batch;
    {
        const std::lock_guard lock(on.mutex);
        batch.swap(on.queue);
        on.committing = false;
    }
    for (auto& p : batch) {
        {
            const std::lock_guard lock(m_mutex);
            m_queued_bytes -= p.body.size() + 4 * p.what.lengths.size();
        }
        p.answer = why;
        p.done(p);
    }
}

result<journal::position> journal_store::state(const journal_ref& name) {
    const auto on = find(name);
    if (!on) return journal::position{};
    return on->log.state();
}

result<journal_read_reply> journal_store::read(const journal_read_request& what, bytes& body) {
    const auto on = find(what.journal);
    if (on) return on->log.read(what.from, what.bytes_max, body);
    if (what.from != entry_index{}) return error(errc::out_of_range, "the journal is empty");
    return journal_read_reply{};
}

result<void> journal_store::trim(const known_volume& volume) {
    std::vector<std::pair<journal_ref, lane_ptr>> mine;
    {
        const std::lock_guard lock(m_mutex);
        for (auto at = m_lanes.lower_bound({volume.volume, {}}); at != m_lanes.end() && at->first.volume == volume.volume; ++at) mine.push_back(*at);
    }
    for (const auto& [name, on] : mine) {
        const bool dead = volume.journal_dead(name.term);
        if (dead) CHECK_OK(drop(name));
        if (!dead && name.term == volume.head_term) CHECK_OK(on->log.trim(volume.journal_base));
    }
    return {};
}

// Out of sight with one rename; what a crash leaves of it in tmp goes at the next start.
result<void> journal_store::drop(const journal_ref& name) {
    std::string doomed;
    lane_ptr on;
    {
        const std::lock_guard lock(m_mutex);
        const auto at = m_lanes.find(name);
        if (at == m_lanes.end()) return {};
        on = std::move(at->second);
        m_lanes.erase(at);
        doomed = m_how.paths.unfinished() + "/journal-" + hex_number(m_dropped++);
    }
    on->log.abandon();
    const auto path = m_how.paths.journal(name);
    log::info("storage", "journal dropped volume={} term={}", name.volume.brief(), name.term.value);
    if (!m_how.disk.exists(path)) return {};
    CHECK_OK(m_how.disk.rename(path, doomed));
    CHECK_OK(m_how.disk.sync_directory(m_how.paths.journals()));
    return remove_tree(m_how.disk, doomed);
}

std::vector<journal_ref> journal_store::names() const {
    const std::lock_guard lock(m_mutex);
    std::vector<journal_ref> out;
    for (const auto& [name, on] : m_lanes) out.push_back(name);
    return out;
}

std::vector<entry_index> journal_store::files(const journal_ref& name) {
    const auto on = find(name);
    return on ? on->log.files() : std::vector<entry_index>();
}

result<journal::verdict> journal_store::check(const journal_ref& name, entry_index file) {
    const auto on = find(name);
    return on ? on->log.check(file) : journal::verdict();
}

bool journal_store::damaged(const journal_ref& name) {
    const auto on = find(name);
    return on && on->log.damaged();
}

std::size_t journal_store::count() const {
    const std::lock_guard lock(m_mutex);
    return m_lanes.size();
}

std::vector<volume_id> journal_store::volumes() const {
    const std::lock_guard lock(m_mutex);
    std::vector<volume_id> out;
    for (const auto& [name, on] : m_lanes)
        if (out.empty() || out.back() != name.volume) out.push_back(name.volume);
    return out;
}

void journal_store::close() {
    const std::lock_guard lock(m_mutex);
    m_closed = true;
}

}  // namespace cess::storage
