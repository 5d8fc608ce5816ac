#include "rocks.hpp"
#include "store.hpp"

namespace cess::volume {
namespace {

bool continues(const extent& a, const extent& b) noexcept {
    return a.end == b.start && a.lineage == b.lineage && a.segment == b.segment && a.offset + a.length() == b.offset;
}

}  // namespace

executor::executor(store& on, const segment_table& table, std::size_t extent_edits, sequence_number at)
    : m_store(on), m_table(table), m_at(at), m_indexed(extent_edits > 1) {
    if (m_indexed)
        m_batch = std::make_unique<rocksdb::WriteBatchWithIndex>(rocksdb::BytewiseComparator(), 0, true);
    else
        m_batch = std::make_unique<rocksdb::WriteBatch>();
}

executor::~executor() = default;

rocksdb::WriteBatch& executor::batch() { return *m_batch->GetWriteBatch(); }

std::int64_t executor::logical_delta() const noexcept {
    std::int64_t sum = 0;
    for (const auto& [ref, delta] : m_deltas) sum += delta.net;
    return sum;
}

void executor::publish() {
    for (const auto& [blob, to] : m_generations) m_store.set_generation(blob, to);
    auto& hot = m_store.hot_extents();
    for (const auto& each : m_row_changes) {
        if (each.written) hot.inserted(each.blob, each.generation, each.row);
        else hot.erased(each.blob, each.generation, each.row);
    }
}

result<void> executor::run(const edit_record& edit) {
    return std::visit([this](const auto& e) { return run_one(e); }, edit);
}

result<void> executor::put_row(byte_view key, byte_view value) {
    if (const auto status = m_batch->Put(slice(key), slice(value)); !status.ok()) return rocks_error(status, "batch");
    return {};
}

result<void> executor::put_extent(blob_id blob, const extent& e) {
    note(true, blob, e);
    return put_row(row::extent_key(blob, generation(blob), e.end), row::extent_value(e));
}

void executor::note(bool written, blob_id blob, const extent& e) { m_row_changes.push_back({written, blob, generation(blob), e}); }

result<void> executor::erase_row(byte_view key) {
    if (const auto status = m_batch->Delete(slice(key)); !status.ok()) return rocks_error(status, "batch");
    return {};
}

std::unique_ptr<rocksdb::Iterator> executor::iterate() {
    auto* base = m_store.db().NewIterator(rocksdb::ReadOptions());
    if (!m_indexed || !m_extents_touched) return std::unique_ptr<rocksdb::Iterator>(base);
    return std::unique_ptr<rocksdb::Iterator>(static_cast<rocksdb::WriteBatchWithIndex&>(*m_batch).NewIteratorWithBase(base));
}

std::uint32_t executor::generation(blob_id blob) const {
    const auto it = m_generations.find(blob);
    return it != m_generations.end() ? it->second : m_store.generation(blob);
}

void executor::count(const extent& e, std::int64_t sign) {
    auto& delta = m_deltas[{e.lineage, e.segment}];
    delta.net += sign * static_cast<std::int64_t>(e.length());
    delta.used |= sign > 0;
}

// What a chunk of hot extents knows of a range that lies within it.
std::optional<executor::overlap> executor::collect_hot(blob_id blob, std::uint64_t offset, std::uint64_t end) {
    auto& hot = m_store.hot_extents();
    const extent_cache::place at{blob, generation(blob), offset / extent_cache::chunk_size};
    if (m_extents_touched || end > (at.chunk + 1) * extent_cache::chunk_size) return std::nullopt;
    const auto* rows = hot.find(at);
    if (!rows && hot.wanted(at)) rows = fill_hot(at);
    if (!rows) return std::nullopt;
    overlap out;
    auto it = std::lower_bound(rows->begin(), rows->end(), offset, [](const extent& e, std::uint64_t from) { return e.end < from; });
    if (it != rows->end() && it->end == offset) out.before = *it++;
    for (; it != rows->end() && it->start < end; ++it) out.inside.push_back(*it);
    return out;
}

const extent_cache::rows* executor::fill_hot(const extent_cache::place& at) {
    const auto from = at.chunk * extent_cache::chunk_size;
    const auto prefix = row::extent_prefix(at.blob, at.generation);
    extent_cache::rows rows;
    const auto it = iterate();
    for (it->Seek(slice(row::extent_key(at.blob, at.generation, from))); it->Valid(); it->Next()) {
        const auto key = view(it->key());
        if (key.size() < prefix.size() || !equal(key.first(prefix.size()), prefix)) break;
        const auto e = row::parse_extent(key, view(it->value()));
        if (!e) return nullptr;  // whoever reads it for its own sake says so
        if (e->start >= from + extent_cache::chunk_size) break;
        rows.push_back(*e);
    }
    if (!it->status().ok()) return nullptr;
    return &m_store.hot_extents().fill(at, std::move(rows));
}

result<void> executor::bury(const extent& e) {
    count(e, -1);
    if (e.lineage != m_table.own()) return {};
    const auto birth = m_table.birth_if_viewed(e.segment);
    if (!birth) return {};
    dead_range range;
    range.segment = e.segment;
    range.offset = e.offset;
    range.length = static_cast<std::uint32_t>(e.length());
    range.death = m_at;
    m_buried += e.length();
    return put_row(row::dead_key(range), row::dead_value(*birth));
}

result<executor::overlap> executor::collect(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit) {
    if (auto hot = collect_hot(blob, offset, end)) return std::move(*hot);
    overlap out;
    const auto it = iterate();
    const auto prefix = row::extent_prefix(blob, generation(blob));
    for (it->Seek(slice(row::extent_key(blob, generation(blob), offset))); it->Valid(); it->Next()) {
        const auto key = view(it->key());
        if (key.size() < prefix.size() || !equal(key.first(prefix.size()), prefix)) break;
        TRY(auto e, row::parse_extent(key, view(it->value())));
        if (e.end == offset) {
            out.before = e;
            continue;
        }
        if (e.start >= end || out.inside.size() >= limit) break;
        out.inside.push_back(e);
    }
    if (!it->status().ok()) return rocks_error(it->status(), "read of the extent map");
    return out;
}

// `filled`: a row that ends at `end` is written next, in the stead of one that is there.
result<void> executor::punch(blob_id blob, const overlap& found, std::uint64_t offset, std::uint64_t end, bool filled) {
    for (const auto& e : found.inside) {
        m_extents_touched = true;
        auto cut = e;
        cut.start = std::max(e.start, offset);
        cut.end = std::min(e.end, end);
        cut.offset = static_cast<std::uint32_t>(e.offset + (cut.start - e.start));
        CHECK_OK(bury(cut));
        if (cut.lineage == m_table.own() && m_table.is_remembered(cut.segment))
            m_overwritten.push_back({cut.segment, cut.offset, static_cast<std::uint32_t>(cut.length()), m_at});
        note(false, blob, e);
        const bool replaced = e.end > end || (filled && e.end == end);
        if (!replaced) CHECK_OK(erase_row(row::extent_key(blob, generation(blob), e.end)));
        if (e.start < offset) {
            auto left = e;
            left.end = offset;
            CHECK_OK(put_extent(blob, left));
        }
        if (e.end > end) {
            auto right = e;
            right.start = end;
            right.offset = static_cast<std::uint32_t>(e.offset + (end - e.start));
            CHECK_OK(put_extent(blob, right));
        }
    }
    return {};
}

result<void> executor::place(blob_id blob, std::optional<extent>& before, extent e) {
    m_extents_touched = true;
    count(e, +1);
    if (before && continues(*before, e)) {
        note(false, blob, *before);
        CHECK_OK(erase_row(row::extent_key(blob, generation(blob), before->end)));
        e.start = before->start;
        e.offset = before->offset;
    }
    CHECK_OK(put_extent(blob, e));
    before = e;
    return {};
}

result<void> executor::run_one(const put_edit& e) { return put_row(row::user_key(e.key), e.value); }

result<void> executor::run_one(const erase_edit& e) { return erase_row(row::user_key(e.key)); }

result<void> executor::run_one(const write_edit& e) {
    std::uint64_t length = 0;
    for (const auto& each : e.places) length += each.length;
    if (length == 0) return {};
    if (e.offset > blob_size_max || length > blob_size_max - e.offset) return error(errc::corrupt, "write past the end of a blob");
    TRY(auto found, collect(e.blob, e.offset, e.offset + length));
    CHECK_OK(punch(e.blob, found, e.offset, e.offset + length, true));
    auto at = e.offset;
    for (const auto& each : e.places) {
        if (each.length == 0) continue;
        extent next{at, at + each.length, m_table.own(), each.segment, each.offset};
        CHECK_OK(place(e.blob, found.before, next));
        at = next.end;
    }
    return {};
}

result<void> executor::run_one(const zero_edit& e) {
    if (e.length == 0) return {};
    const auto end = e.length > blob_size_max - std::min(e.offset, blob_size_max) ? blob_size_max : e.offset + e.length;
    if (e.offset == 0) {  // all of it, however long (a whole device): the same as a drop
        TRY(auto past, collect(e.blob, end, blob_size_max, 1));
        if (past.inside.empty()) return run_one(drop_edit{e.blob});
    }
    TRY(auto found, collect(e.blob, e.offset, end));
    return punch(e.blob, found, e.offset, end);
}

result<void> executor::run_one(const share_edit& e) {
    if (e.length == 0) return {};
    if (e.from_offset > blob_size_max - e.length || e.to_offset > blob_size_max - e.length) return error(errc::corrupt, "share past the end of a blob");
    TRY(auto source, collect(e.from, e.from_offset, e.from_offset + e.length));
    TRY(auto found, collect(e.to, e.to_offset, e.to_offset + e.length));
    CHECK_OK(punch(e.to, found, e.to_offset, e.to_offset + e.length));
    for (const auto& each : source.inside) {
        auto part = each;
        part.start = std::max(each.start, e.from_offset);
        part.end = std::min(each.end, e.from_offset + e.length);
        part.offset = static_cast<std::uint32_t>(each.offset + (part.start - each.start));
        part.start = part.start - e.from_offset + e.to_offset;
        part.end = part.end - e.from_offset + e.to_offset;
        CHECK_OK(place(e.to, found.before, part));
        m_deltas[{part.lineage, part.segment}].shared = true;
    }
    return {};
}

result<void> executor::run_one(const drop_edit& e) {
    TRY(auto found, collect(e.blob, 0, blob_size_max, drop_at_once_max + 1));
    if (found.inside.size() <= drop_at_once_max) return punch(e.blob, found, 0, blob_size_max);
    const auto old = generation(e.blob);
    bytes next(4);
    for (int i = 0; i < 4; ++i) next[static_cast<std::size_t>(i)] = static_cast<std::byte>((old + 1) >> (24 - 8 * i));
    CHECK_OK(put_row(row::generation_key(e.blob), next));
    CHECK_OK(put_row(row::dropped_key(e.blob, old), {}));
    m_generations[e.blob] = old + 1;
    m_extents_touched = true;
    return {};
}

result<void> executor::run_one(const snapshot_edit& e) {
    m_snapshot = e;
    return {};
}

result<bool> executor::clear_dropped(blob_id blob, std::uint32_t generation_, std::size_t limit) {
    const auto it = iterate();
    const auto prefix = row::extent_prefix(blob, generation_);
    std::size_t cleared = 0;
    for (it->Seek(slice(prefix)); it->Valid() && cleared < limit; it->Next(), ++cleared) {
        const auto key = view(it->key());
        if (key.size() < prefix.size() || !equal(key.first(prefix.size()), prefix)) break;
        TRY(auto e, row::parse_extent(key, view(it->value())));
        CHECK_OK(bury(e));
        CHECK_OK(erase_row(key));
    }
    if (!it->status().ok()) return rocks_error(it->status(), "read of the extent map");
    const bool done = cleared < limit;
    if (done) CHECK_OK(erase_row(row::dropped_key(blob, generation_)));
    return done;
}

}  // namespace cess::volume
