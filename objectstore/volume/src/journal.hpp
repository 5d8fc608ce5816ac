// The pipeline from applied changes to durable ones: gathers what was applied, in order, into entries, appends them
// one behind the other, and moves the durable watermark as they come back. Group commit: whoever needs durability
// first gathers for everybody, on its own thread; a thread of ours only picks up what nobody asked for.
//
// Durable is what is *acknowledged*: at the miners, or (durability=local) in the local journal, from where it follows to
// the miners behind. *Stored* is what the miners have: what roots, snapshots and a clean end wait for.
//
// Thread-safe. No lock is held while an entry is built or appended. Callbacks of the session touch only a state that
// outlives this object.
#pragma once

#include "buffer_pool.hpp"
#include "write_behind.hpp"

namespace cess::volume {

struct applied_change {
    sequence_number at;
    std::chrono::steady_clock::time_point when;
    bytes encoded;                          // change_record
    std::vector<buffer_pool::hold> places;  // of its data
};

class journal {
public:
    struct limits {
        net::duration append_idle;
        net::duration silence;   // without an entry coming back after which waiting is given up; writing is not
        net::duration patience;  // of one wait, however the entries come back
        crash_points* crashes = nullptr;
        mutations broken;
    };
    // The local half of durability=local: both or none; they outlive this.
    struct local_half {
        local::log* log = nullptr;
        write_behind* behind = nullptr;
    };
    // `failed` is called once, from the pipeline's thread.
    journal(layer::session& to, local_half near, limits with, sequence_number start, std::function<void(const error&)> failed);
    ~journal();

    void push(applied_change change);  // REQUIRES: in order of sequence, under the apply lock
    // A segment is stored: its location goes into the next entry with which the history reaches what the segment is complete
    // from, and its payload into none that is appended with or after that.
    void locate(const std::shared_ptr<segment_buffer>& buffer, location_record at);
    // errc::timeout while miners are silent: what was pushed is kept and goes on being sent, so that a later sync succeeds
    // once everything up to its place is durable. Any other error is final.
    [[nodiscard]] result<void> sync(sequence_number upto);
    [[nodiscard]] result<void> sync_stored(sequence_number upto);  // the same at the miners
    [[nodiscard]] result<void> sync_locations();  // all that were handed to locate(), at the miners
    // Waits while too much is applied and not appended.
    [[nodiscard]] result<void> relieve();
    // Whether the changes up to this one that wait to be appended have more than `limit` bytes whose segment is not stored; not
    // counting those of one segment.
    [[nodiscard]] bool payload_exceeds(std::uint64_t limit, sequence_number upto, segment_number except = {}) const;
    [[nodiscard]] sequence_number durable() const noexcept;
    [[nodiscard]] sequence_number stored() const noexcept;
    [[nodiscard]] std::optional<error> failure() const;
    void stop();  // waiters get errc::canceled

    // No entry will hold changes on both sides of `at`. Under the apply lock, `at` = the last applied.
    void divide(sequence_number at);
    // Waits until everything up to `at` is stored: the index of the first entry that holds something later.
    [[nodiscard]] result<entry_index> base_after(sequence_number at);

private:
    struct shared;
    struct gathered {
        entry_header header;
        std::vector<applied_change> changes;
        std::vector<buffer_pool::hold> payload;
        std::uint64_t payload_size = 0;
        sequence_number last;
        sequence_number before, upto;  // what the history reaches without it, and with it
    };
    void run();
    struct stage;
    // One step of waiting for a stage: gathers if that helps, else waits for a change. An error ends the wait.
    [[nodiscard]] result<void> wait_step(std::unique_lock<std::mutex>& lock, const stage& which, std::chrono::steady_clock::time_point since, bool gather_helps);
    [[nodiscard]] bool may_gather(const stage& which) const;  // REQUIRES: the lock
    bool gather(std::unique_lock<std::mutex>& lock, bool idle);  // false: nothing may go yet
    [[nodiscard]] bool take(gathered& out, bool idle);  // REQUIRES: the lock
    void set_bases();                                   // REQUIRES: the lock and the gathering role
    void append(gathered&& what);
    void append_payload_alone(gathered& what, buffer_pool::hold run);
    [[nodiscard]] std::uint64_t take_locations(entry_header& to, sequence_number upto);  // REQUIRES: the lock
    void hand_on(bytes entry, sequence_number last, std::uint64_t located);

    layer::session& m_to;
    const local_half m_near;
    const limits m_limits;
    const std::function<void(const error&)> m_failed;
    std::shared_ptr<shared> m_shared;
    std::uint64_t m_entries = 0;  // appended; of the gathering role
    std::thread m_thread;
};

}  // namespace cess::volume
