// Ordering by a committee in one epoch: a member that drives the consensus core (chain/consensus) over the network, the disk and the clock.
//
// When the epoch has ended it goes on, so that others get as far, until it is stopped; and asks them for the last certificate, which nobody
// brings to one that is late. Of members that are in the next epoch already it fetches what it lacks of this one's log; where f+1 of them
// have dropped that, it says so (`behind`).
//
// Everything of the core runs on one strand. Accepted blocks go to the log behind it in the order in which they were accepted,
// an own block is synced before the core counts it and anybody hears of it. After a restart the log goes through the core
// again from the newest checkpoint on, which gives the same commits at the same heights; those that the state contains are passed over.
//
// Bounded: transactions that wait (validator_limits), what goes to each peer and is asked of it (member_links.hpp), what each
// peer may have under way here, what waits for the log, and what was committed and nobody has taken: past that blocks of others
// are refused until it is taken, and come again later.
#pragma once

#include "epoch_archive.hpp"
#include "heights.hpp"
#include "machine.hpp"
#include "member_checkpoint.hpp"
#include "member_links.hpp"
#include "members.hpp"

#include <chain/consensus/cks_coin.hpp>
#include <chain/consensus/replica.hpp>
#include <chain/node/validator.hpp>
#include <core/net/channel.hpp>

#include <boost/asio/strand.hpp>

#include <set>

namespace cess::chain {

class committee_member final : public ordering {
public:
    using replay = std::function<result<void>(ordered)>;
    // `on`: where the state stands, in the epoch that is to be ordered. What the log has past it goes to `visit`. `logs` and `state` outlive it.
    // REQUIRES: on.committee
    static result<std::unique_ptr<committee_member>> open(const validator_dependencies& on, consensus::author_index self, const machine& state,
                                                          epoch_archive& logs, const replay& visit);

    void start() override;
    result<void> submit(ledger::signed_transaction what, std::uint64_t weight) override;
    net::awaitable<result<ordered>> next() override;
    void contribute(block_height height, signature over_certificate) override;
    void certified(block_height height) override { m_certified = height.value; }
    result<bytes> encoded_block(block_height height, const block_place& where) override;
    [[nodiscard]] std::size_t waiting() const override;
    net::awaitable<net::reply> serve(node_id from, net::request what) override;
    std::vector<ledger::signed_transaction> unordered() override;
    result<void> finish() override;
    void stop() override;
    net::awaitable<void> join() override;

private:
    // Of a member, being answered: what an honest one has under way (member_links.hpp).
    static constexpr std::size_t pushes_a_member_max = member_links::pushes_max, fetches_a_member_max = member_links::fetches_max;
    static constexpr net::duration log_refusals_every = std::chrono::minutes(1);  // of a member
    static constexpr consensus::instant contribute_again = 2'000'000;  // after so long without a certificate
    static constexpr net::duration ask_for_last_every = std::chrono::milliseconds(250);  // once the epoch has ended
    static constexpr net::duration tell_of_silence_every = std::chrono::seconds(5);
    static constexpr consensus::instant ask_for_rounds_every = 250'000;  // of a member for whom it has, while it has not here

    // The log, with what is on its way there, and without an own block that is not durable.
    struct archive final : consensus::archive {
        [[nodiscard]] bool holds(const consensus::block_ref& what) const override {
            return underway.contains(what) || (log && what != own && log->holds(what));
        }
        std::set<consensus::block_ref> underway;
        consensus::block_ref own;
        std::shared_ptr<dag_log> log;
    };

    committee_member(const validator_dependencies& on, consensus::author_index self, const machine& state, epoch_archive& logs, const std::optional<member_checkpoint>& from);
    committee_member(const validator_dependencies& on, consensus::author_index self, const position& at, epoch_archive& logs, bool silent,
                     const std::optional<member_checkpoint>& from);
    result<void> replayed(const consensus::block_ptr& block, const replay& visit);

    [[nodiscard]] consensus::instant now() const;
    void carry_out(consensus::actions what);
    void log_accepted(const consensus::actions& what);
    void deliver(const std::vector<consensus::committed>& commits, const std::vector<consensus::block_ptr>& accepted);
    void consider_checkpoint();
    void consider_close();
    void note_ended(consensus::author_index at);
    void note_gone(consensus::author_index at);
    void hand_over(ordered what);
    void count_unlogged(std::uint64_t bytes, bool more);
    [[nodiscard]] bool full() const;
    void tick();
    void wake_at(consensus::instant at);
    void take_submitted();
    void count_unproposed();
    // Of a block that no honest member would have sent its sender is not listened to any further.
    result<void> take_block(consensus::author_index from, const consensus::block_ptr& block);
    void note_refusal(consensus::author_index from, const error& why);
    void fail(error why);
    void broke(std::exception_ptr thrown);  // the core may be in the middle of a step: nothing goes on
    [[nodiscard]] bool stopped() const;

