// Opening: the lease, the root's files, the history past them.
#include "rocks.hpp"

#include "engine.hpp"
#include "loading.hpp"
#include "local_past.hpp"
#include "root_files.hpp"

#include <core/base/log.hpp>
#include <core/net/blocking.hpp>

namespace cess::volume {

store::options options_of(const settings& how, bool read_only) {
    store::options out;
    out.directory = how.directory + "/db";
    out.cache = how.metadata_cache;
    out.memtable = how.memtable;
    out.table = how.metadata_table;
    out.read_only = read_only;
    return out;
}

result<loaded> load(const store::options& how, const root_manifest& manifest, std::optional<volume_id> own) {
    loaded out;
    TRY(out.state, store::open(how));
    out.table = std::make_unique<segment_table>();
    TRY(auto lineages, out.state->scan(row::one(row::lineage_kind), {}, SIZE_MAX, 1));
    std::optional<std::uint32_t> index;
    for (std::uint32_t i = 0; i < lineages.size(); ++i) {
        TRY(auto id, wire::decode<volume_id>(lineages[i].value));
        if (own && id == *own) index = i;
    }
    if (own && !index) {
        index = static_cast<std::uint32_t>(lineages.size());
        rocksdb::WriteBatch batch;
        batch.Put(slice(row::lineage_key(*index)), slice(wire::encode(*own)));
        CHECK_OK(out.state->write(batch));
    }
    if (index) out.table->set_own(*index);
    TRY(auto rows, out.state->scan(row::one(row::segment_kind), {}, SIZE_MAX, 0));
    for (const auto& each : rows) {
        TRY(auto ref, row::parse_segment_key(each.key));
        TRY(auto segment, wire::decode<segment_row>(each.value));
        out.table->load(ref.first, std::move(segment), true);
    }
    for (const auto& late : manifest.rows) out.table->load(late.lineage, late.row, false);
    return out;
}

namespace {

// The newest state the ledger holds: the head, or a snapshot that was anchored when its owner died before moving the head.
result<ledger::root> newest_root(layer::layer& on, const ledger::volume_record& record, std::set<std::string>& names) {
    const auto deadline = on.world().now() + on.limits().ledger;
    TRY(auto views, net::wait(on.world(), on.ledger().views(record.id, deadline)));
    auto newest = record.head;
    for (const auto& listed : views) {
        names.insert(listed.name);
        if (listed.kind != ledger::view_kind::snapshot || listed.at.sequence <= newest.sequence) continue;
        TRY(auto proved, net::wait(on.world(), on.ledger().read(ledger::key::view(record.id, listed.name), deadline)));
        if (!proved.value) continue;
        TRY(auto view, wire::decode<ledger::view_record>(*proved.value));
        if (view.volume == record.id && view.at.sequence > newest.sequence) newest = view.at;
    }
    return newest;
}

// What may need ranges that the head does not: with proof, since what a snapshot needs must not be taken for garbage.
result<void> load_views(layer::layer& on, volume_id id, segment_table& into) {
    const auto deadline = on.world().now() + on.limits().ledger;
    TRY(const auto read, net::wait(on.world(), on.ledger().read(ledger::key::pins(id), deadline)));
    if (!read.value) return {};
    TRY(const auto list, wire::decode<ledger::pin_list>(*read.value));
    std::vector<sequence_number> views;
    for (const auto& each : list.pins) views.push_back(each.sequence);
    into.set_views(views, into.views_before_asking());
    return {};
}

// Up to where the history's snapshots are not to be made: they were anchored, and then deleted or renamed.
result<sequence_number> withdrawn_upto(layer::layer& on, volume_id id) {
    const auto deadline = on.world().now() + on.limits().ledger;
    TRY(const auto read, net::wait(on.world(), on.ledger().read(ledger::key::withdrawn(id), deadline)));
    if (!read.value) return sequence_number{};
    return wire::decode<sequence_number>(*read.value);
}

// Executes a history on a loaded state.
class replayer {
public:
    replayer(loaded& state, volume_id own, sequence_number from, sequence_number withdrawn, const settings& how)
        : m_state(state), m_own(own), m_at(from), m_withdrawn(withdrawn), m_how(how) {}

