// The total order: slots in turn, each committed one with what its leader's history adds. Reveals coins on the way.
#pragma once

#include <chain/consensus/checkpoint.hpp>
#include <chain/consensus/coin.hpp>
#include <chain/consensus/commit.hpp>

#include <set>

namespace cess::consensus {

// What was decided of a slot; said once a slot, in no order. For those who watch; the order is in `committed`.
struct settled {
    slot where;
    std::optional<block_ref> leader;  // none: skipped
};

// A committed leader and what it adds to the sequence, itself last.
struct committed {
    slot where;
    block_ref leader;
    std::vector<block_ptr> blocks;
    bool closes = false;  // the epoch: with these blocks a quorum of authors has wished for its end. Nothing comes after it
};

class sequencer {
public:
    sequencer(const dag& in, const rules& by, const coin& shares, const checkpoint& from);

    // To be told of every vertex.
    void inserted(const vertex& v);
    // After a start from a checkpoint: what is in the DAG by now and was in the sequence then. Marks it.
    [[nodiscard]] std::vector<const vertex*> recognize();
    // Whether all leaders that the checkpoint names are here, so that it goes on from there.
    [[nodiscard]] bool resumed() const noexcept { return m_awaited == m_recent.size(); }
    // Decides, and sequences up to the first undecided slot. REQUIRES: resumed()
    void advance(std::vector<settled>& decided, std::vector<committed>& sequenced);
    [[nodiscard]] bool closed() const noexcept { return m_closed; }

    // Of the last committed leader.
    [[nodiscard]] round_number committed_round() const noexcept { return m_committed_round; }
    // Nothing below will ever be sequenced, nor is it needed to decide.
    [[nodiscard]] round_number horizon() const noexcept { return m_rules.horizon_under(m_committed_round); }
    // Where it stands, but for the own block. REQUIRES: resumed(), not closed()
    [[nodiscard]] checkpoint here() const;
    [[nodiscard]] std::size_t undecided() const;

private:
    void add_share(coin_number of, const vertex& v);
    void emit(const decision& next, std::vector<committed>& sequenced);

    const dag& m_dag;
    const rules& m_rules;
    const coin& m_coin;
    std::map<coin_number, std::map<author_index, bytes>> m_shares;  // of coins that are not revealed
    coin_leaders m_leaders;
    decision_window m_window;
    round_number m_window_top = 0;
    round_number m_committed_round = 0;
    std::deque<block_ref> m_recent;  // committed leaders from the horizon on
    std::size_t m_awaited = 0;       // of those: the first that is not in the DAG again
    std::set<author_index> m_closing;  // authors who wish for the epoch's end, in the sequence
    bool m_closed = false;
};

}  // namespace cess::consensus
