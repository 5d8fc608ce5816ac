// What tests weaken to see that the simulations notice. All false in the product.
#pragma once

namespace cess::layer {

struct journal_mutations {
    bool acknowledge_early = false;  // A = m
};

struct recovery_mutations {
    bool skip_fence = false;          // asks for the journal without fencing it
    bool accept_fewer = false;        // goes on when m+1 members do not answer
    bool any_seal = false;            // takes the newest journal that has anything, its seal complete or not
    bool ignore_incarnation = false;  // a wiped member's answer counts
    bool serve_early = false;         // does not wait until the tail is in the new journal
    bool first_answer = false;        // takes the first member's chain, not the longest
    bool skip_seals = false;          // always reads the oldest journal
    bool keep_fragments = false;      // counts an append of which only some entries are there
    bool forget_tail = false;         // seals the old journal without copying what it holds
    journal_mutations writer;
};

}  // namespace cess::layer
