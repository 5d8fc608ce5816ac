// The key-value store under an open volume or snapshot: one RocksDB, without its log (the journal is ours), rebuilt
// at every open. Readers are free; the writing calls are serialised by the engine's apply lock.
//
// Memtables are switched only by begin_flush(), never by RocksDB itself: so a cut contains exactly what was applied
// before its begin_flush(), and is made without stopping writers.
#pragma once

#include "cursor_pool.hpp"
#include "extent_cache.hpp"
#include "extent_memo.hpp"
#include "segment_table.hpp"

#include <functional>
#include <set>
#include <shared_mutex>

namespace rocksdb {
class DB;
class Env;
class WriteBatchBase;
class WriteBatch;
class Iterator;
}  // namespace rocksdb

namespace cess::volume {

class remote_files;

class store {
public:
    struct options {
        std::string directory;
        std::uint64_t cache = 48 * MiB;  // of blocks of the store; a third is for extents of hot places
        std::uint64_t memtable = 8 * MiB;
        std::uint64_t table = 4 * MiB;  // bytes of a table; what a compaction touches is uploaded again
        bool read_only = false;
        std::shared_ptr<remote_files> remote;  // tables that are not in the directory yet, if there are any
    };
    [[nodiscard]] static result<std::unique_ptr<store>> open(const options& how);
    ~store();

    // ---- reading
    [[nodiscard]] result<std::optional<bytes>> get(byte_view row) const;
    // Rows with `prefix` from `from` on, prefix of `strip` bytes removed.
    [[nodiscard]] result<std::vector<key_value>> scan(byte_view prefix, byte_view from, std::size_t limit, std::size_t strip) const;
    // Extents that overlap [offset, end), in order, not clipped; at most `limit`.
    [[nodiscard]] result<std::vector<extent>> extents(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit = SIZE_MAX) const;
    [[nodiscard]] std::uint32_t generation(blob_id blob) const;
    // Whether reading may still wait for the network, because a table is not here yet.
    [[nodiscard]] bool incomplete() const noexcept;
    // Brings what an edit of [offset, end) is going to read, `limit` extents at most, so that it need not wait with the apply
    // lock held.
    [[nodiscard]] result<void> bring(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit = SIZE_MAX) const;
    // What nobody asks for comes in the background from now on.
    void bring_rest() const;

    // An iterator over rows of `kind` as they are now, that leaves no trace in the cache. For long walks.
    [[nodiscard]] std::unique_ptr<rocksdb::Iterator> walk(char kind) const;

    // ---- writing; REQUIRES: the apply lock
    [[nodiscard]] result<void> write(rocksdb::WriteBatch& batch);
    void set_generation(blob_id blob, std::uint32_t to);
    [[nodiscard]] extent_cache& hot_extents() noexcept { return m_hot_extents; }
    [[nodiscard]] std::uint64_t memtable_bytes() const noexcept { return m_memtable_bytes.load(std::memory_order_relaxed); }
    // Switches the memtable, without waiting for its flush. REQUIRES: no flush under way.
    [[nodiscard]] result<void> begin_flush();
    // ---- without it
    // Writes those of its tables again, beside everything else, until none of them is left.
    [[nodiscard]] result<void> rewrite(const std::set<std::string>& tables, const std::function<bool()>& stop);
    [[nodiscard]] result<void> wait_flushed(net::duration patience);
    [[nodiscard]] bool flushing() const noexcept { return m_flushing.load(); }
    // The flushed state in a directory of its own, its tables as hard links; nothing of it is synced. REQUIRES: wait_flushed() since begin_flush(), and none begun since
    [[nodiscard]] result<void> checkpoint_to(const std::string& directory);

    [[nodiscard]] rocksdb::DB& db() const noexcept { return *m_db; }
    [[nodiscard]] std::uint64_t cursors_made() const noexcept { return m_cursors->made(); }  // for tests

private:
    class flush_listener;
    explicit store(options how);
    [[nodiscard]] result<void> checkpoint_file(const std::string& name, std::uint64_t manifest_size, const std::string& to);
    [[nodiscard]] result<void> load_generations();
    // Both append to `out`; false if too many deleted rows are in the way of the first.
    [[nodiscard]] result<bool> extents_by_cursor(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit, std::vector<extent>& out) const;
    [[nodiscard]] result<void> extents_bounded(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit, std::vector<extent>& out) const;

