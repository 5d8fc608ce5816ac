#include "store.hpp"

#include "remote_files.hpp"
#include "rocks.hpp"
#include "root_files.hpp"

#include <rocksdb/cache.h>
#include <rocksdb/file_system.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>

#include <condition_variable>

namespace cess::volume {

error rocks_error(const rocksdb::Status& status, std::string_view what) {
    const auto code = status.IsCorruption() ? errc::corrupt : status.IsNoSpace() ? errc::no_space : errc::io;
    return {code, std::string(what) + ": " + status.ToString()};
}

class store::flush_listener final : public rocksdb::EventListener {
public:
    void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo&) override {
        const std::lock_guard lock(m_mutex);
        m_changed.notify_all();
    }
    void OnBackgroundError(rocksdb::BackgroundErrorReason why, rocksdb::Status* status) override {
        // One that lacked a table is tried again; one that cannot be mended fails the next write.
        if (why == rocksdb::BackgroundErrorReason::kCompaction) return;
        const std::lock_guard lock(m_mutex);
        m_failure = *status;
        m_changed.notify_all();
    }
    // Until no memtable waits to be flushed.
    result<void> wait(rocksdb::DB& db, net::duration patience) {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        std::unique_lock lock(m_mutex);
        for (;;) {
            if (!m_failure.ok()) return rocks_error(m_failure, "flush of the local store");
            lock.unlock();
            std::uint64_t waiting = 0;
            if (!db.GetIntProperty(rocksdb::DB::Properties::kNumImmutableMemTable, &waiting)) return error(errc::io, "local store has no property");
            if (waiting == 0) return {};
            lock.lock();
            // The event may precede the property; the short wait bounds what a lost one costs.
            m_changed.wait_for(lock, std::chrono::milliseconds(2));
            if (std::chrono::steady_clock::now() > deadline) return error(errc::timeout, "flush of the local store");
        }
    }

private:
    std::mutex m_mutex;
    std::condition_variable m_changed;
    rocksdb::Status m_failure;
};

namespace {

constexpr std::size_t brought_at_once_max = 4096;  // extents
constexpr std::size_t deleted_window = 512, deleted_max = 256;  // rows of a table, next to each other

rocksdb::Options rocks_options(const store::options& how) {
    rocksdb::Options o;
    o.create_if_missing = !how.read_only;
    o.write_buffer_size = how.memtable * 16;  // never reached: the engine switches memtables itself
    o.max_write_buffer_number = 4;
    o.arena_block_size = 256 * KiB;
    o.target_file_size_base = how.table;
    o.max_bytes_for_level_base = 32 * MiB;
    o.level0_file_num_compaction_trigger = 6;
    // Writers hold the apply lock: RocksDB shall not make them sleep, also while compaction waits for a table to come.
    o.level0_slowdown_writes_trigger = 8192;
    o.level0_stop_writes_trigger = 16'384;
    o.level_compaction_dynamic_level_bytes = true;
    // Large writes over small ones leave the rows of these deleted, and each read there steps over them: such tables are
    // compacted though there are few.
    o.table_properties_collector_factories.push_back(rocksdb::NewCompactOnDeletionCollectorFactory(deleted_window, deleted_max));
    o.compression = rocksdb::kLZ4Compression;
    o.max_manifest_file_size = 1 * MiB;
    o.max_background_jobs = 2;
    o.max_open_files = 512;
    o.keep_log_file_num = 1;
    o.info_log_level = rocksdb::WARN_LEVEL;
    o.stats_dump_period_sec = 0;
    o.stats_persist_period_sec = 0;
    o.avoid_flush_during_shutdown = true;
    o.persist_stats_to_disk = false;
    rocksdb::BlockBasedTableOptions t;
    t.block_cache = rocksdb::NewLRUCache(how.cache - how.cache / 3);
    t.cache_index_and_filter_blocks = true;
    t.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    t.format_version = 5;
    t.block_size = 8 * KiB;
    o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(t));
    o.skip_stats_update_on_db_open = how.remote != nullptr;  // it opens tables
    return o;
}

}  // namespace

