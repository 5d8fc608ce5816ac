// From where a member goes on after a restart, instead of from the first block: what is in the sequence already, told by its newest leaders,
// and what comes next. Whatever stands in rounds below the floor is in the sequence then, or never will be.
#pragma once

#include <chain/consensus/rules.hpp>

namespace cess::consensus {

struct checkpoint {
    static constexpr std::uint8_t wire_version = 2;
    round_number committed_round = 0;  // of the last committed leader
    slot next;                         // the first slot that is not in the sequence
    std::vector<block_ref> leaders;    // committed ones from the floor on, in the order of the sequence
    std::vector<author_index> closing; // authors whose wish to end the epoch is in the sequence, ascending
    block_ref own;                     // the newest own block
    template <class S, class C> static void describe(S& s, C& c) { c(s.committed_round, s.next, s.leaders, s.closing, s.own); }

    [[nodiscard]] round_number floor(const rules& by) const noexcept { return by.horizon_under(committed_round); }
    // What the log has from here on goes through replay(): below the floor copies are still counted.
    [[nodiscard]] round_number replay_from(const rules& by) const noexcept { return by.horizon_under(floor(by)); }
};

}  // namespace cess::consensus
