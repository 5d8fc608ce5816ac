// Runs of adjacent blocks that wait to be fetched: neighbours become one run, and what somebody waits for goes before
// what is read ahead. Pure; REQUIRES: its owner's lock.
#pragma once

#include "segment_read.hpp"

#include <chain/ledger/types.hpp>
#include <core/crypto/crypto.hpp>
#include <core/net/env.hpp>
#include <objectstore/layer/layer.hpp>

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace cess::layer {

inline constexpr std::uint64_t run_bytes_max = 1 * MiB;

struct run {  // blocks [first, first+count) of one segment, fetched with one request a fragment
    std::shared_ptr<const ledger::segment_record> segment;
    crypto::secret_key key;  // the segment's
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    net::time_point deadline;
    std::optional<stream_id> ahead_of;  // nobody waits for it yet
    first_outcome before = first_outcome::none;
    bool of_stream = false;      // it was read ahead, whoever waits by now
    bool looked_behind = false;  // the slow tier has been asked, and has none of it

    [[nodiscard]] bool holds(const segment_id& of, std::uint64_t block) const { return segment->id == of && first <= block && block - first < count; }
};

// Each in a time logarithmic in what waits.
class run_queue {
public:
    void push(run what);
    // The next, with every waiting neighbour of its kind, up to run_bytes_max.
    [[nodiscard]] std::optional<run> pop(bool ahead_too);
    void hurry(const segment_id& of, std::uint64_t block);  // somebody waits for it now
    [[nodiscard]] std::vector<run> drop(stream_id of);      // what waits for this stream; linear
    [[nodiscard]] bool empty() const noexcept { return m_wanted.empty() && m_ahead.empty(); }

private:
    class line {  // oldest first, and found by where they begin
    public:
        void push(run what);
        [[nodiscard]] std::optional<run> pop();
        [[nodiscard]] std::optional<run> take(const segment_id& of, std::uint64_t block);
        [[nodiscard]] std::vector<run> drop(stream_id of);
        [[nodiscard]] bool empty() const noexcept { return m_order.empty(); }

    private:
        using start = std::pair<segment_id, std::uint64_t>;
        using places = std::multimap<start, std::list<run>::iterator>;
        bool join_next(run& into);
        bool join_previous(run& into);
        run remove(places::iterator which);

        std::list<run> m_order;
        places m_places;
    };
    line m_wanted, m_ahead;
};

}  // namespace cess::layer
