// Cuts, checkpoints, snapshots, upkeep and the end of an engine.
#include "engine.hpp"
#include "rocks.hpp"

#include <core/base/log.hpp>
#include <core/net/blocking.hpp>

namespace cess::volume {
namespace {

constexpr std::size_t dead_at_once_max = 2000;     // segments declared in one transaction
constexpr std::size_t clear_at_once = 2048;        // extents of a dropped blob in one batch
constexpr std::size_t waiting_heads_max = 8;
constexpr std::size_t waiting_snapshots_max = 512;
constexpr int closing_checkpoints_max = 8;
constexpr auto flush_patience = std::chrono::seconds(60);
constexpr auto snapshot_patience = std::chrono::seconds(2);
constexpr auto snapshot_pause = std::chrono::milliseconds(250);  // of writers, for what they wrote before to be stored
constexpr auto upkeep_period = std::chrono::milliseconds(500);
constexpr auto space_period = std::chrono::seconds(5);

using clock = std::chrono::steady_clock;

}  // namespace

result<void> begin_local_cut(store& state, segment_table& table, sequence_number at, cut& out) {
    out.at = at;
    // Of a replayed history the next change may be one that was placed before the cut, in a segment that seems dead here.
    out.segments = table.take_cut(at, out.replayed ? 0 : dead_at_once_max);
    rocksdb::WriteBatch batch;
    for (const auto& [ref, row] : out.segments.dirty) batch.Put(slice(row::segment_key(ref.lineage, ref.number)), slice(wire::encode(row)));
    for (const auto& ref : out.segments.gone) batch.Delete(slice(row::segment_key(ref.lineage, ref.number)));
    batch.Put(slice(row::one(row::position_kind)), slice(wire::encode(at)));
    CHECK_OK(state.write(batch));
    return state.begin_flush();
}

result<void> finish_local_cut(store& state, cut& out) {
    CHECK_OK(state.wait_flushed(flush_patience));
    return state.checkpoint_to(out.directory);
}

// Only one cuts or flushes at a time, and so owns the memtable's switch.
class engine::cut_role {
public:
    explicit cut_role(engine& of) : m_of(of) {
        std::unique_lock lock(m_of.m_state_mutex);
        m_held = m_of.m_state_changed.wait_for(lock, flush_patience * 2, [this] { return !m_of.m_cutting || m_of.m_stopping; });
        m_held = m_held && !m_of.m_cutting;
        if (m_held) m_of.m_cutting = true;
    }
    ~cut_role() {
        if (!m_held) return;
        {
            const std::lock_guard lock(m_of.m_state_mutex);
            m_of.m_cutting = false;
        }
        m_of.m_state_changed.notify_all();
    }
    cut_role(const cut_role&) = delete;
    cut_role& operator=(const cut_role&) = delete;
    explicit operator bool() const noexcept { return m_held; }

private:
    engine& m_of;
    bool m_held = false;
};

// REQUIRES: the role. What fails here leaves the counters of the cut half taken: the volume is done for.
result<cut> engine::make_cut(std::optional<snapshot_edit> snapshot) {
    const auto began = clock::now();
    cut out;
    out.snapshot = snapshot;
    out.directory = m_settings.directory + "/cut-" + std::to_string(++m_cut_number);
    const auto made = [&]() -> result<void> {
        {
            const std::lock_guard lock(m_apply);
            CHECK_OK(check_writable());
            if (snapshot) {
                applied_change change;
                change_record record;
                record.edits.emplace_back(*snapshot);
                change.at = {m_applied.load() + 1};
                change.when = clock::now();
                change.encoded = wire::encode(record);
                m_applied = change.at.value;
                m_journal->push(std::move(change));
            }
            m_pool->seal_open();
            if (snapshot) m_table->add_view(applied());
            else m_table->switch_staged(applied());
            CHECK_OK(begin_local_cut(*m_store, *m_table, applied(), out));
            m_journal->divide(out.at);
            m_last_cut = out.at.value;
            reach(m_settings.crashes, crash_point::cut_begun);
        }
        return finish_local_cut(*m_store, out);
    }();
    if (!made) {
        if (made.error().code != errc::canceled) fail(made.error());
        return made.error();
    }
    {
        const std::lock_guard lock(m_state_mutex);
        m_last_cut_at = clock::now();
    }
    reach(m_settings.crashes, crash_point::cut_made);
    m_cut_time.observe_us(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - began).count()));
    return out;
}

