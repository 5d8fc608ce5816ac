// Turns cuts into roots: waits until a cut's history is durable and its segments are stored, stores the local
// checkpoint's new files, and anchors the root in the ledger; snapshots among them as views. One thread, in order of
// the cuts, tried again until it succeeds; while consensus is down, cuts wait here and the journal grows.
#pragma once

#include "journal.hpp"
#include "reading.hpp"

namespace cess::volume {

// The state at one sequence, held locally.
struct cut {
    sequence_number at;
    std::string directory;                // the local checkpoint; removed when it is anchored
    segment_table::cut segments;
    std::optional<snapshot_edit> snapshot;
    std::optional<entry_index> base;
    // Made in replay (with its base): its root never becomes the head, since miners drop what older terms left behind
    // when the first root of a term does not list it; that one must follow the whole replay.
    bool replayed = false;
    // Of a replayed one: segments that no change of the history up to it uses, as unused_at(). A journal on another machine may go
    // on with changes that use them, which the end of the replay knows nothing of.
    std::vector<segment_row> unused;
};

class checkpointer {
public:
    struct parts {
        layer::layer& on;
        layer::session& holder;
        const chain::account& who;
        segment_table& table;
        buffer_pool& pool;
        journal& log;
        key_holder& keys;
        std::uint64_t segment_size;
        ledger::volume_record record;
        metrics& count;
        std::function<void(const error&)> deposed;  // somebody else owns the volume
        crash_points* crashes = nullptr;
        mutations broken;
    };
    // What the head, or the root that is opened in its stead, consists of.
    struct start {
        ledger::root root;
        std::vector<stored_file> files;
        std::vector<ledger::segment_death> dead;  // metadata segments that nothing needs since
    };
    checkpointer(parts of, start from, std::function<void(const std::string& snapshot, bool anchored)> settled);
    ~checkpointer();
    void run();   // starts the thread
    void abandon();  // no attempt is started any more; what is not anchored stays in the journal
    void stop();     // abandons, and waits for the attempt under way

    void add(cut what);
    [[nodiscard]] std::size_t waiting() const;
    [[nodiscard]] sequence_number committed() const;
    // Until a root at or past `at` is final. The error of an attempt that failed meanwhile ends the wait.
    [[nodiscard]] result<void> wait(sequence_number at, net::duration patience);

private:
    struct job {
        cut what;
        std::optional<ledger::root> root;                // once its manifest is stored
        std::vector<ledger::segment_record> added;
        std::vector<ledger::segment_death> dead;
        std::vector<stored_file> files;
        std::vector<ledger::wrapped_key> rotated;        // the whole keyring with the new key last
        std::optional<layer::keyring> rotated_ring;
        bool view_anchored = false;
        bool view_refused = false;
        bool asked = false;                              // a transaction of it may have been carried out
    };
    void work();
    [[nodiscard]] result<void> attempt(job& j);
    [[nodiscard]] result<void> prepare(job& j);
    [[nodiscard]] result<stored_file> store_file(const std::string& directory, const std::string& name, sequence_number birth);
    [[nodiscard]] result<ledger::segment_record> store_segment(byte_view content, sequence_number birth);
    [[nodiscard]] result<void> store_manifest(job& j, root_manifest manifest, entry_index base);
    [[nodiscard]] result<void> settle_locations(job& j, root_manifest& manifest);
    [[nodiscard]] result<void> anchor_view(job& j);
    [[nodiscard]] result<void> add_in_steps(job& j);
    [[nodiscard]] result<void> commit(job& j);
    [[nodiscard]] bool is_head(const ledger::root& root);
    [[nodiscard]] result<bool> is_view(const std::string& name, const ledger::root& root);
    [[nodiscard]] result<bool> was_withdrawn(job& j);
    void rotate_keys(job& j);
    void finish(job& j);
    void become_last(job& j);

    parts m_of;
    const std::function<void(const std::string&, bool)> m_settled;
    counter& m_roots;
    counter& m_failures;
    counter& m_bytes;

    // Touched by the thread alone.
    std::unordered_map<std::string, stored_file> m_files;           // stored, by name: of the last root and since
    std::unordered_map<std::string, stored_file> m_in_root;         // of the last root
    std::optional<ledger::segment_record> m_manifest;               // of the last root
    std::vector<ledger::segment_death> m_dead;                      // metadata, to be declared with the next head

    mutable std::mutex m_mutex;
    std::condition_variable m_changed;
    std::deque<job> m_jobs;
    sequence_number m_committed;
    std::uint64_t m_failed_attempts = 0;
    error m_failure;
    bool m_stop = false;
    std::thread m_thread;
};

}  // namespace cess::volume