    result<void> run(byte_view entry) {
        wire::decoder in(entry);
        entry_header header;
        in(header);
        if (in.failed()) return error(errc::corrupt, "journal entry that cannot be read");
        m_last = header.name;
        for (const auto& each : header.locations) {
            if (each.at.lineage != m_own) return error(errc::corrupt, "journal entry names a foreign segment");
            (void)m_state.table->stored(each.at, each.squeezed);
        }
        CHECK_OK(take_payload(header, in.rest()));
        auto at = header.first;
        for (const auto& encoded : header.changes) {
            CHECK_OK(apply(at, encoded));
            at = at.next();
        }
        return {};
    }

    sequence_number at() const { return m_at; }
    entry_name last() const { return m_last; }
    std::vector<cut> take_cuts() { return std::move(m_cuts); }
    std::vector<std::pair<std::shared_ptr<segment_buffer>, std::uint64_t>> take_buffers() {
        std::vector<std::pair<std::shared_ptr<segment_buffer>, std::uint64_t>> out;
        for (auto& buffer : m_state.table->end_replay()) out.emplace_back(buffer, m_lengths[buffer->number()]);
        return out;
    }

private:
    result<void> take_payload(const entry_header& header, byte_view payload) {
        for (const auto& run : header.payload) {
            if (run.length > payload.size() || run.offset > segment_length_max || run.length > segment_length_max - run.offset)
                return error(errc::corrupt, "journal entry with impossible payload");
            const auto from = payload.first(run.length);
            payload = payload.subspan(run.length);
            const auto buffer = m_state.table->replay_buffer(run.segment, segment_length_max);
            if (!buffer) continue;  // stored since
            std::memcpy(buffer->at(run.offset), from.data(), from.size());
            auto& length = m_lengths[run.segment];
            length = std::max(length, std::uint64_t{run.offset} + run.length);
        }
        if (!payload.empty()) return error(errc::corrupt, "journal entry with payload that belongs to nothing");
        return {};
    }

    result<void> apply(sequence_number at, byte_view encoded) {
        if (at <= m_at) return {};  // the root has it
        if (at != m_at.next()) return error(errc::corrupt, "history jumps from change " + std::to_string(m_at.value) + " to " + std::to_string(at.value));
        auto record = wire::decode<change_record>(encoded);
        if (!record) return error(errc::corrupt, "change " + std::to_string(at.value) + " of the history cannot be read");
        executor run(*m_state.state, *m_state.table, record->edits.size(), at);
        for (const auto& edit : record->edits) CHECK_OK(run.run(edit));
        CHECK_OK(m_state.state->write(run.batch()));
        m_state.table->commit(run.deltas(), at);
        run.publish();
        m_at = at;
        if (run.snapshot() && at > m_withdrawn) {
            m_state.table->add_view(at);
            return cut_snapshot(*run.snapshot());
        }
        if (m_state.state->memtable_bytes() < m_how.memtable) return {};
        CHECK_OK(m_state.state->begin_flush());
        return m_state.state->wait_flushed(std::chrono::seconds(60));
    }

    // Its state was lost with the owner before it was anchored; here it is again.
    result<void> cut_snapshot(const snapshot_edit& snapshot) {
        cut out;
        out.snapshot = snapshot;
        out.replayed = true;
        out.base = entry_index{0};  // the history is copied to the front of the new journal: nothing of it goes yet
        out.directory = m_how.directory + "/replayed-" + std::to_string(m_cuts.size());
        CHECK_OK(begin_local_cut(*m_state.state, *m_state.table, m_at, out));
        out.unused = m_state.table->unused_at(m_at);
        CHECK_OK(finish_local_cut(*m_state.state, out));
        m_cuts.push_back(std::move(out));
        return {};
    }

