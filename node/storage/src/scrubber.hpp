// Reads everything a miner holds once in a period and checks it against what it should be: fragments against their own
// Merkle identity, journals against their records' checksums. What it finds is counted, logged, remembered
// (fault_book.hpp) and not served as good any more.
//
// A pass goes through the fragments in the order of their segments' ids. Ids are hashes, so an id's place in its range
// says how far the pass is, without counting. The work comes in slices, 168 a period (hourly for a week) or 256 MiB,
// whichever is more, so that a disk with nothing to do sleeps between them; within a slice at most `scrub_bandwidth`
// is read, and requests go first.
#pragma once

#include "store.hpp"

namespace cess::storage {

class scrubber {
public:
    explicit scrubber(store& of) : m_on(of) {}
    result<void> load();  // at open: journals found damaged before are looked at again before they are served

    // REQUIRES: `alive` owns the store this scrubber is of.
    static net::awaitable<void> run(std::shared_ptr<store> alive);
    // One pass from the start, at full speed. On the store's strand. errc::busy while another step is under way.
    net::awaitable<result<void>> whole_pass();

    // All copies of one fragment, now; blocking. errc::not_found
    result<verify_reply> check(const fragment_ref& what);
    [[nodiscard]] health_reply health();

private:
    struct pace;  // how fast: by the clock, or not at all
    net::awaitable<result<void>> slice();
    net::awaitable<result<void>> scrub_until(double place, pace& how);
    net::awaitable<result<void>> scrub_fragment(copy_name name, pace& how);
    net::awaitable<result<void>> scrub_journals(pace& how);
    void start_pass();
    void finish_pass();
    void publish();
    // What the check of a copy came to; nothing was wrong if `what` says nothing.
    void judge(const copy_name& name, std::optional<fault> what);
    void judge_journal(const journal_ref& name, bool damaged);
    void forget_dropped_journals();
    [[nodiscard]] std::uint64_t wall_s() const;
    [[nodiscard]] double elapsed() const;  // of the period, since the pass began: 1 is all of it

    store& m_on;
    double m_reached = 0;  // place in the pass, from 0 to 1; on the strand
    bool m_running = false;
};

}  // namespace cess::storage
