// The commit rule: from a DAG to a decision about each leader slot, the same at all honest members.
//
// After Mysticeti (Babel et al., NDSS '25), with the leaders of Mahi-Mahi (Jovanovic et al., ICDCS '25) where a slot's
// leader comes from the common coin. A slot is
//
//   committed directly    with 2f+1 certificates for a block of its leader, in the last round of its wave;
//   skipped directly      with 2f+1 non-votes in its vote round: no certificate can exist;
//   decided by an anchor  else: the first later slot that lies behind its wave and is not skipped. While that one is
//                         undecided so is this; once it is committed, this slot is committed iff the anchor's history has
//                         a certificate for it.
//
// A coin slot's leader is known once f+1 shares are; until then it is undecided. docs/CONSENSUS.md proves agreement and
// says why rounds before a coin slot must be without deterministic slots.
#pragma once

#include <chain/consensus/dag.hpp>

#include <map>

namespace cess::consensus {

enum class verdict : std::uint8_t { undecided, committed, skipped };

struct decision {
    slot where;
    verdict what = verdict::undecided;
    const vertex* leader = nullptr;  // iff committed
};

using coin_leaders = std::map<coin_number, author_index>;

// What the DAG alone says of a slot, without anchors.
[[nodiscard]] decision decide_directly(const dag& in, const rules& by, const slot& where, author_index leader);
// What a committed anchor says of it. REQUIRES: anchor.round() ≥ by.first_anchor_round(where)
[[nodiscard]] decision decide_by_anchor(const rules& by, const slot& where, author_index leader, const vertex& anchor);

// The slots of consecutive rounds, in order, from the first that is not sequenced yet.
using decision_window = std::deque<decision>;
// Decides what can be decided of the undecided slots in `window`, and answers those; what is decided stays.
std::vector<decision> decide(const dag& in, const rules& by, const coin_leaders& coins, decision_window& window);
// Appends the slots of a round.
void append_slots(const rules& by, round_number round, decision_window& window);

// The blocks that a committed leader adds to the sequence: those of its history, weak links included, that are not
// sequenced yet and lie at most `depth` rounds under it; by round, author and digest, the leader last. Marks them.
[[nodiscard]] std::vector<const vertex*> sequence(const dag& in, const rules& by, const vertex& leader);

}  // namespace cess::consensus