    loaded& m_state;
    const volume_id m_own;
    sequence_number m_at;
    entry_name m_last;
    const sequence_number m_withdrawn;
    const settings& m_how;
    std::unordered_map<segment_number, std::uint64_t, id_hash> m_lengths;
    std::vector<cut> m_cuts;
};

// Metadata of the old head that the root opened in its stead does not share.
result<std::vector<ledger::segment_death>> outdated(layer::layer& on, const layer::keyring& keys, const ledger::volume_record& record,
                                                    const root_manifest& now) {
    std::vector<ledger::segment_death> dead;
    if (!record.head.manifest || record.head.manifest->lineage != record.id) return dead;
    TRY(auto old, fetch_manifest(on, keys, record.head));
    std::set<std::string> kept;
    for (const auto& file : now.files) kept.insert(file.name);
    for (const auto& file : old.files)
        for (const auto& part : file.parts)
            if (!kept.contains(file.name) && part.lineage == record.id) dead.push_back({part.number, now.sequence});
    dead.push_back({record.head.manifest->number, now.sequence});
    return dead;
}

// A full network must not keep a volume from being read, and emptied: the less there is, the less is reserved.
result<layer::layer::ownership> take(layer::layer& on, const chain::account& who, volume_id id, const crypto::signing_key& session_key,
                                     const settings& how) {
    constexpr std::uint64_t reservations[] = {4 * GiB, 256 * MiB, 32 * MiB, 0};
    error refused;
    for (const auto reservation : reservations) {
        layer::layer::open_options options;
        options.endpoint = how.endpoint;
        options.force = how.force;
        options.reservation = reservation;
        auto owned = on.take(who, id, session_key, std::move(options));
        if (owned || owned.error().code != errc::no_space) return owned;
        refused = std::move(owned).error();
    }
    return refused;
}

// Puts entries behind the history, and waits until the miners have them. What is under way stays below the session's
// bounds, so that no wait is without a deadline.
result<void> append_all(layer::session& to, std::vector<bytes> entries, net::duration patience) {
    constexpr std::uint64_t under_way_max = 128, under_way_bytes_max = 32 * MiB;
    struct shared {
        std::mutex mutex;
        std::condition_variable changed;
        std::uint64_t under_way = 0, bytes = 0;
        std::optional<error> failure;
    };
    const auto state = std::make_shared<shared>();
    const auto wait_for = [&](std::uint64_t under_way, std::uint64_t size) -> result<void> {
        std::unique_lock lock(state->mutex);
        while (!state->failure && (state->under_way > under_way || (state->under_way && state->bytes > size)))
            if (const auto before = state->under_way; state->changed.wait_for(lock, patience) == std::cv_status::timeout && state->under_way == before)
                return error(errc::timeout, "too few miners answer");
        return state->failure ? result<void>(*state->failure) : result<void>();
    };
    for (auto& each : entries) {
        const auto size = each.size();
        CHECK_OK(wait_for(under_way_max, under_way_bytes_max - std::min<std::uint64_t>(size, under_way_bytes_max)));
        {
            const std::lock_guard lock(state->mutex);
            ++state->under_way;
            state->bytes += size;
        }
        (void)to.append(std::move(each), [state, size](result<void> how) {
            {
                const std::lock_guard lock(state->mutex);
                --state->under_way;
                state->bytes -= size;
                if (!how && !state->failure) state->failure = how.error();
            }
            state->changed.notify_all();
        });
    }
    return wait_for(0, 0);
}

// What an earlier process acknowledged on this machine alone becomes the end of the history, at the miners too, or is
// set aside.
result<void> recover_local(local::past& past, layer::session& to, const layer::deadlines& limits, replayer& history, engine::opened& out) {
    local::history_end end;
    end.last = history.last();
    end.applied = history.at();
    end.rooted = out.record.head.term;
    auto missing = past.after(end);
    for (const auto& entry : missing.entries) CHECK_OK(history.run(entry));
    if (const auto count = missing.entries.size()) {
        log::info("volume", "local journal replayed volume={} entries={} changes={}..{}", out.record.name, count, end.applied.value + 1, history.at().value);
        if (auto stored = append_all(to, std::move(missing.entries), limits.append * 2); !stored)
            return std::move(stored).error().with_context("store the local journal at the miners");
    }
    if (auto settled = past.settle(); !settled) log::warn("volume", "local journal's files stay volume={} error={}", out.record.name, settled.error().message());
    return {};
}

}  // namespace

local::place local_place(const chain::account& who, const settings& how) {
    return {how.local_disk ? how.local_disk : &os::posix_file_system(), how.local_directory, who.wrapping};
}

result<engine::opened> recover(layer::layer& on, const chain::account& who, const ledger::volume_record& which,
                               const crypto::signing_key& session_key, const settings& how) {
    if (how.acknowledge == durability::local) CHECK_OK(local_place(who, how).disk->make_directories(how.local_directory));
    auto past = local::past::read(local_place(who, how), on.ledger().trust().network(), which.id);
    if (!past) return std::move(past).error().with_context("read the local journal; without it what it alone holds is lost");
    TRY(auto owned, take(on, who, which.id, session_key, how));
    const auto began = std::chrono::steady_clock::now();
    engine::opened out;
    out.holder = std::move(owned.holder);
    out.record = std::move(owned.record);
    out.head = out.record.head.sequence;
    TRY(auto ring, layer::keyring::unwrap(who, out.record.keyring));
    out.keys = std::make_unique<key_holder>(ring, out.record.keyring);
    TRY(out.start.root, newest_root(on, out.record, out.views));

    CHECK_OK(empty_directory(how.directory));
    root_manifest manifest;
    auto store_options = options_of(how, false);
    if (out.start.root.manifest) {
        TRY(manifest, fetch_manifest(on, ring, out.start.root));
        TRY(store_options.remote, lay_out(on, ring, manifest, store_options.directory));
        out.start.files = manifest.files;
    }
    TRY(auto state, load(store_options, manifest, out.record.id));
    reach(how.crashes, crash_point::root_loaded);
    if (out.start.root.sequence == out.head) {
        state.table->mark_declared(manifest.declared);
    } else {
        TRY(out.start.dead, outdated(on, ring, out.record, manifest));
    }

    CHECK_OK(load_views(on, out.record.id, *state.table));
    TRY(const auto withdrawn, withdrawn_upto(on, out.record.id));
    replayer history(state, out.record.id, out.start.root.sequence, withdrawn, how);
    for (auto& entry : owned.history) {
        CHECK_OK(history.run(entry));
        bytes().swap(entry);
    }
    CHECK_OK(recover_local(*past, *out.holder, on.limits(), history, out));
    out.last = history.last();
    reach(how.crashes, crash_point::history_replayed);
    out.applied = history.at();
    out.cuts = history.take_cuts();
    for (const auto& each : out.cuts) out.views.insert(each.snapshot->name);
    out.replayed = history.take_buffers();
    out.state = std::move(state.state);
    out.table = std::move(state.table);
    log::info("volume", "opened volume={} term={} root={} applied={} files={} entries={} ms={}", out.record.name, out.holder->term().value,
              out.start.root.sequence.value, out.applied.value, manifest.files.size(), owned.history.size(),
              std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count());
    return out;
}

result<std::unique_ptr<volume>> open(layer::layer& on, const chain::account& who, const ledger::volume_record& which,
                                     const crypto::signing_key& session_key, settings how, metrics& count) {
    if (how.directory.empty()) return error(errc::invalid, "open volume " + which.name + ": no working directory");
    if (how.acknowledge == durability::local && how.local_directory.empty()) return error(errc::invalid, "open volume " + which.name + ": durability=local without a directory for it");
    if (how.segment_size < 64 * KiB || how.segment_size > segment_length_max) return error(errc::invalid, "segment size must be 64 KiB to 32 MiB");
    auto recovered = recover(on, who, which, session_key, how);
    if (!recovered) return std::move(recovered).error().with_context("open volume " + which.name);
    auto out = std::make_unique<engine>(on, who, std::move(how), count, std::move(*recovered));
    CHECK_OK(out->start());
    return std::unique_ptr<volume>(std::move(out));
}

// ---- snapshots -------------------------------------------------------------------------------------------

namespace {

constexpr std::uint64_t tables_memory = 8 * MiB;

class snapshot_reader final : public reader {
public:
    snapshot_reader(layer::layer& on, ledger::volume_record record, layer::keyring keys, loaded state, std::uint64_t readahead_max)
        : m_layer(on), m_record(std::move(record)), m_keys(std::move(keys), {}), m_state(std::move(state)), m_locator(on, *m_state.table, tables_memory),
          m_readahead(on, readahead_max) {}

