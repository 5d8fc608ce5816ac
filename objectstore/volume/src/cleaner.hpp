// Gives space back: looks for segments of which little is needed, copies that into containers, and hands the result
// to the next cut. One thread; it reads and stores at a bounded rate, gives way to users' I/O, and holds no lock over
// either. docs/ARCHITECTURE.md has the argument.
//
// Bound: while a pass can be made final, stored <= 1.5 × needed + settings.clean_slack (+ what one pass rewrites).
#pragma once

#include "needed.hpp"
#include "reading.hpp"
#include "space.hpp"

namespace cess::volume {

class cleaner {
public:
    struct parts {
        store& state;
        segment_table& table;
        locator& where;
        layer::layer& on;
        layer::session& holder;
        key_holder& keys;
        buffer_pool& pool;
        space& room;
        std::mutex& apply;                    // the engine's
        const settings& how;
        ledger::volume_record record;
        metrics& count;
        std::function<bool()> busy;           // users' I/O is under way
        std::function<bool()> writable;
        std::function<result<void>()> cut;    // a head that takes what is staged
    };
    explicit cleaner(parts of);
    ~cleaner();
    void run();   // starts the thread
    void stop();

    void bury(std::uint64_t bytes) { m_held.fetch_add(bytes, std::memory_order_relaxed); }  // that views may need alone
    // Of own stored segments: bytes that the head or views need, as far as known. Ranges named twice may count twice.
    [[nodiscard]] std::uint64_t needed_bytes() const;
    // Passes until the bound holds, or nothing is left to gain, and all is final.
    [[nodiscard]] result<void> clean(net::duration patience);

private:
    struct candidate;
    [[nodiscard]] bool over_bound() const;
    [[nodiscard]] bool stopping() const;
    void work();
    [[nodiscard]] result<bool> pass(std::chrono::steady_clock::time_point deadline);  // whether it did anything
    [[nodiscard]] result<void> refresh_views();
    [[nodiscard]] std::vector<candidate> choose(const std::vector<segment_table::unit>& units, const std::unordered_map<segment_number, std::uint64_t, id_hash>& held, segment_table::cleaning& out);
    [[nodiscard]] result<void> forget_rows(const std::vector<bytes>& rows);
    [[nodiscard]] result<void> pack(std::vector<candidate>& chosen, segment_table::cleaning& out);
    [[nodiscard]] result<void> pack_one(std::vector<candidate*>& units, segment_table::cleaning& out);
    [[nodiscard]] result<void> fetch(const candidate& from, const piece_index& to, byte_span content, const layer::keyring& keys);
    [[nodiscard]] result<void> make_final(std::chrono::steady_clock::time_point deadline);
    void pace(std::uint64_t bytes);
    [[nodiscard]] bool sleep(net::duration time);  // false: stopping
    [[nodiscard]] std::uint64_t capacity_max() const noexcept;
    [[nodiscard]] std::uint64_t unit_max() const noexcept;

    const parts m_of;
    counter& m_passes;
    counter& m_copied;
    counter& m_freed;
    gauge& m_stored_gauge;
    gauge& m_needed_gauge;
    std::atomic<std::uint64_t> m_held{0};
    std::uint64_t m_capacity;                        // of a container, smaller while the network is nearly full
    std::unordered_set<segment_number, id_hash> m_untouchable;  // unreadable, or too large; not tried again by this owner
    std::vector<sequence_number> m_views_seen;
    std::timed_mutex m_passing;                            // one pass at a time
    mutable std::mutex m_mutex;
    std::condition_variable m_changed;
    bool m_stop = false;
    std::thread m_thread;
};

}  // namespace cess::volume
