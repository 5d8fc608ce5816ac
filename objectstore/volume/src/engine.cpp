#include "engine.hpp"

#include "rocks.hpp"

#include <core/base/log.hpp>

namespace cess::volume {
namespace {

constexpr std::size_t user_key_max = 64 * KiB;
constexpr auto settle_patience = std::chrono::milliseconds(200);  // of a sync, for segments
constexpr auto settle_look = std::chrono::milliseconds(10);
constexpr std::uint64_t memtable_hard_factor = 12;  // below the 16 at which RocksDB would switch memtables by itself

std::uint64_t since_us(std::chrono::steady_clock::time_point when) {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - when).count());
}

std::string label_of(const ledger::volume_record& record) { return "volume=\"" + record.name + "\""; }

}  // namespace

class engine::foreground {
public:
    explicit foreground(engine& of) : m_of(of) { m_of.m_foreground.fetch_add(1, std::memory_order_relaxed); }
    ~foreground() { m_of.m_foreground.fetch_sub(1, std::memory_order_relaxed); }
    foreground(const foreground&) = delete;
    foreground& operator=(const foreground&) = delete;

private:
    engine& m_of;
};

engine::engine(layer::layer& on, const chain::account& who, settings how, metrics& count, opened from)
    : m_layer(on), m_who(who), m_settings(std::move(how)), m_holder(std::move(from.holder)), m_store(std::move(from.state)),
      m_table(std::move(from.table)), m_keys(std::move(from.keys)), m_applied(from.applied.value), m_last_cut(from.start.root.sequence.value),
      m_names(std::move(from.views)), m_last_cut_at(std::chrono::steady_clock::now()),
      m_count_applied(count.make_counter("cess_volume_changes_total", "Changes applied.", label_of(from.record))),
      m_count_syncs(count.make_counter("cess_volume_syncs_total", "Waits for durability.", label_of(from.record))),
      m_sync_time(count.make_histogram("cess_volume_sync_seconds", "Time to durability.", label_of(from.record))),
      m_cut_time(count.make_histogram("cess_volume_cut_seconds", "Time to a local checkpoint.", label_of(from.record))),
      m_written(count.make_counter("cess_volume_written_bytes_total", "Bytes written by faces.", label_of(from.record))),
      m_stored(count.make_counter("cess_volume_data_bytes_total", "Plain bytes of data segments stored, cleaning's not counted.", label_of(from.record))),
      m_squeezed(count.make_counter("cess_volume_squeezed_bytes_total", "Bytes that were not stored, since they were overwritten before.", label_of(from.record))),
      m_read_bytes(count.make_counter("cess_volume_read_bytes_total", "Bytes read by faces.", label_of(from.record))) {
    for (const auto& file : from.start.files)
        for (const auto& part : file.parts)
            if (part.lineage != from.record.id) m_inherited_files.insert(file.name);
    m_records.push_back(std::make_unique<ledger::volume_record>(std::move(from.record)));
    m_record = m_records.back().get();
    const auto& record = *m_records.back();
    // However much waits before it, one wait ends.
    const auto sync_patience = on.limits().append * 2 + std::chrono::seconds(5);
    if (m_settings.acknowledge == durability::local) begin_local_journal(from.last, count);
    const journal::limits pipeline{m_settings.append_idle, on.limits().append, sync_patience, m_settings.crashes, m_settings.broken};
    m_journal = std::make_unique<journal>(*m_holder, journal::local_half{m_local.get(), m_behind.get()}, pipeline, from.applied,
                                          [this](const error& why) { fail(why); });
    buffer_pool::hooks hooks;
    hooks.put = [this, &record](segment_number number, byte_view content) {
        layer::segment_spec spec;
        spec.number = number;
        spec.geometry = record.geometry;
        if (record.block_size) spec.block_size = record.block_size;
        spec.lineage = record.id;
        spec.key_generation = m_keys->generation();
        const auto ring = m_keys->ring();
        reach(m_settings.crashes, crash_point::put_begun);
        auto stored = m_holder->put_segment(*ring, spec, content);
        if (stored) {
            m_stored.add(content.size());
            reach(m_settings.crashes, crash_point::put_done);
        }
        return stored;
    };
    hooks.stored = [this](const std::shared_ptr<segment_buffer>& buffer, const ledger::segment_record& at, const squeezed_buffer* squeezed) {
        if (squeezed) {
            m_squeezed.add(squeezed->left_out);
            m_locator->learn(at.id, squeezed->index);
        }
        if (m_table->stored(at, squeezed != nullptr, buffer->complete_from)) m_journal->locate(buffer, location_record{at, squeezed != nullptr});
        reach(m_settings.crashes, crash_point::segment_located);
    };
    hooks.durable = [this] { return m_journal->stored(); };
    hooks.deposed = [this](const error& why) { fail(why); };
    m_pool = std::make_unique<buffer_pool>(*m_table, std::move(hooks),
                                           buffer_pool::limits{m_settings.segment_size, m_settings.buffers_max, m_settings.writer_patience, 3, m_settings.broken},
                                           first_segment(m_holder->term()));
    const auto sample = [&](std::string_view name, std::string_view help, std::function<std::int64_t()> ask) {
        m_sampled.push_back(count.sample(name, help, label_of(record), std::move(ask)));
    };
    sample("cess_volume_buffer_bytes", "Memory held by buffers of segments.", [this] { return static_cast<std::int64_t>(m_pool->bytes_held()); });
    sample("cess_volume_unstored_bytes", "Bytes taken and not yet in a segment at the miners.",
           [this] { return static_cast<std::int64_t>(m_pool->unstored_bytes()); });
    sample("cess_volume_volatile_changes", "Changes applied that are not durable yet.", [this] {
        const auto stored = durable().value;
        return static_cast<std::int64_t>(m_applied.load() - std::min(m_applied.load(), stored));
    });
    m_readahead = std::make_unique<readahead>(m_layer, m_settings.readahead);
    m_space = std::make_unique<space>(*m_holder, *m_pool, record.geometry);
    checkpointer::parts parts{m_layer, *m_holder, m_who, *m_table, *m_pool, *m_journal, *m_keys, m_settings.segment_size, record, count,
                              [this](const error& why) { fail(why); }, m_settings.crashes, m_settings.broken};
    m_locator = std::make_unique<locator>(m_layer, *m_table, m_settings.metadata_cache / 4);
    cleaner::parts cleaning{*m_store, *m_table, *m_locator, m_layer, *m_holder, *m_keys, *m_pool, *m_space, m_apply, m_settings, record, count,
                            [this] { return m_foreground.load(std::memory_order_relaxed) != 0; }, [this] { return !m_has_failed; },
                            [this] { return cut_for_cleaning(); }};
    m_cleaner = std::make_unique<cleaner>(std::move(cleaning));
    m_head_is_behind = from.head < from.start.root.sequence;
    m_checkpointer = std::make_unique<checkpointer>(std::move(parts), std::move(from.start),
                                                    [this](const std::string& name, bool anchored) { snapshot_settled(name, anchored); });
    for (auto& [buffer, length] : from.replayed) m_pool->adopt(buffer, length);
    for (auto& each : from.cuts) {
        if (each.snapshot) m_pending[each.snapshot->name] = {each.snapshot->name, each.snapshot->created_unix, each.at, true, each.snapshot->size};
        m_last_cut = each.at.value;
        m_checkpointer->add(std::move(each));
    }
}

