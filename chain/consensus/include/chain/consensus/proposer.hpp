// When this node makes its next block, and of what: the pace of rounds, parents and weak links, the queue of payload.
#pragma once

#include <chain/consensus/dag.hpp>
#include <chain/consensus/pending.hpp>
#include <chain/consensus/validity.hpp>

#include <functional>
#include <list>

namespace cess::consensus {

// In microseconds. δ is the usual one-way delay, which the owner measures.
struct pacing {
    instant round_min = 1'000;       // between own blocks
    instant leader_wait = 5'000;     // for a leader that was active lately, once a quorum is there: half of δ
    instant heartbeat = 1'000'000;   // between own blocks while there is nothing to sequence
    instant retry = 40'000;          // of requests
    instant resend = 40'000;         // of the own newest block, while no quorum follows it
};

// What own blocks may carry, besides limits::, to which others hold them.
struct payload_bounds {
    std::size_t block_items = limits::payload_items;
    std::uint64_t block_weight = limits::payload_bytes;  // a single heavier item goes alone
    // What an item costs whoever takes it out of the sequence; unset: its size. For what goes out again.
    std::function<std::uint64_t(const bytes& item)> weigh;
};

class proposer {
public:
    static constexpr std::size_t queue_bytes_max = 64 * MiB;
    static constexpr round_number jump_after = 32;   // so far behind it leaves rounds out
    static constexpr round_number recently = 4;      // rounds in which a leader must have been seen to be waited for
    static constexpr round_number payload_depths = 2;  // so many depths above the floor blocks are empty

    // `last`: the own newest block, if it is older than all that inserted() and made() will tell of, or of round 0.
    proposer(const dag& in, const epoch_context& of, author_index self, const pacing& pace, const keys& signer, const coin& shares, const block_ref& last,
             payload_bounds bounds = {});

    // errc::exhausted past the queue's bound, errc::too_large for what fits into no block. What is in an own block that is
    // durable will be in the sequence once (with probability one), whatever crashes. Equal items may count as one.
    result<void> submit(bytes item, std::optional<std::uint64_t> weight = {});  // unless given, it is weighed
    // Likewise; past 64 that wait for a block the lowest give way.
    void contribute(block_height height, const signature& over_certificate);

    // To be told of every vertex.
    void inserted(const vertex& v);
    // An own block that is durable: no other is ever made for its round, nor for an earlier one, and what it carries is not
    // proposed again while it can be sequenced. In the order of rounds, from the log as well.
    void made(const named_block& own);
    // And once it is.
    void sequenced(const named_block& own);
    // It never will be: what it carries goes out again, unless a newer own block carries that.
    void forgo(const named_block& own);
    // Forgoes the own blocks below that nobody sequenced.
    void collect(round_number floor);

    // Own blocks wish for the epoch's end from now on.
    void wish_close() noexcept { m_wishes_close = true; }
    // No own blocks any more.
    void be_silent() noexcept { m_silent = true; }
    // The epoch has ended: own blocks are for the others alone, so that these get as far.
    void close() noexcept { m_closed = true; }
    // Payload that was submitted and is not in the sequence, each item once. For the next epoch.
    [[nodiscard]] std::vector<bytes> unsequenced() const;

    // The next own block, if it is due; it does not count before it is inserted. Else `wake` says when to ask again, if
    // time alone can make it due.
    [[nodiscard]] block_ptr propose(instant now, bool idle, std::optional<instant>& wake);
    struct backlog {
        std::size_t items = 0;
        std::uint64_t weight = 0;
    };
    [[nodiscard]] backlog waiting() const noexcept { return {m_queue.size(), m_queue_weight}; }  // for an own block
    [[nodiscard]] const block_ref& last() const noexcept { return m_last; }
    // Whether all payload of durable own blocks is in the sequence, or in such a block from this round on.
    [[nodiscard]] bool carried_from(round_number round) const;
    // Whether a quorum follows the own newest block's round.
    [[nodiscard]] bool followed() const { return m_dag.authors_in(m_last.round) >= m_of.by.parent_quorum; }

private:
    struct queued {
        bytes item;
        std::uint64_t weight = 0;
        std::optional<hash256> again;  // its digest, if it was in an own block before
    };
    [[nodiscard]] round_number target() const;
    [[nodiscard]] instant due_at(round_number round, instant now, bool idle) const;
    [[nodiscard]] bool leaders_here(round_number round) const;
    [[nodiscard]] block_body compose(round_number round);
    void add_links(block_body& to);
    void cover(const vertex& from);
    void take_payload(block_body& to);
    [[nodiscard]] std::uint64_t weigh(const bytes& item) const { return m_bounds.weigh ? m_bounds.weigh(item) : item.size(); }
    std::list<queued>::iterator enqueue(queued what);
    queued dequeue(std::list<queued>::iterator at);

    const dag& m_dag;
    const epoch_context& m_of;
    const author_index m_self;
    const pacing& m_pace;
    const keys& m_keys;
    const coin& m_coin;
    const payload_bounds m_bounds;

    block_ref m_last;                                       // own newest
    instant m_last_at = 0;
    round_number m_waiting_for = 0;
    instant m_quorum_at = 0;                                // when the parents' quorum of that round was there
    std::vector<round_number> m_seen;                       // by author, the highest round
    std::map<block_ref, const vertex*> m_uncovered;         // not in the history of own blocks
    std::list<queued> m_queue;
    std::size_t m_queue_bytes = 0;
    std::uint64_t m_queue_weight = 0;
    std::map<hash256, std::list<queued>::iterator> m_again;  // of what is in the queue again, by digest
    bool m_again_underway = false;                           // some of it is in an own block that is not durable
    std::map<block_height, signature> m_contributions;
    // What own blocks carry that are not sequenced yet, and the newest such block's round.
    std::map<hash256, round_number> m_carried;
    std::map<block_height, round_number> m_signed;
    bool m_wishes_close = false;
    bool m_closed = false;
    bool m_silent = false;
};

}  // namespace cess::consensus