result<void> engine::cut_head(bool even_if_waiting) {
    if (!even_if_waiting && m_checkpointer->waiting()) return {};
    if (m_checkpointer->waiting() >= waiting_heads_max) return error(errc::exhausted, "checkpoints wait for consensus");
    const cut_role role(*this);
    if (!role) return error(errc::timeout, "local checkpoint");
    if (m_applied.load() == m_last_cut.load()) return {};
    TRY(auto made, make_cut({}));
    m_checkpointer->add(std::move(made));
    return {};
}

// A head that takes what was cleaned.
result<void> engine::cut_for_cleaning() {
    if (m_applied.load() == m_last_cut.load()) CHECK_OK(apply_nothing());
    return cut_head(false);
}

result<void> engine::clean() {
    CHECK_OK(check_writable());
    return m_cleaner->clean(std::chrono::minutes(10));
}

result<void> engine::flush_memtable() {
    const cut_role role(*this);
    if (!role) return error(errc::timeout, "flush of the local store");
    {
        const std::lock_guard lock(m_apply);
        if (m_store->memtable_bytes() < m_settings.memtable) return {};
        CHECK_OK(m_store->begin_flush());
    }
    return m_store->wait_flushed(flush_patience);
}

result<void> engine::checkpoint() {
    CHECK_OK(check_writable());
    if (m_applied.load() != m_last_cut.load()) CHECK_OK(cut_head(true));
    const auto& limits = m_layer.limits();
    return m_checkpointer->wait({m_last_cut.load()}, limits.put * 2 + limits.ledger * 4);
}

// ---- snapshots -------------------------------------------------------------------------------------------

result<void> engine::refresh_views() {
    std::map<std::string, snapshot_info> pending;
    std::uint64_t renames = 0;
    {
        const std::lock_guard lock(m_state_mutex);
        pending = m_pending;
        renames = m_renames;
    }
    const auto deadline = m_layer.world().now() + m_layer.limits().request;
    TRY(auto views, net::wait(m_layer.world(), m_layer.ledger().views(record().id, deadline)));
    const std::lock_guard lock(m_state_mutex);
    if (renames != m_renames) return {};  // it may show the old name
    // What was anchored while we asked may be missing in the answer, and is not to be forgotten.
    std::erase_if(m_anchored, [&](const auto& known) { return !pending.contains(known.first); });
    m_names.clear();
    for (const auto& [name, info] : m_anchored) m_names.insert(name);
    for (const auto& view : views) {
        m_names.insert(view.name);
        if (view.kind == ledger::view_kind::snapshot) m_anchored[view.name] = {view.name, view.created_unix, view.at.sequence, false, view.size};
    }
    for (const auto& [name, info] : m_pending) m_names.insert(name);
    m_names.insert(m_promised.begin(), m_promised.end());
    return {};
}

// One too many would be durable and never anchored.
result<void> engine::check_snapshot_room() {
    const auto full = [this] {
        const std::lock_guard lock(m_state_mutex);
        return m_names.size() >= ledger::limits::views_max;
    };
    if (!full()) return {};
    (void)refresh_views();  // some may have been deleted meanwhile
    if (!full()) return {};
    return error(errc::quota, "volume " + record().name + " has " + std::to_string(ledger::limits::views_max) + " snapshots, pending ones included; delete some");
}

// REQUIRES: check_snapshot_name() and check_snapshot_room() said yes. Others may have been quicker since.
result<void> engine::claim_name(const std::string& name) {
    const std::lock_guard lock(m_state_mutex);
    if (m_names.size() >= ledger::limits::views_max) return error(errc::quota, "volume " + record().name + " has too many snapshots; delete some");
    if (!m_names.insert(name).second) return error(errc::exists, "snapshot " + record().name + "@" + name);
    return {};
}

result<void> engine::check_snapshot_name(const std::string& name) {
    if (!valid_name(name)) return error(errc::invalid, "snapshot name must be [a-z0-9][a-z0-9.-]{0,62} without '..'");
    {
        const std::lock_guard lock(m_state_mutex);
        if (!m_names.contains(name)) return {};
    }
    // Taken as far as we know; it may have been deleted meanwhile.
    (void)refresh_views();
    const std::lock_guard lock(m_state_mutex);
    if (m_names.contains(name)) return error(errc::exists, "snapshot " + record().name + "@" + name);
    return {};
}