result<std::unique_ptr<store>> store::open(const options& how) {
    std::unique_ptr<store> out(new store(how));
    auto o = rocks_options(how);
    if (how.remote) {
        out->m_env = rocksdb::NewCompositeEnv(how.remote);
        o.env = out->m_env.get();
    }
    out->m_listener = std::make_shared<flush_listener>();
    o.listeners.push_back(out->m_listener);
    rocksdb::DB* db = nullptr;
    const auto status = how.read_only ? rocksdb::DB::OpenForReadOnly(o, how.directory, &db) : rocksdb::DB::Open(o, how.directory, &db);
    if (!status.ok()) return rocks_error(status, "open local store in " + how.directory);
    out->m_db.reset(db);
    out->m_cursors = std::make_unique<cursor_pool>(*db);
    CHECK_OK(out->load_generations());
    return out;
}

store::store(options how) : m_how(std::move(how)), m_hot_extents(m_how.cache / 3) {}

store::~store() {
    if (m_how.remote) m_how.remote->stop();
}

bool store::incomplete() const noexcept { return m_how.remote && m_how.remote->any_missing(); }

void store::bring_rest() const {
    if (m_how.remote) m_how.remote->bring_rest();
}

result<void> store::bring(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit) const {
    constexpr auto chunk = extent_cache::chunk_size;
    const auto last = end > blob_size_max - chunk ? end : (end + chunk - 1) / chunk * chunk;
    auto from = offset / chunk * chunk;
    if (from > 0) --from;  // what ends where the edit begins is looked at, too
    while (incomplete()) {
        const auto now = std::min(limit, brought_at_once_max);
        TRY(const auto rows, extents(blob, from, last, now));
        if (rows.size() < now || now == limit) return {};
        limit -= now;
        from = rows.back().end;
    }
    return {};
}

result<void> store::load_generations() {
    TRY(auto rows, scan(row::one(row::generation_kind), {}, SIZE_MAX, 1));
    for (const auto& each : rows) {
        if (each.key.size() != 8 || each.value.size() != 4) return error(errc::corrupt, "generation row of the wrong size");
        m_generations[row::big_endian(each.key)] = row::big_endian32(each.value);
    }
    return {};
}

result<std::optional<bytes>> store::get(byte_view key) const {
    rocksdb::PinnableSlice value;
    const auto status = m_db->Get(rocksdb::ReadOptions(), m_db->DefaultColumnFamily(), slice(key), &value);
    if (status.IsNotFound()) return std::optional<bytes>();
    if (!status.ok()) return rocks_error(status, "read of the local store");
    return std::optional(to_bytes(view(value)));
}

result<std::vector<key_value>> store::scan(byte_view prefix, byte_view from, std::size_t limit, std::size_t strip) const {
    rocksdb::ReadOptions how;
    auto after = to_bytes(prefix);  // the first key past the prefix; prefixes start with a row kind, so it exists
    while (!after.empty() && after.back() == std::byte{0xff}) after.pop_back();
    if (after.empty()) return error(errc::invalid, "scan of everything");
    after.back() = static_cast<std::byte>(std::to_integer<unsigned>(after.back()) + 1);
    const auto upper = slice(after);
    how.iterate_upper_bound = &upper;
    const std::unique_ptr<rocksdb::Iterator> it(m_db->NewIterator(how));
    const bool later = std::lexicographical_compare(prefix.begin(), prefix.end(), from.begin(), from.end());
    std::vector<key_value> out;
    for (it->Seek(slice(later ? from : prefix)); it->Valid() && out.size() < limit; it->Next())
        out.push_back({to_bytes(view(it->key()).subspan(strip)), to_bytes(view(it->value()))});
    if (!it->status().ok()) return rocks_error(it->status(), "scan of the local store");
    return out;
}