void engine::begin_local_journal(entry_name after, metrics& count) {
    local::file_header header;
    header.network = m_layer.ledger().trust().network();
    header.volume = record().id;
    header.term = m_holder->term();
    header.after = after;
    m_local = std::make_unique<local::log>(local_place(m_who, m_settings), header);
    auto& waiting = count.make_gauge("cess_volume_local_bytes", "Journal bytes that are acknowledged locally and not at the miners yet.", label_of(record()));
    m_behind = std::make_unique<write_behind>(*m_holder, *m_local, write_behind::limits{m_settings.local_bytes, m_settings.local_age}, waiting);
}

result<void> engine::start() {
    // The head must move past snapshots that were anchored, or are about to be, without it.
    if (m_head_is_behind || (m_checkpointer->waiting() && m_applied.load() == m_last_cut.load())) CHECK_OK(apply_nothing());
    refresh_network_free();
    m_checkpointer->run();
    m_upkeep = std::thread([this] { upkeep(); });
    m_holder->on_deposed([this](const error& why) { fail(why); });
    m_cleaner->run();
    m_store->bring_rest();
    if (m_applied.load() != m_last_cut.load() || m_checkpointer->waiting()) (void)cut_head(true);
    reach(m_settings.crashes, crash_point::engine_started);
    return {};
}

