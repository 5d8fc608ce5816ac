// Flattening: a clone copies what it inherited, until it, and each of its snapshots, names its own lineage alone.
//
// The copies are ordinary writes of ours that are applied only if the range is still what was read, so that journal,
// replay and cuts know nothing of this. What users share meanwhile may spread inherited places behind the walk: it goes
// round until nothing inherited is mapped, and from then on nothing can be. Snapshots taken before that are rewritten then
// (view_rewriting.hpp).
#include "engine.hpp"
#include "rocks.hpp"
#include "view_rewriting.hpp"

#include <core/net/blocking.hpp>

namespace cess::volume {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::uint64_t step = 1 * MiB;           // read and written at once
constexpr std::size_t runs_at_once = 1024;        // noted by one look at the extent map
constexpr std::size_t rows_between_looks = 4096;
constexpr auto pause_before_next_round = std::chrono::milliseconds(100);
constexpr int busy_share = 5;                     // a fifth of the bandwidth while users' I/O is under way

}  // namespace

struct engine::inherited_run {
    blob_id blob = 0;
    std::uint64_t offset = 0, end = 0;
};

result<void> engine::flatten(const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
    CHECK_OK(check_writable());
    const std::unique_lock mine(m_flattening, std::try_to_lock);
    if (!mine) return error(errc::conflict, "volume " + record().name + " is being flattened already");
    if (!record().base) return error(errc::unsupported, "volume " + record().name + " shares nothing with a snapshot: it is no clone");
    std::uint64_t before = 0;
    view_rewriter::parts parts{m_layer, *m_holder, m_who, *m_pool, *m_space, m_settings, record(), {}};
    parts.pace = [&](std::uint64_t done, std::uint64_t total, std::uint64_t copied) -> result<void> {
        CHECK_OK(check_writable());
        if (total != 0 && !progress(before + done, before + total)) return error(errc::canceled, "flattening was stopped");
        return copied == 0 || pause_for(copied) ? result<void>() : check_writable();
    };
    view_rewriter views(std::move(parts));
    CHECK_OK(views.refuse_clones());
    TRY(before, copy_all_inherited(progress));
    CHECK_OK(m_store->rewrite(m_inherited_files, [this] { return !check_writable(); }));
    CHECK_OK(apply_nothing());
    const auto at = applied();
    CHECK_OK(checkpoint());  // snapshots before it are anchored then, or given up
    TRY(const auto since, views.run(at));
    return drop_base(since);
}

// Answers how much it was.
result<std::uint64_t> engine::copy_all_inherited(const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
    const auto total = m_table->inherited_bytes();
    while (m_table->inherited_bytes() != 0) {
        CHECK_OK(check_writable());
        bytes cursor;
        do {
            TRY(const auto runs, inherited_after(cursor));
            for (const auto& run : runs) {
                CHECK_OK(copy_inherited(run));
                if (!progress(total - std::min(total, m_table->inherited_bytes()), total)) return error(errc::canceled, "flattening was stopped");
            }
        } while (!cursor.empty());
        // Extents of a dropped blob are cleared behind.
        if (m_table->inherited_bytes() != 0) std::this_thread::sleep_for(pause_before_next_round);
    }
    return total;
}

// What the extent map inherits from `cursor` on, noted in bounded memory; the cursor is empty at the end.
result<std::vector<engine::inherited_run>> engine::inherited_after(bytes& cursor) const {
    std::vector<inherited_run> out;
    const auto it = m_store->walk(row::extent_kind);
    if (!cursor.empty()) it->Seek(slice(cursor));
    cursor.clear();
    std::size_t rows = 0;
    for (; it->Valid() && it->key().size() > 0 && it->key()[0] == row::extent_kind; it->Next()) {
        if (++rows % rows_between_looks == 0) CHECK_OK(check_writable());
        const auto key = view(it->key());
        TRY(const auto e, row::parse_extent(key, view(it->value())));
        if (e.lineage == m_table->own()) continue;
        const auto blob = row::big_endian(key.subspan(1));
        if (row::big_endian32(key.subspan(1 + sizeof blob)) != m_store->generation(blob)) continue;
        if (!out.empty() && out.back().blob == blob && out.back().end == e.start && e.end - out.back().offset <= step) {
            out.back().end = e.end;
            continue;
        }
        if (out.size() == runs_at_once) {
            cursor = to_bytes(key);
            break;
        }
        out.push_back({blob, e.start, e.end});
    }
    if (!it->status().ok()) return rocks_error(it->status(), "read of the extent map");
    return out;
}

result<void> engine::copy_inherited(const inherited_run& run) {
    const auto own = record().id;
    for (auto at = run.offset; at < run.end; at += step) {
        CHECK_OK(wait_for_room());
        prepared ready;
        ready.only_if = {run.blob, at, std::min(run.end, at + step), {}};
        auto& only = *ready.only_if;
        TRY(only.places, place_blob(*m_store, run.blob, at, only.end, SIZE_MAX));
        std::vector<bytes> data;
        data.reserve(only.places.size());
        change copy;
        std::uint64_t copied = 0;
        for (const auto& each : only.places) {
            if (each.lineage == own) continue;
            data.emplace_back(each.length);
            CHECK_OK(read_blob(*m_store, *m_table, *m_locator, m_layer, *m_keys, run.blob, each.offset, data.back()));
            copy.write(run.blob, each.offset, data.back());
            copied += each.length;
        }
        if (copied == 0) continue;
        const auto placed = prepare(copy, ready);
        const auto pinned = ready.change.places;
        const auto done = placed ? commit(ready) : result<sequence_number>(placed.error());
        m_pool->unpin(pinned);
        if (!done && done.error().code != errc::conflict) return done.error();  // changed meanwhile: the next round looks again
        if (!pause_for(copied)) return check_writable();
    }
    return {};
}

bool engine::pause_for(std::uint64_t bytes) {
    const auto share = std::chrono::microseconds(bytes * 1'000'000 / std::max<std::uint64_t>(1, m_settings.clean_bandwidth));
    const auto began = clock::now();
    const auto most = began + share * busy_share;
    while (clock::now() < began + share || (m_foreground.load(std::memory_order_relaxed) != 0 && clock::now() < most)) {
        if (!check_writable()) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

result<void> engine::drop_base(sequence_number at) {
    ledger::drop_base what;
    what.volume = record().id;
    what.term = m_holder->term();
    what.at = at;
    const auto deadline = m_layer.world().now() + m_layer.limits().ledger;
    CHECK_OK(net::wait(m_layer.world(), m_layer.ledger().submit(m_who, std::move(what), deadline)));
    const std::lock_guard lock(m_state_mutex);
    auto next = std::make_unique<ledger::volume_record>(*m_records.back());
    next->base.reset();
    m_records.push_back(std::move(next));
    m_record = m_records.back().get();
    return {};
}

}  // namespace cess::volume
