// Seeded bugs that are no number of rules.hpp, for the mutation gate (tests/simulation/consensus_mutants_test.cpp). They
// exist where CESS_CONSENSUS_MUTANTS is defined: in a copy of this library that only tests link. Elsewhere every question
// is a constant.
#pragma once

namespace cess::consensus {

enum class mutant {
    none,
    vote_for_any_copy,   // votes for copies of a leader's block count together
    count_blocks,        // certificates and non-votes are counted by block, not by author
    link_is_enough,      // an anchor commits a leader that it merely refers to
    pass_undecided,      // the anchor is the first committed slot, past undecided ones
    sequence_twice,      // a leader's parents are sequenced, whatever was before
    local_horizon,       // how far down a history is sequenced depends on how far the node is
    address_order,       // a leader's history is sequenced as it lies in memory
    trust_below_floor,   // what a block refers to below the floor is taken to exist
    no_weak_links,       // late blocks are linked to by nobody
    accept_any_share,    // shares of the coin are not checked
    link_to_forgotten,   // weak links go to what is too old to be sequenced
    enter_uncounted,     // a copy that waited enters the DAG however many are there
    any_need_counts,     // what an author's own blocks wait for is taken past the bounds
    propose_twice,       // a replay proposes again what the log says was proposed again
    forget_leaders,      // a checkpoint does not say which leaders are in the sequence
    leave_payload,       // a checkpoint leaves own payload behind that is not in the sequence
    forget_payload,      // what an own block that is never sequenced carries is lost
    early_wishes,        // wishes for the epoch's end count before they are in the sequence
    forget_wishes,       // a checkpoint forgets them
    drop_unsequenced,    // what the epoch's end leaves out of the sequence is not handed on
};

#ifdef CESS_CONSENSUS_MUTANTS
inline mutant seeded = mutant::none;
inline bool mutated(mutant which) { return seeded == which; }
#else
constexpr bool mutated(mutant) { return false; }
#endif

}  // namespace cess::consensus