    const ledger::volume_record& record() const noexcept override { return m_record; }
    bool writable() const noexcept override { return false; }
    result<std::optional<bytes>> get(byte_view key) override { return m_state.state->get(row::user_key(key)); }
    result<std::vector<key_value>> scan(byte_view prefix, byte_view from, std::size_t limit) override {
        return scan_keys(*m_state.state, prefix, from, limit);
    }
    result<void> read(blob_id blob, std::uint64_t offset, byte_span out) override {
        m_readahead.before(*m_state.state, *m_state.table, m_locator, *m_keys.ring(), blob, offset, out.size());
        return read_blob(*m_state.state, *m_state.table, m_locator, m_layer, m_keys, blob, offset, out);
    }
    result<std::vector<range>> map(blob_id blob, std::uint64_t offset, std::uint64_t length) override {
        return map_blob(*m_state.state, blob, offset, length);
    }
    result<std::vector<placed_range>> places(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit) override {
        return place_blob(*m_state.state, blob, offset, end, limit);
    }
    result<std::vector<located_range>> locate(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit) override {
        return locate_blob(*m_state.state, *m_state.table, blob, offset, end, limit);
    }
    result<std::vector<blob_id>> blobs(blob_id from, std::size_t limit) override { return list_blobs(*m_state.state, from, limit); }
    usage usage_now() override { return {m_state.table->logical(), m_state.table->stored_bytes(), m_state.table->live_bytes(), m_record.size, 0}; }

private:
    layer::layer& m_layer;
    const ledger::volume_record m_record;
    const key_holder m_keys;
    loaded m_state;
    locator m_locator;
    readahead m_readahead;
};

}  // namespace

result<std::unique_ptr<reader>> open_snapshot(layer::layer& on, const chain::account& who, const ledger::volume_record& which,
                                              const std::string& snapshot, settings how, metrics&) {
    const auto name = which.name + "@" + snapshot;
    if (!valid_name(snapshot)) return error(errc::invalid, "snapshot name must be [a-z0-9][a-z0-9.-]{0,62} without '..'");
    if (how.directory.empty()) return error(errc::invalid, "open " + name + ": no working directory");
    const auto deadline = on.world().now() + on.limits().ledger;
    TRY(auto proved, net::wait(on.world(), on.ledger().read(ledger::key::view(which.id, snapshot), deadline)));
    if (!proved.value) return error(errc::not_found, "snapshot " + name);
    TRY(auto view, wire::decode<ledger::view_record>(*proved.value));
    TRY(auto ring, layer::keyring::unwrap(who, view.keyring));
    CHECK_OK(empty_directory(how.directory));
    auto options = options_of(how, true);
    TRY(auto manifest, fetch_manifest(on, ring, view.at));
    TRY(options.remote, lay_out(on, ring, manifest, options.directory));
    TRY(auto state, load(options, manifest, std::nullopt));
    auto record = which;
    record.size = view.size;
    record.head = view.at;
    return std::unique_ptr<reader>(std::make_unique<snapshot_reader>(on, std::move(record), std::move(ring), std::move(state), how.readahead));
}

result<ledger::volume_record> look_up(layer::layer& on, const chain::account& who, const std::string& name, std::optional<ledger::volume_type> expected) {
    if (!valid_name(name)) return error(errc::invalid, "volume name must be [a-z0-9][a-z0-9.-]{0,62} without '..'");
    const auto deadline = on.world().now() + on.limits().ledger;
    TRY(auto named, net::wait(on.world(), on.ledger().read(ledger::key::volume_name(who.id(), name), deadline)));
    if (!named.value) return error(errc::not_found, "volume " + name);
    TRY(auto id, wire::decode<volume_id>(*named.value));
    TRY(auto proved, net::wait(on.world(), on.ledger().read(ledger::key::volume(id), deadline)));
    if (!proved.value) return error(errc::not_found, "volume " + name);
    TRY(auto record, wire::decode<ledger::volume_record>(*proved.value));
    const auto kind = [](ledger::volume_type type) {
        return type == ledger::volume_type::filesystem ? "filesystem" : type == ledger::volume_type::block ? "block device" : "bucket";
    };
    if (expected && record.type != *expected)
        return error(errc::unsupported, "volume " + name + " is a " + kind(record.type) + ", not a " + kind(*expected));
    return record;
}

}  // namespace cess::volume