    net::awaitable<void> begin();
    net::awaitable<void> ask_for_last();
    net::awaitable<void> tell_of_silence();
    net::awaitable<result<ledger::state_certificate>> last_from(consensus::author_index whom);
    net::awaitable<void> noting_ended(consensus::author_index at);
    net::awaitable<void> noting_silent();
    net::awaitable<void> wait_until(consensus::instant at);
    net::awaitable<void> write_log();
    net::awaitable<void> take_contribution(block_height height, signature sig);
    net::awaitable<void> take_queue();
    net::awaitable<void> take_answer(consensus::request asked, std::vector<consensus::block_ptr> blocks);
    net::awaitable<result<void>> take_pushed(consensus::author_index from, consensus::block_ptr block);
    net::awaitable<net::reply> serve_blocks(consensus::author_index from, net::request what);
    net::awaitable<net::reply> serve_fetch(net::request what);
    net::awaitable<net::reply> serve_state(net::request what);
    net::reply serve_silent(const net::request& what);
    net::reply serve_signatures(consensus::author_index from, const net::request& what);
    result<std::shared_ptr<dag_log>> log_of(std::uint64_t epoch);
    result<std::vector<bytes>> read_asked(const fetch_request& what);

    net::env& m_world;
    net::worker_pool& m_workers;
    net::worker_pool& m_readers;
    kv::store& m_store;
    const network_id m_network;
    const std::uint64_t m_epoch;
    const consensus::author_index m_self;
    epoch_archive& m_logs;
    const bool m_silent;
    const validator_limits m_limits;
    const consensus::ed25519_keys m_keys;
    const consensus::cks_coin m_coin;
    std::map<node_id, consensus::author_index> m_members;
    boost::asio::strand<boost::asio::any_io_executor> m_strand;
    net::task_group m_tasks;

    bool m_opened = false;  // start() was called

    // Of the strand, once it was:
    archive m_archive;
    consensus::replica m_replica;
    heights m_heights;
    member_links m_links;
    bool m_started = false;
    std::vector<consensus::block_ptr> m_to_log;
    consensus::block_ptr m_to_persist;
    std::optional<member_checkpoint> m_coming;         // the next checkpoint, until the state has come as far,
    std::optional<member_checkpoint> m_to_store;       // and until the log is synced
    consensus::round_number m_checkpoint_round = 0;    // of the newest one
    net::bounded_channel<bool> m_log_bell{1};
    std::set<consensus::instant> m_alarms;
    std::optional<std::pair<block_height, signature>> m_contributed;  // the newest
    consensus::instant m_contributed_at = 0;
    bool m_asks_for_last = false;
    bool m_someone_silent = false;
    std::set<consensus::author_index> m_gone;            // members who keep this epoch's log no more
    std::vector<consensus::instant> m_asked_for_rounds;  // by member, when

    mutable std::mutex m_mutex;  // of what follows
    struct submitted {
        bytes item;
        std::uint64_t weight;  // ledger::weight_of
    };
    std::deque<submitted> m_submitted;                 // not handed to the replica yet
    consensus::proposer::backlog m_arrived;            // of those, and of what is being handed over
    consensus::proposer::backlog m_unproposed;         // handed over, in no own block yet
    std::vector<std::size_t> m_pushes, m_fetches;      // being answered, by member
    struct refusals {
        counter* count = nullptr;
        std::optional<net::time_point> logged;
    };
    std::vector<refusals> m_refused;                   // by member
    ordered m_out;
    std::uint64_t m_out_bytes = 0;
    std::uint64_t m_unlogged_bytes = 0;                // accepted, and not in the log yet
    error m_failure;
    bool m_stopped = false;
    net::bounded_channel<bool> m_bell{1};              // rung when m_out stops being empty
    std::atomic<std::uint64_t> m_certified{0};         // the state in the store is as high at least, once it is not 0
    counter& m_rounds;
    gauge& m_replayed;
    gauge& m_round_gauge;
    gauge& m_unlogged_gauge;
};

}  // namespace cess::chain
