// The segments a volume's head (or a snapshot) names: where each is, how much of it is live, and since when.
//
// Thread-safe; a leaf in the lock order. Counters change only through commit(), under the engine's apply lock, so
// that what a cut sees of them is exact.
#pragma once

#include "records.hpp"

#include <core/base/memory.hpp>

#include <atomic>
#include <mutex>
#include <set>
#include <unordered_map>

namespace cess::volume {

// The bytes of a segment that is not stored yet. The range [0, used) of a sealed buffer never changes; in an open one
// only ranges whose write has not been published do.
class segment_buffer {
public:
    segment_buffer(segment_number number, std::uint64_t capacity, std::shared_ptr<buffer_recycler> memory)
        : m_number(number), m_memory(std::move(memory)), m_data(m_memory->take(capacity)) {}
    ~segment_buffer() { m_memory->give(std::move(m_data)); }
    segment_buffer(const segment_buffer&) = delete;
    segment_buffer& operator=(const segment_buffer&) = delete;
    [[nodiscard]] segment_number number() const noexcept { return m_number; }
    [[nodiscard]] std::uint64_t capacity() const noexcept { return m_data.size(); }
    [[nodiscard]] std::byte* at(std::uint64_t offset) noexcept { return m_data.data() + offset; }
    [[nodiscard]] byte_view view(std::uint64_t offset, std::uint64_t length) const noexcept { return {m_data.data() + offset, length}; }

    // Whether the journal needs no payload of it in an entry with which the history reaches `last`.
    [[nodiscard]] bool stored_for(sequence_number last) const noexcept { return stored.load(std::memory_order_acquire) && complete_from <= last; }

    // Set before `stored`: what it was stored without, the changes up to this one had overwritten.
    sequence_number complete_from;
    // Set after the location is queued for the journal.
    std::atomic<bool> stored{false};

private:
    segment_number m_number;
    std::shared_ptr<buffer_recycler> m_memory;
    bytes m_data;  // untouched pages of a new one cost nothing
};

struct segment_ref {
    std::uint32_t lineage = 0;
    segment_number number;
    friend bool operator==(const segment_ref&, const segment_ref&) = default;
};
struct segment_ref_hash {
    std::size_t operator()(const segment_ref& ref) const noexcept {
        return std::hash<std::uint64_t>()(ref.number.value * 0x9e3779b97f4a7c15U ^ ref.lineage);
    }
};

// What one change did to a segment.
struct live_delta {
    std::int64_t net = 0;
    bool used = false;  // extents to it were made, even if the same change unmade them
    bool shared = false;  // an extent to what was written before was made: ranges of it may be named more than once
};
// A range of an own segment that the head stopped naming while the segment was not stored.
struct overwritten_range {
    segment_number segment;
    std::uint32_t offset = 0, length = 0;
    sequence_number death;
};
using live_deltas = std::unordered_map<segment_ref, live_delta, segment_ref_hash>;

class segment_table {
public:
    using location = std::shared_ptr<const ledger::segment_record>;

    struct found {  // exactly one of the first two, or none if the segment is unknown
        std::shared_ptr<segment_buffer> buffer;
        location at;
        bool packed = false;  // `at` is the container it lives in, maybe one of itself
    };
    [[nodiscard]] found find(const segment_ref& ref) const;
    [[nodiscard]] location record_of(const segment_ref& ref) const;  // as it was stored, wherever its bytes are now
    [[nodiscard]] bool is_squeezed(const segment_ref& ref) const;    // and whether that is a container of itself
    // An inherited segment was found in a container; true if that was news.
    bool forward(const segment_ref& ref, ledger::segment_record container);

    // Rows of a root that is being opened. `added`: the ledger has it.
    void load(std::uint32_t lineage, segment_row row, bool in_store);
    void set_own(std::uint32_t lineage) {
        m_own = lineage;
        m_writes = true;
    }
    [[nodiscard]] bool is_own(const segment_ref& ref) const noexcept { return m_writes && ref.lineage == m_own; }
    [[nodiscard]] std::uint32_t own() const noexcept { return m_own; }