result<void> engine::create_snapshot(const std::string& name) {
    CHECK_OK(check_writable());
    CHECK_OK(check_snapshot_name(name));
    CHECK_OK(check_snapshot_room());
    if (m_checkpointer->waiting() >= waiting_snapshots_max) return error(errc::exhausted, "snapshots wait for consensus");
    const auto now = m_layer.world().wall_now().time_since_epoch();
    snapshot_edit edit{name, static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count()), record().size};
    sequence_number at;
    std::uint64_t placed = 0;
    bool much = false;
    std::optional<buffer_pool::pause> quiet;
    {
        const cut_role role(*this);
        if (!role) return error(errc::timeout, "local checkpoint of the snapshot");
        CHECK_OK(claim_name(name));
        much = m_journal->payload_exceeds(payload_much(), applied());
        if (much) quiet.emplace(*m_pool, snapshot_pause);
        placed = m_pool->placed();
        auto made = make_cut(edit);
        if (!made) {
            const std::lock_guard lock(m_state_mutex);
            m_names.erase(name);
            return made.error();
        }
        at = made->at;
        {
            const std::lock_guard lock(m_state_mutex);
            m_pending[name] = {name, edit.created_unix, at, true, edit.size};
        }
        m_checkpointer->add(std::move(*made));
    }
    reach(m_settings.crashes, crash_point::snapshot_cut);
    // What nobody has synced is on its way to the miners in segments: journaling all of it as well would take longer.
    if (much) m_pool->settle(placed, payload_much(), snapshot_patience);
    quiet.reset();
    return m_journal->sync_stored(at);
}

void engine::snapshot_settled(const std::string& name, bool anchored) {
    const std::lock_guard lock(m_state_mutex);
    const auto it = m_pending.find(name);
    if (it == m_pending.end()) return;
    m_table->settle_view(it->second.at);
    if (anchored) {
        auto info = it->second;
        info.pending = false;
        m_anchored[name] = info;
    } else {
        m_names.erase(name);
    }
    m_pending.erase(it);
}

result<std::vector<snapshot_info>> engine::snapshots() {
    CHECK_OK(check_readable());
    const auto asked = refresh_views();  // while consensus is down: as last seen
    const std::lock_guard lock(m_state_mutex);
    if (!asked && m_anchored.empty() && m_names.size() > m_pending.size()) return asked.error();  // not seen since it was opened
    std::vector<snapshot_info> out;
    for (const auto& [name, info] : m_anchored)
        if (!m_pending.contains(name)) out.push_back(info);
    for (const auto& [name, info] : m_pending) out.push_back(info);
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
    return out;
}

result<void> engine::resize(std::uint64_t size) {
    CHECK_OK(check_writable());
    const auto& now = record();
    if (size == 0 && now.type == ledger::volume_type::block) return error(errc::invalid, "a block device of no size");
    if (size > ledger::limits::volume_size_max) return error(errc::invalid, "size above " + format_size(ledger::limits::volume_size_max));
    if (now.type != ledger::volume_type::block && size != 0 && size < m_table->logical())
        return error(errc::no_space, "volume " + now.name + " already holds " + format_size(m_table->logical()));
    const auto deadline = m_layer.world().now() + m_layer.limits().ledger;
    ledger::resize_volume what;
    what.volume = now.id;
    what.size = size;
    CHECK_OK(net::wait(m_layer.world(), m_layer.ledger().submit(m_who, std::move(what), deadline)));
    const std::lock_guard lock(m_state_mutex);
    auto next = std::make_unique<ledger::volume_record>(*m_records.back());
    next->size = size;
    m_records.push_back(std::move(next));
    m_record = m_records.back().get();
    return {};
}

// ---- upkeep ----------------------------------------------------------------------------------------------

void engine::wake_upkeep() {
    {
        const std::lock_guard lock(m_state_mutex);
        if (m_wanted) return;
        m_wanted = true;
    }
    m_state_changed.notify_all();
}

void engine::upkeep() {
    auto next_space = clock::time_point{};
    std::unique_lock lock(m_state_mutex);
    while (!m_stopping) {
        m_state_changed.wait_for(lock, upkeep_period, [this] { return m_stopping || m_wanted || (m_failed && m_tell); });
        if (m_stopping) break;
        m_wanted = false;
        if (m_failed) {
            const auto tell = std::exchange(m_tell, nullptr);
            const auto why = *m_failed;
            lock.unlock();
            if (tell) tell(why);
            lock.lock();
            continue;
        }
        lock.unlock();
        upkeep_step();
        if (clock::now() >= next_space) {
            const bool ahead = m_space->keep_ahead();
            if (m_free_asked.exchange(false)) refresh_network_free();
            next_space = clock::now() + (ahead ? space_period : space_period * 6);  // an absent ledger costs this thread its deadline
        }
        lock.lock();
    }
}