result<void> engine::apply_nothing() {
    prepared none;
    none.change.encoded = wire::encode(none.record);
    CHECK_OK(commit(none));
    return {};
}

engine::~engine() { stop_threads(); }

void engine::stop_threads() {
    {
        const std::lock_guard lock(m_state_mutex);
        m_stopping = true;
    }
    m_state_changed.notify_all();
    m_holder->on_deposed(nullptr);
    m_checkpointer->abandon();
    m_pool->abandon();
    m_journal->stop();
    if (m_behind) m_behind->stop();
    m_cleaner->stop();
    if (m_upkeep.joinable()) m_upkeep.join();
    m_checkpointer->stop();
    m_pool->stop();
}

// ---- failure ---------------------------------------------------------------------------------------------

void engine::fail(const error& why) {
    {
        const std::lock_guard lock(m_state_mutex);
        const bool news = !m_failed || (why.code == errc::fenced && m_failed->code != errc::fenced);  // which ends reading, too
        if (!news || m_stopping) return;
        m_failed = why;
        if (why.code == errc::fenced) m_unreadable = true;
    }
    m_has_failed = true;
    log::error("volume", "volume can no longer be written volume={} error={}", record().name, why.message());
    m_pool->abandon();
    m_checkpointer->abandon();
    m_state_changed.notify_all();  // upkeep tells: whoever fails may hold locks
}

void engine::on_failure(std::function<void(const error&)> tell) {
    {
        const std::lock_guard lock(m_state_mutex);
        m_tell = std::move(tell);
    }
    m_state_changed.notify_all();
}

result<void> engine::check_readable() const {
    if (!m_unreadable.load(std::memory_order_acquire)) return {};
    const std::lock_guard lock(m_state_mutex);
    if (m_closed) return error(errc::canceled, "volume is closed");
    // Somebody else owns it: what we hold may be older than what they acknowledged.
    if (m_failed && m_failed->code == errc::fenced) return *m_failed;
    return {};
}

result<void> engine::check_writable() const {
    const std::lock_guard lock(m_state_mutex);
    if (m_closing) return error(errc::canceled, "volume is closed");
    if (!m_failed) return {};
    if (m_failed->code == errc::fenced) return *m_failed;
    return error(errc::read_only, "volume " + record().name + " cannot be written any more, open it again (" + m_failed->message() + ")");
}

bool engine::writable() const noexcept { return !m_has_failed; }

// ---- reading ---------------------------------------------------------------------------------------------

result<std::optional<bytes>> engine::get(byte_view key) {
    CHECK_OK(check_readable());
    return m_store->get(row::user_key(key));
}

result<std::vector<key_value>> engine::scan(byte_view prefix, byte_view from, std::size_t limit) {
    CHECK_OK(check_readable());
    return scan_keys(*m_store, prefix, from, limit);
}

result<void> engine::read(blob_id blob, std::uint64_t offset, byte_span out) {
    CHECK_OK(check_readable());
    const foreground here(*this);
    m_read_bytes.add(out.size());
    m_readahead->before(*m_store, *m_table, *m_locator, *m_keys->ring(), blob, offset, out.size());
    return read_blob(*m_store, *m_table, *m_locator, m_layer, *m_keys, blob, offset, out);
}

result<std::vector<range>> engine::map(blob_id blob, std::uint64_t offset, std::uint64_t length) {
    CHECK_OK(check_readable());
    return map_blob(*m_store, blob, offset, length);
}

result<std::vector<placed_range>> engine::places(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit) {
    CHECK_OK(check_readable());
    return place_blob(*m_store, blob, offset, end, limit);
}

