// An open volume: the live head.
//
// Threads: callers; the pool's workers; the journal's, the write-behind's and the checkpointer's thread; one for upkeep. Locks, outermost
// first: the role of the one who cuts (a flag) → m_apply → the pool's → the table's, the journal's. None is held
// across I/O of the network; m_apply covers reads and writes of the local store, which give a change its place.
#pragma once

#include "checkpointer.hpp"
#include "cleaner.hpp"
#include "readahead.hpp"
#include "space.hpp"

#include <set>

namespace cess::volume {

class engine final : public volume {
public:
    struct opened {  // what recovery hands over
        std::unique_ptr<layer::session> holder;
        ledger::volume_record record;
        std::unique_ptr<store> state;
        std::unique_ptr<segment_table> table;
        std::unique_ptr<key_holder> keys;
        checkpointer::start start;
        sequence_number applied;
        std::vector<cut> cuts;            // of snapshots that the history holds
        std::vector<std::pair<std::shared_ptr<segment_buffer>, std::uint64_t>> replayed;  // with their lengths
        std::set<std::string> views;      // names taken
        sequence_number head;             // the ledger's head; behind start.root if a view was anchored last
        entry_name last;                  // entry of the history, if it is not all in the root
    };
    engine(layer::layer& on, const chain::account& who, settings how, metrics& count, opened from);
    ~engine() override;  // without close(): as if the process had died
    [[nodiscard]] result<void> start();

    // reader
    [[nodiscard]] const ledger::volume_record& record() const noexcept override { return *m_record.load(); }
    [[nodiscard]] bool writable() const noexcept override;
    [[nodiscard]] result<std::optional<bytes>> get(byte_view key) override;
    [[nodiscard]] result<std::vector<key_value>> scan(byte_view prefix, byte_view from, std::size_t limit) override;
    [[nodiscard]] result<void> read(blob_id blob, std::uint64_t offset, byte_span out) override;
    [[nodiscard]] result<std::vector<range>> map(blob_id blob, std::uint64_t offset, std::uint64_t length) override;
    [[nodiscard]] result<std::vector<placed_range>> places(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit) override;
    [[nodiscard]] result<std::vector<located_range>> locate(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit) override;
    [[nodiscard]] result<std::vector<blob_id>> blobs(blob_id from, std::size_t limit) override;
    [[nodiscard]] usage usage_now() override;
    // volume
    [[nodiscard]] result<sequence_number> apply(const change& what) override;
    [[nodiscard]] result<void> sync(sequence_number upto) override;
    [[nodiscard]] result<void> sync() override { return sync(applied()); }
    [[nodiscard]] sequence_number applied() const noexcept override { return {m_applied.load()}; }
    [[nodiscard]] sequence_number durable() const noexcept override { return m_journal->durable(); }
    [[nodiscard]] sequence_number durable_remotely() const noexcept override { return m_journal->stored(); }
    [[nodiscard]] bool confirmed() const noexcept override { return m_holder->confirmed(); }
    [[nodiscard]] result<void> create_snapshot(const std::string& name) override;
    [[nodiscard]] result<std::vector<snapshot_info>> snapshots() override;
    [[nodiscard]] result<void> rename_snapshot(const std::string& name, const std::string& to) override;
    [[nodiscard]] result<void> hold_writes(std::uint64_t id, net::duration at_most) override;
    [[nodiscard]] result<void> release_writes(std::uint64_t id) override;
    [[nodiscard]] result<void> flatten(const std::function<bool(std::uint64_t done, std::uint64_t total)>& progress) override;
    [[nodiscard]] result<void> resize(std::uint64_t size) override;
    [[nodiscard]] result<void> checkpoint() override;
    [[nodiscard]] result<void> clean() override;
    [[nodiscard]] result<void> close() override;
    void on_failure(std::function<void(const error&)> tell) override;

private:
    class cut_role;
    class foreground;  // a user's operation is under way
    struct prepared {  // a change with its places, ready to be applied
        change_record record;
        applied_change change;
        std::size_t extent_edits = 0;
        bool of_user = false;  // and so waits while writes are held
        struct where {
            blob_id blob = 0;
            std::uint64_t offset = 0, end = 0;
            std::vector<placed_range> places;
        };
        std::optional<where> only_if;  // the range is still there; else errc::conflict, and nothing is done
    };

    // life
    void begin_local_journal(entry_name after, metrics& count);
    void fail(const error& why);
    void stop_threads();
    void wake_upkeep();
    [[nodiscard]] result<void> check_readable() const;
    [[nodiscard]] result<void> check_writable() const;
    void await_segments(sequence_number upto);
    // Of bytes to be journaled: who waits for more than that waits for their segments first.
    [[nodiscard]] std::uint64_t payload_much() const noexcept { return m_settings.buffers_max / 10; }
    void upkeep();
    void upkeep_step();

    // writing
    [[nodiscard]] result<void> wait_for_room();
    [[nodiscard]] result<void> bring_metadata(const change::edit& e);
    [[nodiscard]] result<void> prepare(const change& what, prepared& out);
    [[nodiscard]] result<sequence_number> commit(prepared& what);
    [[nodiscard]] result<void> check_limit(std::int64_t delta) const;  // REQUIRES: m_apply
    void wait_while_held(std::unique_lock<std::mutex>& apply);
    [[nodiscard]] result<void> apply_nothing();
    [[nodiscard]] result<void> clear_dropped();

