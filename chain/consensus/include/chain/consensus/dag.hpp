// The DAG of blocks, in memory, and the facts about each block's history that the commit rule counts.
//
// A vertex is inserted once all it refers to is there, so its history is complete and these facts never change:
//
//   vote         A block of a slot's vote round votes for the block of the slot's leader that is met first when its
//                history is walked depth first, parents in the order of authors. (An author may have several blocks in a
//                round; of each voter's block only one of them gets the vote.) In the wave of three rounds the vote round
//                is the next one, so that the vote is simply the parent.
//   certificate  A block of the next round is a certificate for a leader's block that a quorum of its parents voted for.
//
// Walks go by parents only; weak links matter to the sequence alone. Below the floor everything has been sequenced or never
// will be: those vertices are collected, and pointers to them are null.
#pragma once

#include <chain/consensus/archive.hpp>
#include <chain/consensus/rules.hpp>

#include <deque>

namespace cess::consensus {

struct vertex {
    block_ptr block;  // with an empty body once it is sequenced
    // All by author, of size n; null = none.
    std::vector<const vertex*> parents;
    std::vector<const vertex*> certified;       // of round − 2: what this is a certificate for
    std::vector<const vertex*> coin_voted;      // in rounds kK+1 … kK+3: the block of round kK met first
    std::vector<const vertex*> coin_certified;  // in round kK+4: what this is a certificate for
    std::vector<const vertex*> weak;
    // Marks of the walks that go over each block once.
    mutable bool sequenced = false;
    mutable bool covered = false;  // in the history of this node's own newest block

    [[nodiscard]] const block_ref& ref() const noexcept { return block->ref; }
    [[nodiscard]] round_number round() const noexcept { return block->ref.round; }
    [[nodiscard]] author_index author() const noexcept { return block->ref.author; }
};

// Not thread-safe. Vertices stay where they are until they are collected.
class dag {
public:
    using copies = std::vector<std::unique_ptr<vertex>>;  // of one author and round: more than one is equivocation

    // `genesis`: the digest of the n blocks of round 0, with which it begins, unless `floor` is a later round.
    dag(const rules& by, const hash256& genesis, const archive& older, round_number floor = 0);

    [[nodiscard]] const vertex* find(const block_ref& what) const;
    [[nodiscard]] const copies& at(round_number round, author_index author) const;
    [[nodiscard]] std::size_t authors_in(round_number round) const;
    [[nodiscard]] round_number highest() const noexcept { return m_floor + m_rounds.size() - 1; }
    [[nodiscard]] round_number floor() const noexcept { return m_floor; }
    [[nodiscard]] std::size_t size() const noexcept { return m_size; }

    // What `block` refers to and is not here, nor, from below the floor, in the archive.
    [[nodiscard]] std::vector<block_ref> missing(const block_body& block) const;
    // REQUIRES: valid (validity.hpp), not there yet, nothing missing, not below the floor
    const vertex& insert(block_ptr block);
    // It is in the sequence: whoever wants its contents again asks the log. Only its name and its place are kept.
    void release(const block_ref& sequenced);
    // Forgets the rounds below. REQUIRES: floor ≤ highest()
    void collect(round_number floor);

private:
    struct level {
        std::vector<copies> by_author;
        std::size_t authors = 0;
    };
    void add_genesis();
    level& level_of(round_number round);
    [[nodiscard]] const level* find_level(round_number round) const;
    void derive_certificates(vertex& of) const;
    void derive_coin_votes(vertex& of) const;

    [[nodiscard]] bool was_here(const block_ref& what) const;  // REQUIRES: below the floor

    const rules& m_rules;
    const hash256 m_genesis;
    const archive& m_older;
    round_number m_floor;
    std::deque<level> m_rounds;  // from the floor on
    std::size_t m_size = 0;
};

}  // namespace cess::consensus
