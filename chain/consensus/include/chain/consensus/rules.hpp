// The numbers of the protocol, as the commit rule and the rules of validity use them. rules::of() gives the only right
// ones; that they are values and not constants is for the tests, which hand in wrong ones and must see them caught.
#pragma once

#include <chain/consensus/block.hpp>

#include <optional>

namespace cess::consensus {

// A place in the total order: a round and a leader's rank in it. Rank 0 is the coin slot's, which only rounds kK have.
struct slot {
    round_number round = 0;
    std::uint16_t rank = 0;
    [[nodiscard]] bool by_coin() const noexcept { return rank == 0; }
    template <class S, class C> static void describe(S& s, C& c) { c(s.round, s.rank); }
    friend auto operator<=>(const slot&, const slot&) = default;
};

struct rules {
    std::size_t members = 0;                // n
    std::vector<author_index> permutation;  // of the epoch: who leads
    std::size_t leaders = 0;                // deterministic slots a round

    // 2f+1 where n = 3f+1: any two such sets share an honest member.
    std::size_t parent_quorum = 0;       // parents of a block
    std::size_t certificate_quorum = 0;  // votes among a certificate's parents
    std::size_t commit_quorum = 0;       // certificates that commit a slot directly
    std::size_t skip_quorum = 0;         // non-votes that skip it directly
    // f+1: an honest one among them.
    std::size_t coin_quorum = 0;         // shares that reveal a coin
    // Most of the honest ones: authors in whose sequenced blocks the epoch's end is wished for, and it ends.
    std::size_t close_quorum = 0;

    // A wave: leader, …, vote, certificate. The anchor of a slot lies behind its wave.
    static constexpr round_number wave = 3;
    static constexpr round_number coin_wave = 5;
    round_number anchor_after = wave;
    round_number coin_anchor_after = coin_wave;
    round_number coin_interval = 64;  // K
    round_number share_after = 4;     // shares of the coin of round kK ride in blocks of round kK + this
    round_number gap = 2;             // rounds before a coin slot without deterministic slots: anchor_after − 1

    round_number depth = 128;         // what lies that many rounds under a committed leader is never sequenced

    // The identity permutation; all lead while n ≤ 10. REQUIRES: members > 0
    static rules of(std::size_t members);

    [[nodiscard]] round_number horizon_under(round_number round) const noexcept { return round > depth ? round - depth : 0; }
    [[nodiscard]] std::size_t faulty_max() const noexcept { return (members - 1) / 3; }
    [[nodiscard]] bool has_coin_slot(round_number round) const noexcept { return round != 0 && round % coin_interval == 0; }
    [[nodiscard]] bool has_deterministic_slots(round_number round) const noexcept {
        return round != 0 && round % coin_interval + gap < coin_interval;
    }
    // Whether blocks of this round carry shares, and of which coin.
    [[nodiscard]] std::optional<coin_number> coin_revealed_in(round_number round) const noexcept {
        if (round <= share_after || !has_coin_slot(round - share_after)) return std::nullopt;
        return (round - share_after) / coin_interval;
    }
    // REQUIRES: not a coin slot
    [[nodiscard]] author_index leader_of(const slot& where) const noexcept {
        return permutation[(where.round + where.rank - 1) % members];
    }
    [[nodiscard]] round_number decision_round(const slot& where) const noexcept {
        return where.round + (where.by_coin() ? coin_wave : wave) - 1;
    }
    [[nodiscard]] round_number first_anchor_round(const slot& where) const noexcept {
        return where.round + (where.by_coin() ? coin_anchor_after : anchor_after);
    }
};

}  // namespace cess::consensus
