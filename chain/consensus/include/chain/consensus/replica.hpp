// One member of the committee: a step machine, pure and single-threaded. What happens comes in as calls, with the time;
// what is to be done comes out as actions. No clock, socket, disk, thread, float or order of hash maps inside, so that
// the simulator (tests/simulation/consensus_*) and the node run the very same steps.
//
// The owner carries the actions of a call out in the order of their fields, and calls in their order:
//
//   log       goes behind the log, which holds all blocks this member has accepted, in this order, and is the archive. Need
//             not be synced.
//   persist   an own block: goes behind the log as well, which is then synced; on_durable() after that. Nothing counts it
//             before, not even here: a power cut must not make a member say two things in one round. So until then it is
//             in nothing that the owner shows: no request is answered with it, and the archive does not hold it.
//   send      to all other members.
//   requests  to one of them, who answers with the blocks it has, from its log too.
//   settled, commits   what was decided, and what that adds to the one sequence.
//   wake      on_timer() is wanted then, at the latest. It may be called at any time.
//
// After a restart the log, without what was torn, goes through replay(), and commits come out again from the first one on, or
// from where a checkpoint says that they had come to: with that and the log's rounds from its replay_from() on the same comes
// out as with all of the log. It counts only if all that was accepted before here() gave it is durable, so the owner syncs the log
// first. Then start(). What the log holds then, the last own block too, may never have been synced, and a second power cut may take
// it: the log is synced before start() is called, or at the latest before anything of what that gives is sent and any
// request is answered.
//
// Bounds: DAG and waiting blocks reach from `depth` rounds under the last committed leader to `lookahead` rounds above the
// highest round known; what waits is bounded an author (pending.hpp). Of one author and round `copies_max` are taken, more
// only if a block by another author needs them, and more than `copies_needed_max` a member only if blocks by f+1 do.
#pragma once

#include <chain/consensus/proposer.hpp>
#include <chain/consensus/sequencer.hpp>

namespace cess::consensus {

struct actions {
    std::vector<block_ptr> log;
    block_ptr persist;
    std::vector<block_ptr> send;
    std::vector<request> requests;
    std::vector<settled> decided;
    std::vector<committed> commits;
    std::optional<instant> wake;
};

class replica {
public:
    static constexpr round_number lookahead = 32;
    static constexpr std::size_t copies_max = 2;  // two prove the equivocation
    static constexpr std::size_t copies_needed_max = 2;  // times the members

    // `older`, `signer` and `shares` outlive it. REQUIRES: of.by.coin_interval > of.by.coin_wave, of.by.depth > of.by.coin_interval
    replica(epoch_context of, author_index self, const pacing& pace, const archive& older, const keys& signer, const coin& shares,
            payload_bounds bounds = {}, const std::optional<checkpoint>& from = {});
    replica(const replica&) = delete;
    replica& operator=(const replica&) = delete;

    [[nodiscard]] actions replay(const block_ptr& logged);
    // REQUIRES: resumed()
    [[nodiscard]] actions start(instant now);
    // Whether what the checkpoint names was in the log.
    [[nodiscard]] bool resumed() const noexcept { return m_sequencer.resumed(); }
    // After the commits that have come out so far. None while that cannot be said without what is further down: try again later; nor in an epoch that has ended.
    [[nodiscard]] std::optional<checkpoint> here() const;

    // A block that `from` sent. errc::protocol if no honest member would have; one that is not needed may go unexamined.
    [[nodiscard]] result<actions> on_block(instant now, author_index from, const block_ptr& block);
    // The block in `persist` is.
    [[nodiscard]] actions on_durable(instant now);
    [[nodiscard]] actions on_timer(instant now);

    // Payload of the next own block; on_timer() makes use of it.
    result<void> submit(bytes item, std::optional<std::uint64_t> weight = {}) { return m_proposer.submit(std::move(item), weight); }
    [[nodiscard]] proposer::backlog unproposed() const noexcept { return m_proposer.waiting(); }
    void contribute(block_height height, const signature& over_certificate) { m_proposer.contribute(height, over_certificate); }
    // It only follows: it may have said something in this epoch that it has forgotten.
    void be_silent() noexcept { m_proposer.be_silent(); }
    // This member wishes the epoch to end, in own blocks from now on. It has once a commit `closes`: nothing is sequenced after that,
    // and own blocks, without payload, are for the others alone.
    void wish_close() noexcept { m_proposer.wish_close(); }
    [[nodiscard]] bool closed() const noexcept { return m_sequencer.closed(); }
    // Then: payload that was submitted and is not in the sequence, of own blocks too.
    [[nodiscard]] std::vector<bytes> unsequenced() const;

    [[nodiscard]] const dag& graph() const noexcept { return m_dag; }
    [[nodiscard]] const sequencer& order() const noexcept { return m_sequencer; }
    [[nodiscard]] std::size_t waiting() const noexcept { return m_pending.size(); }
    [[nodiscard]] std::size_t wanted() const noexcept { return m_pending.wanted_size(); }
    [[nodiscard]] round_number own_round() const noexcept { return m_proposer.last().round; }

private:
    [[nodiscard]] result<void> take(const block_ptr& block, author_index from, actions& out);
    [[nodiscard]] bool one_too_many(const block_ref& ref) const;
    void accept(std::vector<block_ptr> ready, actions& out);
    void insert(const block_ptr& block);
    void catch_up(instant now, author_index from, actions& out);
    void advance(instant now, actions& out);
    void sequence(actions& out);
    void collect();
    void resend(instant now, actions& out);
    [[nodiscard]] bool idle() const noexcept { return closed() || m_payload_round <= m_sequencer.committed_round(); }

    const epoch_context m_of;
    const author_index m_self;
    const pacing m_pace;
    const keys& m_keys;
    const coin& m_coin;
    const round_number m_began_at;  // the DAG's floor
    dag m_dag;
    pending m_pending;
    sequencer m_sequencer;
    proposer m_proposer;

    block_ptr m_in_flight;              // being made durable
    block_ptr m_newest;                 // own, durable
    instant m_sent_at = 0;
    std::vector<std::optional<instant>> m_asked_at;  // for rounds, by member
    round_number m_payload_round = 0;   // the highest with payload
    std::map<std::pair<round_number, author_index>, std::size_t> m_copies_below;  // accepted, of `depth` rounds below the floor
};

}  // namespace cess::consensus