std::unique_ptr<rocksdb::Iterator> store::walk(char kind) const {
    rocksdb::ReadOptions how;
    how.fill_cache = false;
    how.readahead_size = 256 * KiB;
    std::unique_ptr<rocksdb::Iterator> it(m_db->NewIterator(how));
    it->Seek(slice(row::one(kind)));
    return it;
}

result<std::vector<extent>> store::extents(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit) const {
    std::vector<extent> out;
    if (offset >= end || limit == 0) return out;
    const auto now = m_found.changes();
    if (const auto known = m_found.find(now, blob, offset, end)) {
        out.push_back(*known);
        return out;
    }
    TRY(const bool done, extents_by_cursor(blob, offset, end, limit, out));
    if (!done) {
        out.clear();
        CHECK_OK(extents_bounded(blob, offset, end, limit, out));
    }
    if (out.size() == 1 && out.front().start <= offset && out.front().end >= end) m_found.keep(now, blob, offset, out.front());
    return out;
}

result<bool> store::extents_by_cursor(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit, std::vector<extent>& out) const {
    const auto from = row::extent_key(blob, generation(blob), offset + 1);
    const auto prefix = byte_view(from).first(from.size() - sizeof(std::uint64_t));
    auto cursor = m_cursors->take();
    auto& it = *cursor.rows;
    for (it.Seek(slice(from)); it.Valid() && out.size() < limit; it.Next()) {
        if (!it.key().starts_with(slice(prefix))) break;
        TRY(auto e, row::parse_extent(view(it.key()), view(it.value())));
        if (e.start >= end) break;
        out.push_back(e);
        if (e.end >= end) break;  // they never overlap: to look at the next costs as much again
    }
    if (it.status().IsIncomplete()) return false;
    if (!it.status().ok()) return rocks_error(it.status(), "read of the extent map");
    m_cursors->give_back(std::move(cursor));
    return true;
}

result<void> store::extents_bounded(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit, std::vector<extent>& out) const {
    const auto generation_now = generation(blob);
    const auto from = row::extent_key(blob, generation_now, offset + 1);
    const auto last = row::extent_key(blob, generation_now, ~std::uint64_t{0});
    const auto upper = slice(last);
    rocksdb::ReadOptions how;
    how.iterate_upper_bound = &upper;
    const std::unique_ptr<rocksdb::Iterator> it(m_db->NewIterator(how));
    for (it->Seek(slice(from)); it->Valid() && out.size() < limit; it->Next()) {
        TRY(auto e, row::parse_extent(view(it->key()), view(it->value())));
        if (e.start >= end) break;
        out.push_back(e);
    }
    if (!it->status().ok()) return rocks_error(it->status(), "read of the extent map");
    return {};
}

std::uint32_t store::generation(blob_id blob) const {
    const std::shared_lock lock(m_generations_mutex);
    const auto it = m_generations.find(blob);
    return it == m_generations.end() ? 0 : it->second;
}

void store::set_generation(blob_id blob, std::uint32_t to) {
    const extent_memo::change changing(m_found);
    const std::lock_guard lock(m_generations_mutex);
    m_generations[blob] = to;
}

result<void> store::write(rocksdb::WriteBatch& batch) {
    rocksdb::WriteOptions how;
    how.disableWAL = true;
    const auto size = batch.GetDataSize() + std::uint64_t{64} * static_cast<std::uint64_t>(batch.Count());
    const extent_memo::change changing(m_found);
    if (const auto status = m_db->Write(how, &batch); !status.ok()) return rocks_error(status, "write to the local store");
    m_cursors->written();
    m_memtable_bytes.fetch_add(size, std::memory_order_relaxed);
    return {};
}

result<void> store::begin_flush() {
    rocksdb::FlushOptions how;
    how.wait = false;
    how.allow_write_stall = true;
    m_flushing = true;
    m_cursors->clear();
    m_memtable_bytes = 0;
    if (const auto status = m_db->Flush(how); !status.ok()) {
        m_flushing = false;
        return rocks_error(status, "flush of the local store");
    }
    return {};
}

