#include "view_rewriting.hpp"

#include "rocks.hpp"
#include "root_files.hpp"

#include <core/base/log.hpp>
#include <core/net/blocking.hpp>

#include <algorithm>
#include <filesystem>
#include <thread>
#include <unordered_set>

namespace cess::volume {
namespace {

constexpr std::uint64_t step = 1 * MiB;              // read at once
constexpr std::size_t copies_max = 256 * 1024;       // ranges remembered; what is forgotten is copied again
constexpr std::size_t rows_at_once = 1024;           // in one batch
constexpr std::size_t rows_between_looks = 4096;
constexpr std::size_t added_at_once_max = 2000;      // segments in one transaction
constexpr std::uint64_t cache_max = 8 * MiB;         // of the view's store
constexpr int rounds_max = 20;                       // each finds views that were renamed in the one before
constexpr auto pause_before_next_round = std::chrono::milliseconds(100);
constexpr auto flush_patience = std::chrono::seconds(60);

bool of_kind(const rocksdb::Iterator& it, char kind) { return it.Valid() && it.key().size() > 0 && it.key()[0] == kind; }

bool is_foreign(const stored_file& file, const volume_id& own) {
    return std::any_of(file.parts.begin(), file.parts.end(), [&](const auto& part) { return part.lineage != own; });
}

ledger::pin pin_of(const ledger::root& root) {
    ledger::pin out;
    out.sequence = root.sequence;
    if (root.manifest) out.manifest = root.manifest->number;
    return out;
}

// The first key of the lineage: every view, and every clone of one, has it.
result<std::uint32_t> first_generation(const std::vector<ledger::wrapped_key>& keys, const volume_id& lineage) {
    std::optional<std::uint32_t> out;
    for (const auto& key : keys)
        if (key.lineage == lineage && (!out || key.generation < *out)) out = key.generation;
    if (!out) return error(errc::corrupt, "a snapshot without a key of its volume");
    return *out;
}

void append_extent(std::vector<extent>& to, const extent& e) {
    const bool continues = !to.empty() && to.back().end == e.start && to.back().segment == e.segment && to.back().offset + to.back().length() == e.offset;
    if (continues) to.back().end = e.end;
    else to.push_back(e);
}

}  // namespace

struct view_rewriter::source {
    ledger::view_record view;
    settings how;
    root_manifest manifest;
    key_holder keys;
    std::uint32_t generation = 0;  // of our key that seals what is stored for it
    loaded at;
    std::unique_ptr<locator> where;
    std::vector<volume_id> lineages;
    std::uint32_t own = 0;      // index
    std::uint64_t foreign = 0;  // bytes that it inherits
    std::unordered_map<segment_number, std::optional<ledger::segment_record>, id_hash> known;  // copies, as the ledger says
    std::unordered_map<segment_number, std::uint64_t, id_hash> live;                         // bytes of copies that it names