    options m_how;
    extent_cache m_hot_extents;
    mutable extent_memo m_found;
    std::shared_ptr<flush_listener> m_listener;
    std::unique_ptr<rocksdb::Env> m_env;
    std::unique_ptr<rocksdb::DB> m_db;
    std::unique_ptr<cursor_pool> m_cursors;
    std::atomic<std::uint64_t> m_memtable_bytes{0};
    std::atomic<bool> m_flushing{false};
    mutable std::shared_mutex m_generations_mutex;
    std::unordered_map<blob_id, std::uint32_t> m_generations;  // of blobs that were dropped while large
};

// One change against the store: collects a batch and what it does to segments. REQUIRES: the apply lock, from the
// constructor on. Live and replayed changes both go through it. `at`: the change's sequence.
class executor {
public:
    executor(store& on, const segment_table& table, std::size_t extent_edits, sequence_number at);
    ~executor();
    [[nodiscard]] result<void> run(const edit_record& edit);

    [[nodiscard]] rocksdb::WriteBatch& batch();
    [[nodiscard]] const live_deltas& deltas() const noexcept { return m_deltas; }
    [[nodiscard]] const std::vector<overwritten_range>& overwritten() const noexcept { return m_overwritten; }
    [[nodiscard]] std::int64_t logical_delta() const noexcept;
    [[nodiscard]] const std::optional<snapshot_edit>& snapshot() const noexcept { return m_snapshot; }
    void publish();  // generations and hot extents; after the batch is written
    [[nodiscard]] std::uint64_t buried() const noexcept { return m_buried; }  // bytes that views may still need
    [[nodiscard]] bool dropped() const noexcept { return !m_generations.empty(); }  // a generation is left to be cleared

    // Clears up to `limit` extents of a dropped generation; true when nothing is left of it.
    [[nodiscard]] result<bool> clear_dropped(blob_id blob, std::uint32_t generation, std::size_t limit);

private:
    [[nodiscard]] result<void> run_one(const put_edit& e);
    [[nodiscard]] result<void> run_one(const erase_edit& e);
    [[nodiscard]] result<void> run_one(const write_edit& e);
    [[nodiscard]] result<void> run_one(const zero_edit& e);
    [[nodiscard]] result<void> run_one(const share_edit& e);
    [[nodiscard]] result<void> run_one(const drop_edit& e);
    [[nodiscard]] result<void> run_one(const snapshot_edit& e);

    struct overlap {
        std::optional<extent> before;  // ends exactly at the offset
        std::vector<extent> inside;    // reach into the range
    };
    [[nodiscard]] std::optional<overlap> collect_hot(blob_id blob, std::uint64_t offset, std::uint64_t end);
    [[nodiscard]] const extent_cache::rows* fill_hot(const extent_cache::place& at);
    [[nodiscard]] result<overlap> collect(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit = SIZE_MAX);
    [[nodiscard]] result<void> punch(blob_id blob, const overlap& found, std::uint64_t offset, std::uint64_t end, bool filled = false);
    [[nodiscard]] result<void> place(blob_id blob, std::optional<extent>& before, extent e);
    [[nodiscard]] result<void> put_row(byte_view key, byte_view value);
    [[nodiscard]] result<void> erase_row(byte_view key);
    [[nodiscard]] result<void> put_extent(blob_id blob, const extent& e);
    void note(bool written, blob_id blob, const extent& e);  // for the hot extents
    [[nodiscard]] std::unique_ptr<rocksdb::Iterator> iterate();
    [[nodiscard]] std::uint32_t generation(blob_id blob) const;
    void count(const extent& e, std::int64_t sign);
    [[nodiscard]] result<void> bury(const extent& e);

    store& m_store;
    const segment_table& m_table;
    std::unique_ptr<rocksdb::WriteBatchBase> m_batch;
    const sequence_number m_at;
    bool m_indexed;
    std::uint64_t m_buried = 0;
    bool m_extents_touched = false;
    struct row_change {
        bool written;  // false: removed
        blob_id blob;
        std::uint32_t generation;
        extent row;
    };
    std::vector<row_change> m_row_changes;
    live_deltas m_deltas;
    std::vector<overwritten_range> m_overwritten;
    std::unordered_map<blob_id, std::uint32_t> m_generations;
    std::optional<snapshot_edit> m_snapshot;
};

}  // namespace cess::volume