result<std::vector<located_range>> engine::locate(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit) {
    CHECK_OK(check_readable());
    return locate_blob(*m_store, *m_table, blob, offset, end, limit);
}

result<std::vector<blob_id>> engine::blobs(blob_id from, std::size_t limit) {
    CHECK_OK(check_readable());
    return list_blobs(*m_store, from, limit);
}

usage engine::usage_now() {
    m_free_asked = true;
    return {m_table->logical(), m_table->stored_bytes(), m_cleaner->needed_bytes(), record().size, m_network_free.load()};
}

// ---- writing ---------------------------------------------------------------------------------------------

result<void> engine::wait_for_room() {
    CHECK_OK(m_journal->relieve());
    const auto journal_full = [this] { return m_holder->journal_bytes() >= m_settings.journal_max; };
    const auto memtable_full = [this] { return m_store->memtable_bytes() >= m_settings.memtable * memtable_hard_factor; };
    if (!journal_full() && !memtable_full()) return {};
    const auto deadline = std::chrono::steady_clock::now() + m_settings.writer_patience;
    while (journal_full() || memtable_full()) {
        wake_upkeep();
        CHECK_OK(check_writable());
        if (std::chrono::steady_clock::now() > deadline)
            return error(errc::unavailable, journal_full() ? "journal is full: no checkpoint became final, is consensus down?" : "local store is too slow");
        std::unique_lock lock(m_state_mutex);
        m_state_changed.wait_for(lock, std::chrono::milliseconds(10));
    }
    return {};
}

// While tables of the store are still to come: before the apply lock is held, which must not wait for the network.
result<void> engine::bring_metadata(const change::edit& e) {
    if (!m_store->incomplete() || e.kind == edit_kind::put || e.kind == edit_kind::erase) return {};
    const auto length = e.kind == edit_kind::write ? e.data.size() : e.length;
    if (e.kind == edit_kind::share) CHECK_OK(m_store->bring(e.from, e.from_offset, e.from_offset + length));
    if (e.kind == edit_kind::drop) return m_store->bring(e.blob, 0, blob_size_max, drop_at_once_max + 2);
    const bool to_the_end = length > blob_size_max - std::min(e.offset, blob_size_max);
    return m_store->bring(e.blob, e.offset, to_the_end ? blob_size_max : e.offset + length);
}

result<void> engine::prepare(const change& what, prepared& out) {
    std::uint64_t data = 0;
    for (const auto& e : what.edits()) {
        const auto past_end = [](std::uint64_t offset, std::uint64_t length) { return offset > blob_size_max || length > blob_size_max - offset; };
        if (e.kind == edit_kind::write && past_end(e.offset, e.data.size())) return error(errc::too_large, "write past 2^63-1 bytes");
        if (e.kind == edit_kind::share && (past_end(e.offset, e.length) || past_end(e.from_offset, e.length))) return error(errc::too_large, "share past 2^63-1 bytes");
        if (e.key.size() > user_key_max) return error(errc::too_large, "key of more than 64 KiB");
        CHECK_OK(bring_metadata(e));
        data += e.data.size();
    }
    if (data) CHECK_OK(m_space->admit(data));
    auto& places = out.change.places;
    for (const auto& e : what.edits()) {
        switch (e.kind) {
            case edit_kind::put: out.record.edits.emplace_back(put_edit{e.key, e.value}); break;
            case edit_kind::erase: out.record.edits.emplace_back(erase_edit{e.key}); break;
            case edit_kind::write: {
                const auto first = places.size();
                CHECK_OK(m_pool->place(e.data, places));
                write_edit edit{e.blob, e.offset, {}};
                for (auto i = first; i < places.size(); ++i) edit.places.push_back({places[i].buffer->number(), places[i].offset, places[i].length});
                out.record.edits.emplace_back(std::move(edit));
                break;
            }
            case edit_kind::zero: out.record.edits.emplace_back(zero_edit{e.blob, e.offset, e.length}); break;
            case edit_kind::share: out.record.edits.emplace_back(share_edit{e.from, e.blob, e.from_offset, e.offset, e.length}); break;
            case edit_kind::drop: out.record.edits.emplace_back(drop_edit{e.blob}); break;
        }
        out.extent_edits += e.kind != edit_kind::put && e.kind != edit_kind::erase;
    }
    out.change.encoded = wire::encode(out.record);
    if (out.change.encoded.size() > change_size_max) return error(errc::too_large, "change with more than 4 MiB of keys, values and extents");
    m_written.add(data);
    return {};
}