    // flattening
    struct inherited_run;
    [[nodiscard]] result<std::uint64_t> copy_all_inherited(const std::function<bool(std::uint64_t, std::uint64_t)>& progress);
    [[nodiscard]] result<std::vector<inherited_run>> inherited_after(bytes& cursor) const;
    [[nodiscard]] result<void> copy_inherited(const inherited_run& run);
    [[nodiscard]] result<void> drop_base(sequence_number at);
    [[nodiscard]] bool pause_for(std::uint64_t bytes);  // false: closing

    // cuts
    [[nodiscard]] result<cut> make_cut(std::optional<snapshot_edit> snapshot);
    [[nodiscard]] result<void> cut_head(bool even_if_waiting);
    [[nodiscard]] result<void> cut_for_cleaning();
    [[nodiscard]] result<void> flush_memtable();
    [[nodiscard]] result<void> check_snapshot_name(const std::string& name);
    [[nodiscard]] result<void> check_snapshot_room();
    [[nodiscard]] result<void> claim_name(const std::string& name);
    void snapshot_settled(const std::string& name, bool anchored);
    [[nodiscard]] result<void> refresh_views();
    void refresh_network_free();

    layer::layer& m_layer;
    const chain::account m_who;
    const settings m_settings;
    std::unique_ptr<layer::session> m_holder;
    std::unique_ptr<store> m_store;
    std::unique_ptr<segment_table> m_table;
    std::unique_ptr<key_holder> m_keys;
    std::unique_ptr<local::log> m_local;      // durability::local
    std::unique_ptr<write_behind> m_behind;
    std::unique_ptr<journal> m_journal;
    std::unique_ptr<buffer_pool> m_pool;
    std::unique_ptr<space> m_space;
    std::unique_ptr<readahead> m_readahead;
    std::unique_ptr<checkpointer> m_checkpointer;
    std::unique_ptr<locator> m_locator;
    std::unique_ptr<cleaner> m_cleaner;

    struct hold {
        std::uint64_t id = 0;
        std::chrono::steady_clock::time_point until;
    };
    std::set<std::string> m_inherited_files;  // tables of the local store that were stored by a base
    std::mutex m_flattening;                  // one at a time
    std::mutex m_apply;
    std::optional<hold> m_hold;           // REQUIRES: m_apply; over once its time is
    std::condition_variable m_released;
    std::atomic<std::uint64_t> m_applied;
    std::atomic<std::uint64_t> m_last_cut;

    mutable std::mutex m_state_mutex;  // what follows; a leaf
    std::condition_variable m_state_changed;
    bool m_cutting = false;
    bool m_head_is_behind = false;
    bool m_closing = false;
    bool m_closed = false;
    bool m_stopping = false;
    bool m_wanted = false;             // upkeep looks again now
    std::optional<error> m_failed;
    std::function<void(const error&)> m_tell;
    std::vector<std::unique_ptr<ledger::volume_record>> m_records;  // old ones stay: record() handed them out
    std::map<std::string, snapshot_info> m_pending;                 // snapshots that are not anchored
    std::map<std::string, snapshot_info> m_anchored;                // the ledger's, as last seen
    std::set<std::string> m_names;                                  // of all snapshots, possibly deleted since
    std::set<std::string> m_promised;                               // of those, what a rename under way gives
    std::uint64_t m_renames = 0;                                    // a list that was asked for before one is old
    std::chrono::steady_clock::time_point m_last_cut_at;
    std::uint64_t m_cut_number = 0;

    std::atomic<unsigned> m_foreground{0};
    std::atomic<bool> m_has_failed{false};
    std::atomic<bool> m_unreadable{false};  // closed or fenced: m_closed and m_failed say why
    std::atomic<const ledger::volume_record*> m_record;
    std::atomic<std::uint64_t> m_network_free{0};
    std::atomic<bool> m_free_asked{true};
    std::atomic<bool> m_dropped{true};
    std::atomic<bool> m_space_wanted{false};
    std::thread m_upkeep;

    counter& m_count_applied;
    counter& m_count_syncs;
    latency_histogram& m_sync_time;
    latency_histogram& m_cut_time;
    counter& m_written;
    counter& m_stored;
    counter& m_squeezed;
    counter& m_read_bytes;
    std::vector<metrics::sampled> m_sampled;  // first to go: they ask the pool
};

// Takes the volume, brings its root and replays its history (recovery.cpp).
[[nodiscard]] result<engine::opened> recover(layer::layer& on, const chain::account& who, const ledger::volume_record& which,
                                             const crypto::signing_key& session_key, const settings& how);
// Where a volume's local journal is.
[[nodiscard]] local::place local_place(const chain::account& who, const settings& how);
// The two halves of a cut: under the apply lock, and without it.
[[nodiscard]] result<void> begin_local_cut(store& state, segment_table& table, sequence_number at, cut& out);
[[nodiscard]] result<void> finish_local_cut(store& state, cut& out);

}  // namespace cess::volume