void engine::upkeep_step() {
    if (m_store->memtable_bytes() >= m_settings.memtable)
        if (auto flushed = flush_memtable(); !flushed && flushed.error().code != errc::timeout) return fail(flushed.error());
    // Clearing reads under the apply lock: not while what it reads may have to come from the network.
    if (!m_store->incomplete() && m_dropped.exchange(false))
        if (auto cleared = clear_dropped(); !cleared && cleared.error().code != errc::canceled) return fail(cleared.error());
    const bool idle = [this] {
        const std::lock_guard lock(m_state_mutex);
        return clock::now() - m_last_cut_at >= m_settings.checkpoint_idle;
    }();
    bool dirty = m_applied.load() != m_last_cut.load();
    // A root whose end was learned late trimmed nothing. Another one does, or a full journal would stay full for ever.
    if (!dirty && idle && m_holder->journal_bytes() >= m_settings.journal_checkpoint && !m_checkpointer->waiting()) dirty = apply_nothing().has_value();
    if (!dirty || !(idle || m_space_wanted.exchange(false) || m_holder->journal_bytes() >= m_settings.journal_checkpoint)) return;
    if (auto made = cut_head(false); !made) log::warn("volume", "no checkpoint volume={} error={}", record().name, made.error().message());
}

// Removes the extents of dropped blobs, a bounded batch at a time; others write in between.
result<void> engine::clear_dropped() {
    TRY(auto rows, m_store->scan(row::one(row::dropped_kind), {}, 64, 1));
    for (const auto& each : rows) {
        if (each.key.size() != 12) return error(errc::corrupt, "dropped row of the wrong size");
        const auto blob = row::big_endian(each.key);
        const auto generation = row::big_endian32(byte_view(each.key).subspan(8));
        for (bool done = false; !done;) {
            const std::lock_guard lock(m_apply);
            CHECK_OK(check_writable());
            executor run(*m_store, *m_table, 1, applied().next());
            TRY(done, run.clear_dropped(blob, generation, clear_at_once));
            CHECK_OK(m_store->write(run.batch()));
            // After the last change, so that a view of that change still counts them in.
            m_table->commit(run.deltas(), applied().next());
            m_cleaner->bury(run.buried());
            if (m_store->memtable_bytes() >= m_settings.memtable) break;
        }
    }
    if (rows.empty()) return {};
    m_dropped = true;
    wake_upkeep();
    return apply_nothing();  // a change after it, so that the next root may declare what was emptied
}

void engine::refresh_network_free() {
    const auto deadline = m_layer.world().now() + m_layer.limits().request;
    auto read = net::wait(m_layer.world(), m_layer.ledger().read(ledger::key::totals(), deadline));
    if (!read || !read->value) return;
    const auto totals = wire::decode<ledger::totals_record>(*read->value);
    if (!totals) return;
    const auto shape = record().geometry;
    m_network_free = (totals->available() + m_holder->reservation_left()) / (std::uint64_t{shape.k} + shape.m) * shape.k;
}

// ---- the end ---------------------------------------------------------------------------------------------

result<void> engine::close() {
    {
        const std::lock_guard lock(m_state_mutex);
        if (m_closing) return error(errc::canceled, "volume is closed");
    }
    result<void> synced = sync();
    result<void> anchored;
    // A snapshot that came while the checkpoint went on would be known to the journal only, and to nobody until the
    // volume is opened again: it gets its checkpoint, too.
    for (int left = closing_checkpoints_max; !m_closing; --left) {
        if (synced && (m_applied.load() != m_last_cut.load() || m_checkpointer->waiting())) anchored = checkpoint();
        const cut_role role(*this);           // no snapshot is half made
        const std::lock_guard lock(m_apply);  // no apply is half done
        const std::lock_guard state(m_state_mutex);
        m_closing = left == 0 || !synced || !anchored || !role || (m_applied.load() == m_last_cut.load() && m_pending.empty());
    }
    if (synced) synced = m_journal->sync_stored(applied());  // of writers that came in between, and of what went behind
    if (!anchored) log::warn("volume", "closed before the last checkpoint was final, its journal holds the rest volume={} error={}", record().name, anchored.error().message());
    stop_threads();  // before the lease goes: nobody may append or store any more
    if (m_local && synced)  // what may still be on its way holds no change
        if (auto cleared = m_local->clear(); !cleared) log::warn("volume", "local journal's files stay error={}", cleared.error().message());
    if (m_local && !synced && !m_local->empty())
        synced = error(synced.error().code, synced.error().what + "; what is not at the miners is kept in " + m_settings.local_directory + " for when the volume is next opened on this machine");
    result<void> released;
    if (!m_has_failed) released = m_holder->release();
    {
        const std::lock_guard lock(m_state_mutex);
        m_closed = true;
        m_unreadable = true;
    }
    if (!synced) return synced.error();
    if (!released) log::warn("volume", "lease not released, the next owner waits for silence volume={} error={}", record().name, released.error().message());
    return {};
}

}  // namespace cess::volume