result<void> engine::check_limit(std::int64_t delta) const {
    const auto& r = record();
    if (r.type == ledger::volume_type::block || r.size == 0 || delta <= 0) return {};
    if (m_table->logical() + static_cast<std::uint64_t>(delta) <= r.size) return {};
    return error(errc::no_space, "volume " + r.name + " holds no more than " + format_size(r.size) + ", resize it or delete something");
}

result<sequence_number> engine::commit(prepared& what) {
    std::unique_lock lock(m_apply);
    if (what.of_user) wait_while_held(lock);
    CHECK_OK(check_writable());
    if (const auto& only = what.only_if) {
        TRY(const auto now, place_blob(*m_store, only->blob, only->offset, only->end, only->places.size() + 1));
        if (now != only->places) return error(errc::conflict, "the range was changed");
    }
    const sequence_number at{m_applied.load() + 1};
    executor run(*m_store, *m_table, what.extent_edits, at);
    for (const auto& edit : what.record.edits) CHECK_OK(run.run(edit));
    CHECK_OK(check_limit(run.logical_delta()));
    if (auto written = m_store->write(run.batch()); !written) {
        fail(written.error());
        return written.error();
    }
    m_table->commit(run.deltas(), at, run.overwritten());
    m_cleaner->bury(run.buried());
    run.publish();
    if (run.dropped()) m_dropped = true;
    what.change.at = at;
    what.change.when = std::chrono::steady_clock::now();
    m_journal->push(std::move(what.change));
    m_applied = at.value;
    return at;
}

result<sequence_number> engine::apply(const change& what) {
    CHECK_OK(check_writable());
    if (what.empty()) return applied();
    const foreground here(*this);
    CHECK_OK(wait_for_room());
    prepared ready;
    ready.of_user = true;
    const auto done = prepare(what, ready);
    reach(m_settings.crashes, crash_point::change_placed);
    const auto pinned = ready.change.places;  // until the change stands: a segment with room for it is not dead
    result<sequence_number> at = done ? commit(ready) : result<sequence_number>(done.error());
    m_pool->unpin(pinned);
    if (!at && at.error().code == errc::no_space) {
        m_space_wanted = true;  // what was deleted since the last root gives room
        wake_upkeep();
    }
    if (!at && m_has_failed) {
        auto failed = check_writable();
        if (!failed) return failed.error();
    }
    if (!at) return at;
    m_count_applied.add();
    reach(m_settings.crashes, crash_point::change_applied);
    if (m_store->memtable_bytes() >= m_settings.memtable) wake_upkeep();
    return at;
}

// What is on its way to the miners in segments need not go there in the journal as well, if it is more than a little.
void engine::await_segments(sequence_number upto) {
    if (!m_journal->payload_exceeds(2 * payload_much(), upto, m_pool->open_number())) return;
    const auto deadline = std::chrono::steady_clock::now() + settle_patience;
    while (durable() < upto && !m_pool->storing_fails() && std::chrono::steady_clock::now() < deadline) {
        m_pool->await_stored(settle_look);  // others may make it durable meanwhile
        if (!m_journal->payload_exceeds(payload_much(), upto, m_pool->open_number())) return;
    }
}

result<void> engine::sync(sequence_number upto) {
    if (durable() >= upto) return check_readable();
    const foreground here(*this);
    const auto began = std::chrono::steady_clock::now();
    {
        const std::lock_guard lock(m_state_mutex);
        if (m_closed) return error(errc::canceled, "volume is closed");
        if (m_failed) return *m_failed;
    }
    m_count_syncs.add();
    if (m_settings.acknowledge == durability::remote) await_segments(upto);
    CHECK_OK(m_journal->sync(upto));
    m_sync_time.observe_us(since_us(began));
    return {};
}

}  // namespace cess::volume