    // ---- own segments that are being written
    void add(const std::shared_ptr<segment_buffer>& buffer);
    void pin(segment_number number);    // a write was placed in it whose change is not applied yet
    void unpin(segment_number number);
    void seal(segment_number number, std::uint64_t length);  // nothing will be placed in it any more
    // Its place is known; false if it was known before. Payload of it is needless from now on.
    bool stored(const ledger::segment_record& at, bool squeezed, sequence_number complete_from = {});
    // Forgets a sealed segment that nobody needs and that was never stored; true if it was.
    bool drop_if_unneeded(segment_number number, sequence_number durable);
    // For replay: the buffer that takes payload of `number`, made if it is unknown; null if the segment is stored.
    [[nodiscard]] std::shared_ptr<segment_buffer> replay_buffer(segment_number number, std::uint64_t capacity);

    // Under the apply lock, after the change's batch is in the store.
    void commit(const live_deltas& deltas, sequence_number at, const std::vector<overwritten_range>& overwritten = {});

    // ---- squeezing: what was overwritten while it was in a buffer (segment_squeezing.cpp)
    // Whether it is worth telling commit() of ranges that leave the head.
    [[nodiscard]] bool is_remembered(segment_number number) const noexcept { return number.value >= m_first_buffered.load(std::memory_order_relaxed); }
    // What a sealed buffer may be stored without. Ends the remembering. `durable`: the history reaches it whatever happens.
    [[nodiscard]] std::vector<overwritten_range> take_overwritten(segment_number number, sequence_number durable);

    // ---- checkpoints
    // The state of the table at a cut. Hundreds may wait, each naming all that the ledger does not have: in few bytes.
    struct unadded {
        segment_number number;
        sequence_number birth;
    };
    struct cut {
        std::vector<std::pair<segment_ref, segment_row>> dirty;  // stored ones: go to the store now
        std::vector<segment_ref> gone;                           // their death is final: leave the store
        std::vector<std::pair<segment_ref, segment_row>> late;   // not stored yet: go to the manifest (location follows)
        std::vector<unadded> add;                                // stored or not; the ledger does not have them yet
        std::vector<ledger::segment_death> dead;                 // at the cut
        std::vector<ledger::segment_move> moved;                 // into containers among `add`
    };
    [[nodiscard]] cut take_cut(sequence_number at, std::size_t dead_max);
    void release_cut(const cut& what);                      // its late segments need not be kept for it any more
    // Own segments that are stored and were not in use at the cut: their locations may be in the journal before its base. Not
    // those that are complete from a later change on: their locations are behind it, with that change.
    [[nodiscard]] std::vector<segment_row> unused_at(sequence_number at) const;
    [[nodiscard]] bool is_added(segment_number number) const;
    void mark_added(const std::vector<segment_number>& numbers);
    void mark_declared(const std::vector<ledger::segment_death>& dead);  // final: they leave the table with the next cut
    void mark_declared(const std::vector<segment_number>& numbers);
    // After a replay: segments that no change of the history names can be named by none any more. The unsealed
    // buffers of the others are returned.
    [[nodiscard]] std::vector<std::shared_ptr<segment_buffer>> end_replay();
    [[nodiscard]] bool waits_for_store(segment_number number) const;

    // ---- views of this lineage, in sequence: those that the ledger has, and snapshots that it does not have yet
    struct known_views {
        std::vector<sequence_number> unanchored;
        std::uint64_t version = 0;
    };
    [[nodiscard]] known_views views_before_asking() const;
    void set_views(const std::vector<sequence_number>& anchored, const known_views& before);  // nothing, if a snapshot came meanwhile
    void add_view(sequence_number at);     // a snapshot, under the apply lock
    void settle_view(sequence_number at);  // anchored, or refused
    [[nodiscard]] std::vector<sequence_number> views() const;  // ascending
    // The birth of an own segment in whose time a view was taken, so that the view may need what the head does not.
    [[nodiscard]] std::optional<sequence_number> birth_if_viewed(segment_number number) const;