    [[nodiscard]] sequence_number death() const noexcept { return view.at.sequence.next(); }
    [[nodiscard]] std::string label(const ledger::volume_record& of) const { return "snapshot " + of.name + "@" + view.name; }
};

struct view_rewriter::pack {
    segment_number number;
    bytes content;
    std::uint64_t capacity = 0;
    std::vector<std::pair<place, copied>> ranges;
};

view_rewriter::view_rewriter(parts of) : m_of(std::move(of)) {}

view_rewriter::~view_rewriter() {
    std::error_code ignored;
    std::filesystem::remove_all(m_of.how.directory + "/view", ignored);
    std::filesystem::remove_all(m_of.how.directory + "/view-cut", ignored);
}

// ---- which -----------------------------------------------------------------------------------------------

// With proof, and never older than what we saw before: so all that this owner made before are among them.
result<std::vector<ledger::pin>> view_rewriter::pins_before(sequence_number at) {
    const auto deadline = m_of.on.world().now() + m_of.on.limits().ledger;
    TRY(const auto read, net::wait(m_of.on.world(), m_of.on.ledger().read(ledger::key::pins(m_of.record.id), deadline)));
    if (!read.value) return std::vector<ledger::pin>();
    TRY(auto list, wire::decode<ledger::pin_list>(*read.value));
    std::erase_if(list.pins, [&](const ledger::pin& p) { return p.sequence >= at; });
    return std::move(list.pins);
}

result<std::multimap<sequence_number, std::string>> view_rewriter::names() {
    const auto deadline = m_of.on.world().now() + m_of.on.limits().ledger;
    TRY(const auto views, net::wait(m_of.on.world(), m_of.on.ledger().views(m_of.record.id, deadline)));
    std::multimap<sequence_number, std::string> out;
    for (const auto& view : views) out.emplace(view.at.sequence, view.name);
    return out;
}

result<std::optional<ledger::view_record>> view_rewriter::read_view(const std::string& name) {
    std::optional<ledger::view_record> out;
    const auto deadline = m_of.on.world().now() + m_of.on.limits().ledger;
    TRY(const auto read, net::wait(m_of.on.world(), m_of.on.ledger().read(ledger::key::view(m_of.record.id, name), deadline)));
    if (!read.value) return out;
    TRY(out, wire::decode<ledger::view_record>(*read.value));
    return out;
}

// A view past the head may be what the next owner begins with; its segments must be those of a head then, and these are not.
result<void> view_rewriter::check_head(sequence_number at) {
    const auto deadline = m_of.on.world().now() + m_of.on.limits().ledger;
    TRY(const auto read, net::wait(m_of.on.world(), m_of.on.ledger().read(ledger::key::volume(m_of.record.id), deadline)));
    if (!read.value) return error(errc::not_found, "volume " + m_of.record.name);
    TRY(const auto record, wire::decode<ledger::volume_record>(*read.value));
    if (record.term != m_of.holder.term()) return error(errc::fenced, "volume " + record.name + " has another owner now");
    if (record.head.sequence < at) return error(errc::unavailable, "volume " + record.name + ": its head is behind what was stored; try again");
    return {};
}

result<void> view_rewriter::refuse_clones() {
    const auto deadline = m_of.on.world().now() + m_of.on.limits().ledger;
    TRY(const auto views, net::wait(m_of.on.world(), m_of.on.ledger().views(m_of.record.id, deadline)));
    for (const auto& view : views)
        if (view.clones != 0) CHECK_OK(look_at(view.name, view.at.sequence, false));
    return {};
}

result<sequence_number> view_rewriter::run(sequence_number at) {
    CHECK_OK(check_head(at));
    for (int round = 0; round < rounds_max; ++round) {
        TRY(auto pins, pins_before(at));
        const auto oldest = pins.empty() ? at : pins.front().sequence;
        std::erase_if(pins, [this](const ledger::pin& p) { return m_clean.contains(p); });
        if (pins.empty()) return oldest;
        if (round != 0) std::this_thread::sleep_for(pause_before_next_round);
        TRY(const auto named, names());
        m_copies.clear();
        // The youngest first: what is copied for it serves the older ones.
        for (auto it = pins.rbegin(); it != pins.rend(); ++it) {
            const auto [from, to] = named.equal_range(it->sequence);
            for (auto name = from; name != to; ++name) CHECK_OK(look_at(name->second, it->sequence, true));
        }
    }
    return error(errc::conflict, "snapshots of volume " + m_of.record.name + " were renamed again and again; try again");
}

// One that is gone, or another by now, is left to the next round: also if that became so while it was read, whose metadata
// may have gone with it.
result<void> view_rewriter::look_at(const std::string& name, sequence_number sequence, bool rewrite) {
    TRY(const auto view, read_view(name));
    if (!view || view->at.sequence != sequence) return {};
    auto done = look_into(*view, rewrite);
    if (done) return {};
    TRY(const auto now, read_view(name));
    return now && now->at.sequence == sequence ? std::move(done) : result<void>();
}

result<void> view_rewriter::look_into(const ledger::view_record& view, bool rewrite) {
    TRY(const auto of, open(view));
    TRY(const bool clean, is_clean(*of));
    if (clean) {
        m_clean.insert(pin_of(view.at));
        return {};
    }
    if (view.clones != 0)
        return error(errc::busy, of->label(m_of.record) + " has clones, which share what it inherited; delete or flatten them first");
    if (!rewrite) return {};
    m_all += of->foreign;
    CHECK_OK(rewrite_extents(*of));
    CHECK_OK(rewrite_rows(*of));
    CHECK_OK(check_rows(*of));
    ledger::rewrite_view what;
    what.volume = m_of.record.id;
    what.term = m_of.holder.term();
    what.name = view.name;
    TRY(what.at, store_root(*of));
    const auto pinned = pin_of(what.at);
    const auto deadline = m_of.on.world().now() + m_of.on.limits().ledger;
    auto done = net::wait(m_of.on.world(), m_of.on.ledger().submit(m_of.who, std::move(what), deadline));
    if (!done) return std::move(done).error().with_context("rewrite " + of->label(m_of.record));
    m_clean.insert(pinned);
    return {};
}

result<std::unique_ptr<view_rewriter::source>> view_rewriter::open(const ledger::view_record& view) {
    TRY(auto ring, layer::keyring::unwrap(m_of.who, view.keyring));
    TRY(const auto generation, first_generation(view.keyring, m_of.record.id));
    if (!view.at.manifest) return error(errc::corrupt, "snapshot " + m_of.record.name + "@" + view.name + " has no root");
    auto how = m_of.how;
    how.directory += "/view";
    how.metadata_cache = std::min(how.metadata_cache, cache_max);
    CHECK_OK(empty_directory(how.directory));
    auto options = options_of(how, false);
    TRY(auto manifest, fetch_manifest(m_of.on, ring, view.at));
    TRY(options.remote, lay_out(m_of.on, ring, manifest, options.directory));
    TRY(auto at, load(options, manifest, std::nullopt));
    TRY(auto lineages, lineages_of(*at.state));
    const auto own = std::find(lineages.begin(), lineages.end(), m_of.record.id) - lineages.begin();
    if (own == static_cast<std::ptrdiff_t>(lineages.size())) return error(errc::corrupt, "snapshot " + m_of.record.name + "@" + view.name + " does not know its own lineage");
    auto where = std::make_unique<locator>(m_of.on, *at.table, how.metadata_cache / 4);
    return std::unique_ptr<source>(new source{view, std::move(how), std::move(manifest), key_holder(std::move(ring), view.keyring), generation, std::move(at),
                                              std::move(where), std::move(lineages), static_cast<std::uint32_t>(own), 0, {}, {}});
}

// By all its rows: what stands on it is whether the base may go.
result<bool> view_rewriter::is_clean(source& of) {
    bool clean = of.view.at.manifest->lineage == m_of.record.id;
    for (const auto& file : of.manifest.files) clean = clean && !is_foreign(file, m_of.record.id);
    for (const auto& late : of.manifest.rows) clean = clean && late.lineage == of.own;
    const auto it = of.at.state->walk(row::extent_kind);
    for (std::size_t rows = 0; of_kind(*it, row::extent_kind); it->Next()) {
        if (++rows % rows_between_looks == 0) CHECK_OK(m_of.pace(m_done, m_all, 0));
        const auto key = view(it->key());
        TRY(const auto e, row::parse_extent(key, view(it->value())));
        if (e.lineage == of.own) continue;
        clean = false;
        const auto blob = row::big_endian(key.subspan(1));
        if (row::big_endian32(key.subspan(1 + sizeof blob)) == of.at.state->generation(blob)) of.foreign += e.length();
    }
    if (!it->status().ok()) return rocks_error(it->status(), "read of the extent map");
    return clean;
}

// ---- extents ---------------------------------------------------------------------------------------------

result<void> view_rewriter::rewrite_extents(source& of) {
    auto& state = *of.at.state;
    pack into;
    into.capacity = std::min(m_of.how.segment_size, m_of.how.buffers_max / 4);
    const auto memory = m_of.pool.take_now(into.capacity);  // not waited for: writers may keep the pool full for hours
    rocksdb::WriteBatch batch;
    const auto write = [&]() -> result<void> {
        CHECK_OK(state.write(batch));
        batch.Clear();
        if (state.memtable_bytes() < of.how.memtable) return {};
        CHECK_OK(state.begin_flush());
        return state.wait_flushed(flush_patience);
    };
    const auto it = state.walk(row::extent_kind);  // as it is now
    std::vector<extent> ours;
    for (; of_kind(*it, row::extent_kind); it->Next()) {
        const auto key = view(it->key());
        TRY(const auto e, row::parse_extent(key, view(it->value())));
        if (e.lineage == of.own) continue;
        const auto blob = row::big_endian(key.subspan(1));
        const auto generation = row::big_endian32(key.subspan(1 + sizeof blob));
        batch.Delete(it->key());
        // Of a generation that was dropped nobody reads anything.
        if (generation == state.generation(blob)) {
            ours.clear();
            CHECK_OK(rewrite_one(of, into, blob, e, ours));
            for (const auto& each : ours) {
                batch.Put(slice(row::extent_key(blob, generation, each.end)), slice(row::extent_value(each)));
                of.live[each.segment] += each.length();
            }
        }
        if (static_cast<std::size_t>(batch.Count()) >= rows_at_once) CHECK_OK(write());
    }
    if (!it->status().ok()) return rocks_error(it->status(), "read of the extent map");
    CHECK_OK(seal(of, into));
    CHECK_OK(write());
    return m_of.pace(m_done, m_all, 0);
}

// The bytes of `e`, in segments of ours: where they were copied to before, or now.
result<void> view_rewriter::rewrite_one(source& of, pack& into, blob_id blob, const extent& e, std::vector<extent>& out) {
    for (auto at = e.start; at < e.end;) {
        place from{of.lineages[e.lineage], e.segment, static_cast<std::uint32_t>(e.offset + (at - e.start))};
        auto left = std::min(e.end - at, step);
        TRY(const auto copy, find_copy(of, from, left));
        if (copy) {
            const auto length = std::min<std::uint64_t>(left, copy->first.length - copy->second);
            append_extent(out, {at, at + length, of.own, copy->first.number, copy->first.offset + copy->second});
            at += length;
            m_done += length;
            continue;
        }
        if (into.content.size() == into.capacity) CHECK_OK(seal(of, into));
        if (into.content.empty()) into.number = m_of.pool.next_number();
        const auto offset = into.content.size();
        const auto length = std::min<std::uint64_t>(left, into.capacity - offset);
        into.content.resize(offset + length);
        CHECK_OK(read_blob(*of.at.state, *of.at.table, *of.where, m_of.on, of.keys, blob, at, byte_span(into.content).subspan(offset)));
        into.ranges.emplace_back(from, copied{static_cast<std::uint32_t>(length), into.number, static_cast<std::uint32_t>(offset), of.death()});
        append_extent(out, {at, at + length, of.own, into.number, static_cast<std::uint32_t>(offset)});
        at += length;
        m_done += length;
        CHECK_OK(m_of.pace(m_done, m_all, length));
    }
    return {};
}

// What is remembered of `from`, with how far into it that is; none: `gap` is cut to where something is.
result<std::optional<std::pair<view_rewriter::copied, std::uint32_t>>> view_rewriter::find_copy(source& of, const place& from, std::uint64_t& gap) {
    std::optional<std::pair<copied, std::uint32_t>> out;
    const auto next = m_copies.upper_bound(from);
    if (next != m_copies.begin()) {
        const auto& [begin, copy] = *std::prev(next);
        const bool covers = begin.lineage == from.lineage && begin.segment == from.segment && begin.offset + copy.length > from.offset;
        if (covers && of.view.at.sequence < copy.death) {
            TRY(const auto there, copy_in_ledger(of, copy.number));
            if (there) {
                out.emplace(copy, from.offset - begin.offset);
                return out;
            }
        }
    }
    if (next != m_copies.end() && next->first.lineage == from.lineage && next->first.segment == from.segment)
        gap = std::min<std::uint64_t>(gap, next->first.offset - from.offset);
    return out;
}

// It may have been freed with the views that it was for.
result<std::optional<ledger::segment_record>> view_rewriter::copy_in_ledger(source& of, segment_number number) {
    if (const auto it = of.known.find(number); it != of.known.end()) return it->second;
    std::optional<ledger::segment_record> out;
    const auto deadline = m_of.on.world().now() + m_of.on.limits().ledger;
    TRY(const auto read, net::wait(m_of.on.world(), m_of.on.ledger().read(ledger::key::segment(m_of.record.id, number), deadline)));
    if (read.value) {
        TRY(out, wire::decode<ledger::segment_record>(*read.value));
    }
    of.known.emplace(number, out);
    return out;
}

// Stores what was gathered. Only what the ledger has is found again.
result<void> view_rewriter::seal(source& of, pack& into) {
    if (into.content.empty()) return {};
    CHECK_OK(m_of.room.admit(into.content.size()));
    layer::segment_spec spec;
    spec.number = into.number;
    spec.geometry = m_of.record.geometry;
    if (m_of.record.block_size) spec.block_size = m_of.record.block_size;
    spec.lineage = m_of.record.id;
    spec.key_generation = of.generation;
    TRY(auto stored, m_of.holder.put_segment(*of.keys.ring(), spec, into.content));
    stored.birth = {1};
    stored.death = of.death();
    CHECK_OK(add({stored}));
    of.known[into.number] = stored;
    if (m_copies.size() + into.ranges.size() > copies_max) m_copies.clear();
    for (const auto& [from, to] : into.ranges) m_copies.insert_or_assign(from, to);
    into.content.clear();
    into.ranges.clear();
    return {};
}

result<void> view_rewriter::add(std::vector<ledger::segment_record> segments) {
    for (std::size_t at = 0; at < segments.size(); at += added_at_once_max) {
        const auto end = std::min(segments.size(), at + added_at_once_max);
        std::vector<ledger::segment_record> now(segments.begin() + static_cast<std::ptrdiff_t>(at), segments.begin() + static_cast<std::ptrdiff_t>(end));
        CHECK_OK(m_of.holder.add_segments(std::move(now)));
    }
    return {};
}

// ---- segments --------------------------------------------------------------------------------------------

// A row for each copy that is named, and none for what is foreign.
result<void> view_rewriter::rewrite_rows(source& of) {
    rocksdb::WriteBatch batch;
    const auto it = of.at.state->walk(row::segment_kind);
    for (; of_kind(*it, row::segment_kind); it->Next()) {
        TRY(const auto ref, row::parse_segment_key(view(it->key())));
        if (ref.first != of.own) batch.Delete(it->key());
    }
    if (!it->status().ok()) return rocks_error(it->status(), "read of the segment table");
    for (const auto& [number, live] : of.live) {
        const auto known = of.known.find(number);
        if (known == of.known.end() || !known->second) return error(errc::corrupt, "a copy for " + of.label(m_of.record) + " was never stored");
        segment_row row;
        row.at = *known->second;
        row.at.death = {};
        row.live = live;
        batch.Put(slice(row::segment_key(of.own, number)), slice(wire::encode(row)));
    }
    CHECK_OK(of.at.state->write(batch));
    std::erase_if(of.manifest.rows, [&](const late_row& late) { return late.lineage != of.own; });
    of.manifest.declared.clear();
    return {};
}

// Every extent is of our lineage, and says where its bytes are.
result<void> view_rewriter::check_rows(source& of) {
    const auto wrong = [&](segment_number number) {
        return error(errc::corrupt, of.label(m_of.record) + " would name segment " + std::to_string(number.value) + " that it does not know; it stays as it is");
    };
    std::unordered_map<segment_number, segment_number, id_hash> known;  // → its container
    const auto note = [&](const segment_row& row) {
        if (!row.at.id.is_zero()) known[row.at.number] = row.container;
    };
    const auto rows = of.at.state->walk(row::segment_kind);
    for (; of_kind(*rows, row::segment_kind); rows->Next()) {
        TRY(const auto ref, row::parse_segment_key(view(rows->key())));
        if (ref.first != of.own) return wrong(ref.second);
        TRY(const auto row, wire::decode<segment_row>(view(rows->value())));
        note(row);
    }
    if (!rows->status().ok()) return rocks_error(rows->status(), "read of the segment table");
    for (const auto& late : of.manifest.rows) note(late.row);
    const auto it = of.at.state->walk(row::extent_kind);
    for (; of_kind(*it, row::extent_kind); it->Next()) {
        TRY(const auto e, row::parse_extent(view(it->key()), view(it->value())));
        const auto found = known.find(e.segment);
        if (e.lineage != of.own || found == known.end()) return wrong(e.segment);
        if (found->second.value != 0 && !known.contains(found->second)) return wrong(found->second);
    }
    if (!it->status().ok()) return rocks_error(it->status(), "read of the extent map");
    return {};
}

// ---- the root --------------------------------------------------------------------------------------------

result<ledger::root> view_rewriter::store_root(source& of) {
    auto& state = *of.at.state;
    CHECK_OK(state.begin_flush());
    CHECK_OK(state.wait_flushed(flush_patience));
    std::set<std::string> foreign;
    std::map<std::string, const stored_file*> ours;
    for (const auto& file : of.manifest.files) {
        if (is_foreign(file, m_of.record.id)) foreign.insert(file.name);
        else ours.emplace(file.name, &file);
    }
    CHECK_OK(state.rewrite(foreign, [&] { return !m_of.pace(m_done, m_all, 0).has_value(); }));
    const auto directory = m_of.how.directory + "/view-cut";
    CHECK_OK(state.checkpoint_to(directory));
    TRY(auto local, list_checkpoint(directory));
    root_manifest manifest = of.manifest;
    manifest.files.clear();
    std::vector<ledger::segment_record> added;
    for (const auto& name : local.tables) {
        if (const auto it = ours.find(name); it != ours.end()) {
            manifest.files.push_back(*it->second);
            continue;
        }
        if (foreign.contains(name)) return error(errc::corrupt, of.label(m_of.record) + " still has metadata of its base; it stays as it is");
        TRY(auto file, store_file(of, directory + "/" + name, name));
        added.insert(added.end(), file.parts.begin(), file.parts.end());
        manifest.files.push_back(std::move(file));
    }
    manifest.small = std::move(local.small);
    const auto content = wire::encode(manifest);
    if (content.size() > segment_length_max) return error(errc::too_large, "manifest of " + of.label(m_of.record));
    TRY(auto stored, store_segment(of, content, metadata_block));
    added.push_back(stored);
    CHECK_OK(add(std::move(added)));
    auto root = of.view.at;
    root.manifest = std::move(stored);
    return root;
}

result<stored_file> view_rewriter::store_file(source& of, const std::string& path, const std::string& name) {
    TRY(const auto content, read_whole(path));
    stored_file file;
    file.name = name;
    file.size = content.size();
    file.hash = crypto::sha256(content);
    for (byte_view rest = content; !rest.empty();) {
        const auto part = rest.first(std::min<std::size_t>(rest.size(), m_of.how.segment_size));
        TRY(auto stored, store_segment(of, part, metadata_block));
        file.parts.push_back(std::move(stored));
        rest = rest.subspan(part.size());
    }
    return file;
}

result<ledger::segment_record> view_rewriter::store_segment(source& of, byte_view content, std::uint32_t block_size) {
    CHECK_OK(m_of.room.admit(content.size()));
    layer::segment_spec spec;
    spec.number = m_of.pool.next_number();
    spec.geometry = m_of.record.geometry;
    spec.block_size = block_size;
    spec.lineage = m_of.record.id;
    spec.key_generation = of.generation;
    TRY(auto stored, m_of.holder.put_segment(*of.keys.ring(), spec, content));
    stored.birth = of.view.at.sequence;  // of this view alone
    stored.death = of.death();
    return stored;
}

}  // namespace cess::volume
