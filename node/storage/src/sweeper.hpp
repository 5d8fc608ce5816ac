// What goes on without being asked: unfinished uploads expire, what the ledger freed is deleted after the horizon,
// provisional fragments and journals are looked up in the ledger once they are old.
//
// Throttled and bounded by miner_limits. One round at a time, on the store's strand; learn_freed from anywhere.
#pragma once

#include "store.hpp"

#include <deque>

namespace cess::storage {

class sweeper {
public:
    explicit sweeper(store& of) : m_on(of) {}
    result<void> load();  // at open: where in the order of freed segments it was

    // Segments that the ledger has freed, as an owner shows them to a miner that has no ledger to ask: deleted once the
    // horizon has passed. errc::exhausted past a bound.
    result<void> learn_freed(std::vector<std::pair<segment_id, volume_id>> segments, net::time_point now);
    [[nodiscard]] std::size_t backlog() const;

    // REQUIRES: `alive` owns the store this sweeper is of.
    static net::awaitable<void> run(std::shared_ptr<store> alive);
    net::awaitable<result<void>> round();

private:
    struct freed_batch {
        std::vector<std::pair<segment_id, volume_id>> segments;
        std::optional<ledger::freed_cursor> next;  // remembered once all are deleted
        net::time_point seen;
    };
    net::awaitable<result<void>> poll_freed();
    result<void> learn_page(const chain::client::freed_page& page);
    result<void> delete_freed();
    net::awaitable<result<void>> check_provisional();
    net::awaitable<result<void>> check_one(provisional_segment what);
    net::awaitable<result<void>> check_listed(provisional_segment what, ledger::segment_ref listed);
    net::awaitable<result<void>> check_journals();
    net::awaitable<result<ledger::proved_record>> read(bytes key);

    store& m_on;
    mutable std::mutex m_mutex;  // guards m_freed
    std::deque<freed_batch> m_freed;
    ledger::freed_cursor m_polled;
    ledger::freed_cursor m_remembered;
    // Provisional segments seen at m_seen, to be looked up when they are old enough.
    std::deque<provisional_segment> m_suspects;
    net::time_point m_seen;
    provisional_segment m_cursor;
    std::map<volume_id, net::time_point> m_journals_checked;
    bool m_running = false;
};

}  // namespace cess::storage