    // ---- cleaning
    struct unit {  // a stored segment, with what lives in it if it is a container
        location at;
        sequence_number birth;
        std::uint64_t live = 0;   // at most; ranges named twice count twice
        bool dead = false;        // and declared so
        bool squeezed = false;    // what is left of it stands behind a table
        std::vector<segment_number> members;
    };
    [[nodiscard]] std::vector<unit> units() const;  // that may be cleaned
    struct packed {  // one container, stored
        ledger::segment_record at;
        std::vector<segment_number> units;    // that it replaces
        std::vector<segment_number> members;  // the segments it holds pieces of
    };
    struct cleaning {
        std::vector<packed> made;
        std::vector<segment_number> unneeded;  // dead units that no view needs
    };
    void stage(cleaning what);                   // for the next cut that becomes a head
    [[nodiscard]] bool cleaning_waits() const;   // staged, or cut and not final
    void switch_staged(sequence_number at);      // under the apply lock, before take_cut()

    [[nodiscard]] std::uint64_t logical() const;  // bytes mapped
    [[nodiscard]] std::uint64_t inherited_bytes() const;  // of those, in segments of other lineages
    [[nodiscard]] std::uint64_t live_bytes() const;  // of own stored segments, each at most its length
    [[nodiscard]] std::uint64_t stored_bytes() const;  // of own segments, dead ranges included

private:
    struct state {
        std::shared_ptr<segment_buffer> buffer;
        location at;
        std::uint64_t length = 0;  // once sealed
        std::uint64_t live = 0;
        sequence_number birth, emptied;
        std::uint32_t pins = 0;
        std::uint32_t cuts = 0;      // that need it stored
        bool sealed = false;
        bool added = false;          // the ledger has it
        bool declaring = false;      // its death is in a transaction
        bool declared = false;       // its death is final
        segment_number container;    // it lives in; then `at` is where it was
        std::vector<segment_number> members;  // that live in it
        location forwarded;          // inherited: the container it lives in, as the ledger said
        bool squeezed = false;       // `at` is a container of it
        bool remembers = false;      // a live buffer, of which each range is named once at most:
        std::vector<overwritten_range> overwritten;  // those that are not named any more, as far as there was room
        sequence_number sealed_after;  // the last change before it was sealed
        sequence_number first_cut;   // that names parts of it
        sequence_number complete_from;  // squeezed: what left it out
        bool in_store = false;       // a row of the store exists
        bool dirty = false;          // and differs, or does not exist
    };
    [[nodiscard]] static segment_row row_of(const state& s, segment_number number);
    // REQUIRES: m_mutex, for all of these
    [[nodiscard]] std::uint64_t live_of(const segment_ref& ref, const state& s) const;  // of what lives in it too
    [[nodiscard]] sequence_number emptied_of(const segment_ref& ref, const state& s) const;
    [[nodiscard]] bool viewed(sequence_number birth, sequence_number death) const;
    [[nodiscard]] bool may_be_cleaned(const segment_ref& ref, const state& s) const;
    void take_rows(segment_number number, state& s, sequence_number at, std::size_t dead_max, cut& out);
    void forget(segment_number number);
    void remember(const std::vector<overwritten_range>& overwritten, sequence_number at);
    void forget_overwritten(segment_number number, state& s);
    void move_unit(segment_number old, const std::unordered_map<segment_number, bool, id_hash>& wanted, segment_number to);

    mutable std::mutex m_mutex;
    std::uint32_t m_own = 0;
    bool m_writes = false;  // own segments move only by our own hand
    std::unordered_map<segment_ref, state, segment_ref_hash> m_segments;
    std::uint64_t m_logical = 0;
    sequence_number m_committed;                         // the last change
    std::set<segment_number> m_buffered;                 // that remember what is overwritten
    std::atomic<std::uint64_t> m_first_buffered{~std::uint64_t{0}};
    std::vector<sequence_number> m_views, m_unanchored;  // ascending; the second part of the first
    std::uint64_t m_views_version = 0;
    std::atomic<std::uint64_t> m_latest_view{0};
    cleaning m_staged;
    std::vector<ledger::segment_move> m_moved;           // by switch_staged(), for the cut
    std::vector<segment_ref> m_forgotten;                // their rows leave the store with the cut
    unsigned m_moving = 0;                               // cuts with moves that are not final
};

}  // namespace cess::volume
