#include "checkpointer.hpp"

#include "root_files.hpp"

#include <core/base/log.hpp>
#include <core/net/blocking.hpp>

#include <algorithm>
#include <filesystem>

namespace cess::volume {
namespace {

constexpr std::size_t added_at_once_max = 2000;   // segments in one transaction
constexpr std::size_t generations_max = 64;       // of a volume's key; then snapshots rotate it no more

// Refusals that the same view would meet again for ever. Whatever else goes wrong is tried again: a snapshot was promised.
bool refused_for_good(const error& e) {
    switch (e.code) {
        case errc::invalid:
        case errc::exists:
        case errc::quota:
        case errc::conflict:
        case errc::too_large: return true;
        default: return false;
    }
}

bool same_root(const ledger::root& a, const ledger::root& b) {
    return a.sequence == b.sequence && a.manifest && b.manifest && a.manifest->id == b.manifest->id;
}

}  // namespace

checkpointer::checkpointer(parts of, start from, std::function<void(const std::string&, bool)> settled)
    : m_of(std::move(of)), m_settled(std::move(settled)),
      m_roots(m_of.count.make_counter("cess_volume_roots_total", "Roots that became final.")),
      m_failures(m_of.count.make_counter("cess_volume_root_failures_total", "Attempts to make a root final that failed.")),
      m_bytes(m_of.count.make_counter("cess_volume_metadata_bytes_total", "Plain bytes of metadata stored by checkpoints.")),
      m_manifest(from.root.manifest), m_dead(std::move(from.dead)), m_committed(from.root.sequence) {
    for (auto& file : from.files) {
        m_in_root.emplace(file.name, file);
        m_files.emplace(file.name, std::move(file));
    }
}

checkpointer::~checkpointer() { stop(); }

void checkpointer::run() {
    m_thread = std::thread([this] { work(); });
}

void checkpointer::abandon() {
    {
        const std::lock_guard lock(m_mutex);
        m_stop = true;
    }
    m_changed.notify_all();
}

void checkpointer::stop() {
    abandon();
    if (m_thread.joinable()) m_thread.join();
}

void checkpointer::add(cut what) {
    {
        const std::lock_guard lock(m_mutex);
        m_jobs.push_back({.what = std::move(what)});
    }
    m_changed.notify_all();
}

std::size_t checkpointer::waiting() const {
    const std::lock_guard lock(m_mutex);
    return m_jobs.size();
}

sequence_number checkpointer::committed() const {
    const std::lock_guard lock(m_mutex);
    return m_committed;
}

result<void> checkpointer::wait(sequence_number at, net::duration patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    std::unique_lock lock(m_mutex);
    const auto before = m_failed_attempts;
    for (;;) {
        if (m_committed >= at) return {};
        if (m_stop) return error(errc::canceled, "volume is closed");
        if (m_failed_attempts != before) return error(m_failure.code, "checkpoint: " + m_failure.what);
        if (m_changed.wait_until(lock, deadline) == std::cv_status::timeout) return error(errc::timeout, "checkpoint is not final yet");
    }
}

void checkpointer::work() {
    std::unique_lock lock(m_mutex);
    auto backoff = std::chrono::milliseconds(0);
    while (!m_stop) {
        if (m_jobs.empty()) {
            m_changed.wait(lock);
            continue;
        }
        auto& next = m_jobs.front();  // others only push at the back: a deque keeps the reference
        lock.unlock();
        auto done = attempt(next);
        if (done) finish(next);
        if (!done && done.error().code == errc::fenced) m_of.deposed(done.error());
        lock.lock();
        if (done) {
            m_committed = next.what.at;
            m_jobs.pop_front();
            backoff = {};
            m_changed.notify_all();
            continue;
        }
        m_failures.add();
        ++m_failed_attempts;
        m_failure = done.error();
        m_changed.notify_all();
        backoff = std::clamp(backoff * 2, std::chrono::milliseconds(200), std::chrono::milliseconds(10'000));
        log::warn("volume", "checkpoint not final, tried again volume={} sequence={} in={}ms error={}", m_of.record.name, next.what.at.value,
                  backoff.count(), done.error().message());
        const auto until = std::chrono::steady_clock::now() + backoff;
        while (!m_stop && m_changed.wait_until(lock, until) != std::cv_status::timeout) {}
    }
}

result<void> checkpointer::attempt(job& j) {
    if (!j.root) CHECK_OK(prepare(j));
    if (j.what.snapshot && !j.view_anchored) CHECK_OK(anchor_view(j));
    return j.what.replayed ? result<void>() : commit(j);
}

result<ledger::segment_record> checkpointer::store_segment(byte_view content, sequence_number birth) {
    layer::segment_spec spec;
    spec.number = m_of.pool.next_number();
    spec.geometry = m_of.record.geometry;
    spec.block_size = metadata_block;
    spec.lineage = m_of.record.id;
    spec.key_generation = m_of.keys.generation();
    const auto ring = m_of.keys.ring();
    TRY(auto stored, m_of.holder.put_segment(*ring, spec, content));
    stored.birth = birth;
    m_bytes.add(content.size());
    return stored;
}

result<stored_file> checkpointer::store_file(const std::string& directory, const std::string& name, sequence_number birth) {
    TRY(auto content, read_whole(directory + "/" + name));
    stored_file file;
    file.name = name;
    file.size = content.size();
    file.hash = crypto::sha256(content);
    for (byte_view rest = content; !rest.empty();) {
        const auto part = rest.first(std::min<std::size_t>(rest.size(), m_of.segment_size));
        TRY(auto stored, store_segment(part, birth));
        file.parts.push_back(std::move(stored));
        rest = rest.subspan(part.size());
    }
    return file;
}

// Everything that the root needs is stored; its transaction is ready to be asked for, again and again.
result<void> checkpointer::prepare(job& j) {
    // Stored first: then the history up to the cut needs no payload of them, if nobody asked for durability before.
    for (const auto& [ref, unused] : j.what.segments.late) CHECK_OK(m_of.pool.wait_stored(ref.number, m_of.on.limits().put * 2));
    if (!j.what.base) {
        TRY(j.what.base, m_of.log.base_after(j.what.at));
    }
    const auto base = m_of.broken.trim_early ? m_of.holder.next_entry() : *j.what.base;
    root_manifest manifest;
    manifest.volume = m_of.record.id;
    manifest.sequence = j.what.at;
    TRY(auto local, list_checkpoint(j.what.directory));
    for (const auto& name : local.tables) {
        auto it = m_files.find(name);
        if (it == m_files.end()) {
            TRY(auto stored, store_file(j.what.directory, name, j.what.at));
            it = m_files.emplace(name, std::move(stored)).first;
        }
        manifest.files.push_back(it->second);
    }
    reach(m_of.crashes, crash_point::root_files_stored);
    manifest.small = std::move(local.small);
    CHECK_OK(settle_locations(j, manifest));
    return store_manifest(j, std::move(manifest), base);
}

// Fills in where the segments are that were stored after the cut.
result<void> checkpointer::settle_locations(job& j, root_manifest& manifest) {
    j.added.clear();
    const auto placed = [this](const segment_ref& ref, sequence_number birth) -> result<ledger::segment_record> {
        const auto found = m_of.table.record_of(ref);
        if (!found) return error(errc::corrupt, "segment " + std::to_string(ref.number.value) + " of the cut is nowhere");
        auto at = *found;
        at.birth = birth;
        at.death = {};
        return at;
    };
    for (const auto& [ref, row] : j.what.segments.late) {
        if (m_of.broken.snapshot_misses_buffers && j.what.snapshot) break;
        auto whole = row;
        TRY(whole.at, placed(ref, row.at.birth));
        if (m_of.table.is_squeezed(ref)) whole.container = ref.number;
        manifest.rows.push_back({ref.lineage, std::move(whole)});
    }
    for (const auto& row : j.what.unused)
        if (!m_of.table.record_of({m_of.table.own(), row.at.number})) manifest.rows.push_back({m_of.table.own(), row});
    for (auto& row : m_of.table.unused_at(j.what.at)) manifest.rows.push_back({m_of.table.own(), std::move(row)});
    for (const auto& [number, birth] : j.what.segments.add) {
        if (m_of.table.is_added(number)) continue;  // by the cut before, which was not final when this one was made
        TRY(auto whole, placed({m_of.table.own(), number}, birth));
        j.added.push_back(std::move(whole));
    }
    for (const auto& each : j.what.segments.dead) manifest.declared.push_back(each.number);
    return {};
}

result<void> checkpointer::store_manifest(job& j, root_manifest manifest, entry_index base) {
    const auto content = wire::encode(manifest);
    if (content.size() > segment_length_max) return error(errc::too_large, "manifest of the root");
    TRY(auto stored, store_segment(content, j.what.at));
    reach(m_of.crashes, crash_point::root_stored);
    j.dead = m_dead;
    const auto bury = [&](const ledger::segment_record& part) {
        if (part.lineage == m_of.record.id) j.dead.push_back({part.number, j.what.at});
    };
    std::unordered_map<std::string, const stored_file*> kept;
    for (const auto& file : manifest.files) {
        kept.emplace(file.name, &file);
        if (m_in_root.contains(file.name)) continue;
        j.added.insert(j.added.end(), file.parts.begin(), file.parts.end());
    }
    for (const auto& [name, file] : m_files) {
        if (kept.contains(name)) continue;
        const bool known = m_in_root.contains(name);
        for (const auto& part : file.parts) {
            if (!known) j.added.push_back(part);  // stored for an attempt that another root overtook
            bury(part);
        }
    }
    if (m_manifest) bury(*m_manifest);
    j.added.push_back(stored);
    j.files = std::move(manifest.files);
    ledger::root root;
    root.sequence = j.what.at;
    root.term = m_of.holder.term();
    root.journal_base = base;
    root.manifest = std::move(stored);
    j.root = std::move(root);
    return {};
}

// More segments than one transaction takes are registered before. Their locations are in the journal by then, so that
// a recovery in between finds the same segments under their numbers.
result<void> checkpointer::add_in_steps(job& j) {
    if (j.added.size() <= added_at_once_max) return {};
    CHECK_OK(m_of.log.sync_locations());
    std::unordered_map<segment_number, bool, id_hash> data;
    for (const auto& each : j.what.segments.add) data.emplace(each.number, true);
    std::vector<ledger::segment_record> rest, step;
    for (auto& each : j.added) (data.contains(each.number) ? step : rest).push_back(std::move(each));
    j.added = std::move(rest);
    while (!step.empty()) {
        const auto from = step.size() - std::min(step.size(), added_at_once_max);
        std::vector<ledger::segment_record> now(step.begin() + static_cast<std::ptrdiff_t>(from), step.end());
        auto done = m_of.holder.add_segments(now);
        if (!done) {
            j.added.insert(j.added.end(), step.begin(), step.end());
            return done.error();
        }
        step.resize(from);
    }
    return {};
}

void checkpointer::rotate_keys(job& j) {
    auto wrapped = m_of.keys.wrapped();
    if (!j.rotated.empty() || wrapped.empty() || wrapped.size() >= generations_max) return;
    system_random random;
    const auto key = crypto::secret_key::generate(random);
    const auto generation = wrapped.back().generation + 1;
    wrapped.push_back(layer::keyring::wrap(m_of.who, m_of.record.id, generation, key, random));
    auto ring = *m_of.keys.ring();
    ring.add(m_of.record.id, generation, key);
    j.rotated = std::move(wrapped);
    j.rotated_ring = std::move(ring);
}

result<bool> checkpointer::is_view(const std::string& name, const ledger::root& root) {
    const auto deadline = m_of.on.world().now() + m_of.on.limits().ledger;
    TRY(auto read, net::wait(m_of.on.world(), m_of.on.ledger().read(ledger::key::view(m_of.record.id, name), deadline)));
    if (!read.value) return false;
    TRY(const auto view, wire::decode<ledger::view_record>(*read.value));
    return same_root(view.at, root);
}

// Whether the view was deleted or renamed before we heard that it was made. Its new key may be in force then.
result<bool> checkpointer::was_withdrawn(job& j) {
    const auto deadline = m_of.on.world().now() + m_of.on.limits().ledger;
    TRY(const auto read, net::wait(m_of.on.world(), m_of.on.ledger().read(ledger::key::withdrawn(m_of.record.id), deadline)));
    if (!read.value) return false;
    TRY(const auto upto, wire::decode<sequence_number>(*read.value));
    if (j.what.at > upto) return false;
    TRY(const auto volume, net::wait(m_of.on.world(), m_of.on.ledger().read(ledger::key::volume(m_of.record.id), deadline)));
    if (!volume.value) return error(errc::not_found, "volume " + m_of.record.name);
    TRY(const auto now, wire::decode<ledger::volume_record>(*volume.value));
    const bool rotated = !j.rotated.empty() && std::find(now.keyring.begin(), now.keyring.end(), j.rotated.back()) != now.keyring.end();
    if (rotated) m_of.keys.replace(std::move(*j.rotated_ring), j.rotated);
    return true;
}

bool checkpointer::is_head(const ledger::root& root) {
    const auto deadline = m_of.on.world().now() + m_of.on.limits().ledger;
    auto read = net::wait(m_of.on.world(), m_of.on.ledger().read(ledger::key::volume(m_of.record.id), deadline));
    if (!read || !read->value) return false;
    const auto record = wire::decode<ledger::volume_record>(*read->value);
    return record && same_root(record->head, root);
}

result<void> checkpointer::anchor_view(job& j) {
    const auto& snapshot = *j.what.snapshot;
    rotate_keys(j);
    CHECK_OK(add_in_steps(j));
    bool there = false;
    if (j.asked) {
        TRY(there, is_view(snapshot.name, *j.root));
    }
    if (!there) {
        // Should the view be deleted before a head follows, a recovery must find its segments under their numbers.
        CHECK_OK(m_of.log.sync_locations());
        ledger::create_view what;
        what.volume = m_of.record.id;
        what.term = m_of.holder.term();
        what.name = snapshot.name;
        what.at = *j.root;
        what.size = snapshot.size;
        what.created_unix = snapshot.created_unix;
        what.added = j.added;
        if (!j.rotated.empty()) what.rotated = {j.rotated.back()};  // the ledger appends it
        j.asked = true;
        auto done = m_of.holder.create_view(std::move(what));
        if (!done && !refused_for_good(done.error())) return done.error();
        if (!done) {
            TRY(there, is_view(snapshot.name, *j.root));
        }
        if (!done && !there) {
            TRY(const bool withdrawn, was_withdrawn(j));
            // Else the name was free when it was taken and only the owner makes views: this cannot be mended by waiting.
            if (withdrawn) log::info("volume", "snapshot was deleted or renamed meanwhile volume={} snapshot={}", m_of.record.name, snapshot.name);
            else log::error("volume", "snapshot is lost volume={} snapshot={} error={}", m_of.record.name, snapshot.name, done.error().message());
            j.view_anchored = j.view_refused = true;
            m_settled(snapshot.name, false);
            return {};
        }
    }
    if (!j.rotated.empty()) m_of.keys.replace(std::move(*j.rotated_ring), j.rotated);
    std::vector<segment_number> numbers;
    for (const auto& each : j.added) numbers.push_back(each.number);
    m_of.table.mark_added(numbers);
    j.added.clear();
    j.view_anchored = true;
    reach(m_of.crashes, crash_point::view_anchored);
    j.asked = false;
    m_settled(snapshot.name, true);
    return {};
}

result<void> checkpointer::commit(job& j) {
    CHECK_OK(add_in_steps(j));
    if (j.asked && is_head(*j.root)) return {};
    ledger::commit_root what;
    what.volume = m_of.record.id;
    what.term = m_of.holder.term();
    what.head = *j.root;
    what.added = j.added;
    what.moved = j.what.segments.moved;
    what.dead = j.dead;
    what.dead.insert(what.dead.end(), j.what.segments.dead.begin(), j.what.segments.dead.end());
    if (m_of.broken.forget_snapshots)
        for (auto& each : what.dead)
            for (const auto& [ref, row] : j.what.segments.dirty)
                if (ref.number == each.number) each.death = row.at.birth;
    j.asked = true;
    return m_of.holder.commit_root(std::move(what));
}

void checkpointer::finish(job& j) {
    m_roots.add();
    reach(m_of.crashes, crash_point::root_final);
    m_of.table.release_cut(j.what.segments);
    m_of.table.mark_declared(j.what.segments.dead);
    if (!j.what.replayed || !j.view_refused) become_last(j);
    std::error_code ignored;
    std::filesystem::remove_all(j.what.directory, ignored);
    log::debug("volume", "root is final volume={} sequence={}", m_of.record.name, j.what.at.value);
}

// The next root is compared with this one.
void checkpointer::become_last(job& j) {
    std::vector<segment_number> numbers;
    for (const auto& each : j.what.segments.add) numbers.push_back(each.number);
    m_of.table.mark_added(numbers);
    m_dead = j.what.replayed ? std::move(j.dead) : std::vector<ledger::segment_death>();
    m_in_root.clear();
    m_files.clear();
    for (auto& file : j.files) {
        m_in_root.emplace(file.name, file);
        m_files.emplace(file.name, std::move(file));
    }
    m_manifest = j.root->manifest;
}

}  // namespace cess::volume