result<void> store::wait_flushed(net::duration patience) {
    CHECK_OK(m_listener->wait(*m_db, patience));
    m_cursors->clear();
    m_flushing = false;
    return {};
}

// Not by CompactRange(), which would flush the memtable.
result<void> store::rewrite(const std::set<std::string>& tables, const std::function<bool()>& stop) {
    // This opens all of them, which brings those that are not here yet: one that cannot come must not fail a compaction.
    rocksdb::TablePropertiesCollection opened;
    if (const auto status = m_db->GetPropertiesOfAllTables(&opened); !status.ok()) return rocks_error(status, "read of the local store's tables");
    for (;;) {
        if (stop()) return error(errc::canceled, "volume is closed");
        rocksdb::ColumnFamilyMetaData now;
        m_db->GetColumnFamilyMetaData(&now);
        std::vector<std::string> left;
        for (const auto& level : now.levels)
            for (const auto& file : level.files)
                if (tables.contains(file.name.substr(file.name.find_first_not_of('/')))) left.push_back(file.name);
        if (left.empty()) return {};
        const auto bottom = static_cast<int>(now.levels.size()) - 1;
        const auto status = m_db->CompactFiles(rocksdb::CompactionOptions(), left, bottom);
        // One that the store is compacting by itself is gone soon.
        if (!status.ok() && !status.IsAborted() && !status.IsInvalidArgument()) return rocks_error(status, "compaction of the local store");
        if (!status.ok()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

namespace {

// What is live stays on the disk meanwhile.
class deletions_held {
public:
    explicit deletions_held(rocksdb::DB& of) : m_of(of), m_status(of.DisableFileDeletions()) {}
    ~deletions_held() {
        if (m_status.ok()) (void)m_of.EnableFileDeletions(/*force=*/false);
    }
    deletions_held(const deletions_held&) = delete;
    deletions_held& operator=(const deletions_held&) = delete;
    [[nodiscard]] const rocksdb::Status& status() const noexcept { return m_status; }

private:
    rocksdb::DB& m_of;
    const rocksdb::Status m_status;
};

}  // namespace

// rocksdb::Checkpoint would look for logs, of which we have none, and before that wait for readers to have let go of old
// files: when the last of them does, nobody wakes it (RocksDB 14069), and it waits for ever.
result<void> store::checkpoint_to(const std::string& directory) {
    const deletions_held meanwhile(*m_db);
    if (!meanwhile.status().ok()) return rocks_error(meanwhile.status(), "checkpoint of the local store");
    std::vector<std::string> names;  // with a slash before
    std::uint64_t manifest_size = 0;
    // Not flushing: what came since belongs to the next cut.
    const auto listed = m_db->GetLiveFiles(names, &manifest_size, /*flush_memtable=*/false);
    if (!listed.ok()) return rocks_error(listed, "checkpoint of the local store");
    CHECK_OK(empty_directory(directory));
    for (const auto& name : names) CHECK_OK(checkpoint_file(name, manifest_size, directory + name));
    return {};
}

// Tables are linked, being immutable. The manifest grows, and CURRENT may name the next one by now.
result<void> store::checkpoint_file(const std::string& name, std::uint64_t manifest_size, const std::string& to) {
    const auto from = m_how.directory + name;
    if (name.ends_with(".sst")) {
        const auto linked = m_db->GetFileSystem()->LinkFile(from, to, rocksdb::IOOptions(), nullptr);
        return linked.ok() ? result<void>() : rocks_error(linked, "checkpoint of the local store");
    }
    if (name == "/CURRENT") return {};  // written with what it names
    TRY(auto content, read_whole(from));
    if (!name.starts_with("/MANIFEST-")) return write_whole(to, content);
    if (content.size() < manifest_size) return error(errc::corrupt, from + " is shorter than the local store says");
    content.resize(manifest_size);
    CHECK_OK(write_whole(to, content));
    return write_whole(to.substr(0, to.rfind('/')) + "/CURRENT", as_view(name.substr(1) + "\n"));
}

}  // namespace cess::volume
