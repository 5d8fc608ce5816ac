#include "committee_member.hpp"

#include "exception_words.hpp"
#include "patient_offload.hpp"

#include <chain/client/protocol.hpp>
#include <chain/ledger/ledger.hpp>
#include <core/base/log.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>

namespace cess::chain {
namespace {

consensus::epoch_context context_of(const position& at) {
    consensus::epoch_context out;
    out.network = at.network;
    out.epoch = at.epoch.members.epoch;
    out.genesis = at.epoch.genesis;
    out.by = consensus::rules::of(at.epoch.members.members.size());
    return out;
}

std::vector<net::peer> in_order(const ledger::committee& members, const std::vector<net::peer>& known) {
    std::vector<net::peer> out;
    for (const auto& key : members.members) {
        const auto id = crypto::id_of<node_id>(key);
        const auto found = std::find_if(known.begin(), known.end(), [&](const net::peer& p) { return p.id == id; });
        out.push_back(found == known.end() ? net::peer{id, {}} : *found);
    }
    return out;
}

// The same bound on blocks as a single validator has (single_validator.cpp).
consensus::payload_bounds bounds_of(const validator_limits& limits) {
    consensus::payload_bounds out;
    out.block_items = limits.block_transactions_max;
    out.block_weight = limits.block_bytes_max;
    out.weigh = [](const bytes& item) -> std::uint64_t {
        const auto decoded = wire::decode<ledger::signed_transaction>(item);
        return decoded ? ledger::weight_of(decoded->body, item.size()) : item.size();
    };
    return out;
}

std::uint64_t memory_of(const std::vector<consensus::block_ptr>& blocks) {
    std::uint64_t out = 0;
    for (const auto& block : blocks) out += consensus::memory_of(block->body());
    return out;
}

// One of the requests that a member may have under way.
struct request_slot {
    request_slot(std::mutex& on, std::size_t& of, std::size_t max) : mutex(on), count(of) {
        std::lock_guard lock(mutex);
        taken = count < max;
        if (taken) ++count;
    }
    ~request_slot() {
        std::lock_guard lock(mutex);
        if (taken) --count;
    }
    request_slot(const request_slot&) = delete;
    request_slot& operator=(const request_slot&) = delete;
    std::mutex& mutex;
    std::size_t& count;
    bool taken = false;
};

}  // namespace

// ---- opening ----------------------------------------------------------------------------------------------

committee_member::committee_member(const validator_dependencies& on, consensus::author_index self, const machine& state, epoch_archive& logs,
                                   const std::optional<member_checkpoint>& from)
    : committee_member(on, self, state.applied(), logs, state.applied().epoch.members.epoch < state.silent_before(), from) {}

committee_member::committee_member(const validator_dependencies& on, consensus::author_index self, const position& at, epoch_archive& logs, bool silent,
                                   const std::optional<member_checkpoint>& from)
    : m_world(on.world), m_workers(on.workers), m_readers(on.committee->readers), m_store(on.state), m_network(at.network), m_epoch(at.epoch.members.epoch),
      m_self(self), m_logs(logs), m_silent(silent), m_limits(on.limits),
      m_keys(on.identity, at.epoch.members.members),
      m_coin(m_network, m_epoch, self, on.committee->coin, on.origin.coin, consensus::rules::of(at.epoch.members.members.size()).coin_quorum),
      m_strand(on.world.executor()), m_tasks(m_strand, [this](std::exception_ptr thrown) { broke(std::move(thrown)); }),
      m_replica(context_of(at), self, on.committee->pace, m_archive, m_keys, m_coin, bounds_of(on.limits), from ? std::optional(from->core) : std::nullopt),
      m_heights(at.height, at.block_digest, from ? from->height : at.epoch.before, from ? from->bytes : 0),
      m_links(on.world, on.committee->through, m_tasks, m_network, m_epoch, self, in_order(at.epoch.members, on.committee->members),
              {[this](consensus::request asked, std::vector<consensus::block_ptr> blocks) { return take_answer(std::move(asked), std::move(blocks)); },
               [this](consensus::author_index there) { note_ended(there); }, [this](consensus::author_index there) { note_gone(there); }}),
      m_checkpoint_round(from ? from->core.committed_round : 0), m_asked_for_rounds(at.epoch.members.members.size()), m_pushes(m_asked_for_rounds.size()),
      m_fetches(m_pushes.size()), m_refused(m_pushes.size()),
      m_rounds(on.count.make_counter("cess_consensus_own_blocks_total", "Own blocks of the committee's DAG")),
      m_replayed(on.count.make_gauge("cess_consensus_replayed_blocks", "Blocks of the committee's DAG that the start read again")),
      m_round_gauge(on.count.make_gauge("cess_consensus_round", "Round of the newest own block")),
      m_unlogged_gauge(on.count.make_gauge("cess_consensus_unlogged_bytes", "Of accepted blocks that the log does not hold yet")) {
    for (std::size_t i = 0; i < at.epoch.members.members.size(); ++i)
        m_members.emplace(crypto::id_of<node_id>(at.epoch.members.members[i]), static_cast<consensus::author_index>(i));
    for (std::size_t i = 0; i < m_refused.size(); ++i)
        m_refused[i].count = &on.count.make_counter("cess_consensus_refused_blocks_total", "Blocks that no honest member would have sent, by who did", "member=\"" + std::to_string(i) + "\"");
}

result<std::unique_ptr<committee_member>> committee_member::open(const validator_dependencies& on, consensus::author_index self, const machine& state,
                                                                 epoch_archive& logs, const replay& visit) {
    const auto& at = state.applied();
    const auto epoch = at.epoch.members.epoch;
    TRY(const auto from, load_checkpoint(on.state, epoch));
    if (from && at.height < from->height)
        return error(errc::corrupt, "the state stands at height " + std::to_string(at.height.value) + ", its checkpoint at " + std::to_string(from->height.value) +
                                        "; restore files and state store together");
    std::unique_ptr<committee_member> made(new committee_member(on, self, state, logs, from));
    made->m_replayed.set(0);
    const auto each = [&](const consensus::block_ptr& block) { return made->replayed(block, visit); };
    const auto first = from ? from->core.replay_from(consensus::rules::of(at.epoch.members.members.size())) : 0;
    TRY(made->m_archive.log, logs.open(epoch, first, each));
    if (!made->m_replica.resumed())
        return error(errc::corrupt, "DAG log of epoch " + std::to_string(epoch) + " in " + on.log_directory + " lacks blocks that the checkpoint names; restore files and state store together");
    return made;
}

result<void> committee_member::replayed(const consensus::block_ptr& block, const replay& visit) {
    m_replayed.add(1);
    const auto done = m_replica.replay(block);
    ordered out;
    for (const auto& commit : done.commits) CHECK_OK(m_heights.number(commit, out.blocks));
    for (const auto& [height, sig] : block->body().certificate_signatures) out.signatures.push_back({height, block->ref.author, sig});
    return out.blocks.empty() && out.signatures.empty() ? result<void>() : visit(std::move(out));
}

void committee_member::start() {
    m_opened = true;
    if (m_silent) m_replica.be_silent();
    if (m_silent) m_tasks.spawn(tell_of_silence());
    m_tasks.spawn(write_log());
    m_tasks.spawn(begin());
}

net::awaitable<void> committee_member::begin() {
    m_started = true;
    if (m_contributed) m_replica.contribute(m_contributed->first, m_contributed->second);
    m_contributed_at = now();
    consider_close();
    carry_out(m_replica.start(now()));
    tick();
    co_return;
}

// ---- the core and its actions -----------------------------------------------------------------------------

consensus::instant committee_member::now() const {
    return static_cast<consensus::instant>(std::chrono::duration_cast<std::chrono::microseconds>(m_world.now().time_since_epoch()).count());
}

void committee_member::carry_out(consensus::actions what) {
    log_accepted(what);
    for (const auto& block : what.send) m_links.broadcast(block);
    for (auto& request : what.requests) m_links.ask(std::move(request));
    deliver(what.commits, what.log);
    consider_checkpoint();
    if (what.wake) wake_at(*what.wake);
}

void committee_member::log_accepted(const consensus::actions& what) {
    count_unlogged(memory_of(what.log), true);
    for (const auto& block : what.log) {
        m_archive.underway.insert(block->ref);
        m_to_log.push_back(block);
    }
    if (what.persist) m_to_persist = what.persist;
    count_unproposed();  // what a new own block took, and what goes out again
    if (!what.log.empty() || what.persist) (void)m_log_bell.try_send(true);
}

// Behind the log, one batch after the other: whatever gathered while the last was written.
net::awaitable<void> committee_member::write_log() {
    for (;;) {
        while (m_to_log.empty() && !m_to_persist && !m_to_store) {
            auto rung = co_await m_log_bell.receive();
            if (!rung) co_return;
        }
        const auto batch = std::make_shared<std::vector<consensus::block_ptr>>(std::exchange(m_to_log, {}));
        const auto own = std::exchange(m_to_persist, nullptr);
        const auto size = memory_of(*batch);
        if (own) {
            m_archive.own = own->ref;
            batch->push_back(own);
        }
        const auto mark = std::make_shared<std::optional<member_checkpoint>>(std::exchange(m_to_store, std::nullopt));
        const auto work = [this, batch, mark, sync = own || *mark]() -> result<void> {
            CHECK_OK(m_archive.log->append(*batch));
            if (sync) CHECK_OK(m_archive.log->sync());
            if (!*mark) return {};
            CHECK_OK(store_checkpoint(m_store, m_epoch, **mark));
            return m_store.flush();
        };
        auto job = patient_offload(m_world, m_workers, work);
        auto done = co_await std::move(job);
        if (!done) co_return fail(std::move(done).error());
        if (stopped()) co_return;
        count_unlogged(size, false);
        for (const auto& block : *batch) m_archive.underway.erase(block->ref);
        if (!own) continue;
        m_archive.own = {};
        m_rounds.add();
        m_round_gauge.set(static_cast<std::int64_t>(own->ref.round));
        carry_out(m_replica.on_durable(now()));
    }
}

void committee_member::deliver(const std::vector<consensus::committed>& commits, const std::vector<consensus::block_ptr>& accepted) {
    ordered out;
    for (const auto& commit : commits)
        if (auto numbered = m_heights.number(commit, out.blocks); !numbered) return fail(std::move(numbered).error());
    for (const auto& block : accepted)
        for (const auto& [height, sig] : block->body().certificate_signatures) out.signatures.push_back({height, block->ref.author, sig});
    if (!out.blocks.empty() || !out.signatures.empty()) hand_over(std::move(out));
    consider_close();
}

// An epoch is as long as a log may grow. Its end is certified by signatures in blocks; who is late, when the others make no more, has to ask.
void committee_member::consider_close() {
    const auto round = m_replica.order().committed_round();
    const bool long_enough = round >= m_limits.epoch_rounds || m_heights.bytes() >= m_limits.epoch_bytes;
    if (long_enough || (m_someone_silent && round >= m_limits.epoch_rounds_min)) m_replica.wish_close();
    if (!m_replica.closed() || m_asks_for_last) return;
    m_asks_for_last = true;
    m_tasks.spawn(ask_for_last());
}

net::awaitable<void> committee_member::ask_for_last() {
    for (auto whom = static_cast<std::size_t>(m_self) + 1; !stopped(); ++whom) {
        auto slept = co_await m_world.sleep_for(ask_for_last_every);
        if (!slept) co_return;
        if (whom % m_members.size() == m_self) continue;
        auto asking = last_from(static_cast<consensus::author_index>(whom % m_members.size()));
        auto got = co_await std::move(asking);
        if (!got) continue;
        ordered out;
        out.last = std::move(*got);
        hand_over(std::move(out));
    }
}

net::awaitable<result<ledger::state_certificate>> committee_member::last_from(consensus::author_index whom) {
    handovers_request what;
    what.network = m_network;
    what.from = m_epoch;
    auto asking = m_links.call(whom, method::handovers, wire::encode(what), {}, net::lane::control);
    auto got = co_await std::move(asking);
    if (!got) co_return std::move(got).error();
    auto all = wire::decode<std::vector<ledger::state_certificate>>(got->head);
    if (!all) co_return std::move(all).error();
    if (all->empty() || all->front().body.epoch != m_epoch) co_return error(errc::not_found, "that epoch's last certificate");
    co_return std::move(all->front());
}

// Its blocks of this epoch are in its log, and nobody sends more of them. What is missing may be of any round that is not decided.
void committee_member::note_ended(consensus::author_index at) {
    if (!m_started || stopped() || m_replica.closed()) return;
    auto& asked = m_asked_for_rounds[at];
    if (asked > 0 && now() < asked + ask_for_rounds_every) return;
    asked = now();
    consensus::request what;
    what.peer = at;
    what.from = m_replica.order().committed_round();
    m_links.ask(std::move(what));
}

// It comes back into its own in the next epoch only, which the others bring about earlier for that.
net::awaitable<void> committee_member::tell_of_silence() {
    const silent_request what{m_network, m_epoch};
    while (!stopped()) {
        for (std::size_t whom = 0; whom < m_members.size(); ++whom) {
            if (whom == m_self) continue;
            auto telling = m_links.call(static_cast<consensus::author_index>(whom), method::silent, wire::encode(what), {}, net::lane::control);
            (void)co_await std::move(telling);
        }
        auto slept = co_await m_world.sleep_for(tell_of_silence_every);
        if (!slept) co_return;
    }
}

// Of f+1 members one is honest.
void committee_member::note_gone(consensus::author_index at) {
    if (m_replica.closed() || !m_gone.insert(at).second || m_gone.size() != (m_members.size() - 1) / 3 + 1) return;
    ordered out;
    out.behind = true;
    hand_over(std::move(out));
}

net::awaitable<void> committee_member::noting_silent() {
    m_someone_silent = true;
    consider_close();
    co_return;
}

net::awaitable<void> committee_member::noting_ended(consensus::author_index at) {
    note_ended(at);
    co_return;
}

// One after the other. It goes to the disk behind the log, once the state in the store contains what the sequence has up to it and is certified:
// signatures that are wanted later stand behind it then.
void committee_member::consider_checkpoint() {
    if (stopped()) return;  // heights may have been left behind
    if (!m_coming && m_replica.order().committed_round() >= m_checkpoint_round + m_limits.checkpoint_rounds) {
        auto here = m_replica.here();
        if (!here) return;
        m_checkpoint_round = here->committed_round;
        m_coming = {std::move(*here), m_heights.last(), m_heights.bytes()};
    }
    if (!m_coming || m_coming->height.value > m_certified || m_to_store) return;
    m_to_store = std::exchange(m_coming, std::nullopt);
    (void)m_log_bell.try_send(true);
}

void committee_member::hand_over(ordered what) {
    std::lock_guard lock(m_mutex);
    for (auto& block : what.blocks) {
        m_out_bytes += block.encoded_size;
        m_out.blocks.push_back(std::move(block));
    }
    m_out_bytes += what.signatures.size() * sizeof(member_signature);
    m_out.signatures.insert(m_out.signatures.end(), what.signatures.begin(), what.signatures.end());
    if (what.last) m_out.last = std::move(what.last);
    m_out.behind = m_out.behind || what.behind;
    (void)m_bell.try_send(true);  // full: it rings already
}

bool committee_member::stopped() const {
    std::lock_guard lock(m_mutex);
    return m_stopped;
}

bool committee_member::full() const {
    std::lock_guard lock(m_mutex);
    return m_stopped || m_out_bytes > m_limits.untaken_bytes_max || m_unlogged_bytes > m_limits.untaken_bytes_max;
}

void committee_member::count_unlogged(std::uint64_t bytes, bool more) {
    std::lock_guard lock(m_mutex);
    m_unlogged_bytes = more ? m_unlogged_bytes + bytes : m_unlogged_bytes - bytes;
    m_unlogged_gauge.set(static_cast<std::int64_t>(m_unlogged_bytes));
}

net::awaitable<result<ordered>> committee_member::next() {
    for (;;) {
        {
            std::lock_guard lock(m_mutex);
            if (m_failure.code != errc::ok) co_return m_failure;
            if (!m_out.blocks.empty() || !m_out.signatures.empty() || m_out.last || m_out.behind) {
                m_out_bytes = 0;
                co_return std::exchange(m_out, {});
            }
        }
        auto rung = co_await m_bell.receive();
        if (rung) continue;
        std::lock_guard lock(m_mutex);
        if (m_failure.code != errc::ok) co_return m_failure;
        co_return std::move(rung).error();
    }
}

// ---- time -------------------------------------------------------------------------------------------------

void committee_member::tick() {
    if (!m_started || stopped()) return;
    take_submitted();
    const auto at = now();
    if (m_contributed && m_contributed->first.value > m_certified && at >= m_contributed_at + contribute_again) {
        m_replica.contribute(m_contributed->first, m_contributed->second);
        m_contributed_at = at;
    }
    carry_out(m_replica.on_timer(at));
}

// An earlier alarm asks the core for the next one, when it rings.
void committee_member::wake_at(consensus::instant at) {
    if (!m_alarms.empty() && *m_alarms.begin() <= at) return;
    m_alarms.insert(at);
    m_tasks.spawn(wait_until(at));
}

net::awaitable<void> committee_member::wait_until(consensus::instant at) {
    auto slept = co_await m_world.sleep_until(net::time_point(std::chrono::microseconds(at)));
    m_alarms.erase(at);
    if (slept) tick();
}

net::awaitable<void> committee_member::take_contribution(block_height height, signature sig) {
    m_replica.contribute(height, sig);
    if (!m_replica.closed()) m_links.broadcast(height, sig);  // the last one stands in blocks alone, behind what decided the end, durable
    if (!m_contributed || m_contributed->first < height) {
        m_contributed.emplace(height, sig);
        m_contributed_at = now();
    }
    tick();
    co_return;
}

void committee_member::contribute(block_height height, signature over_certificate) {
    if (m_opened) m_tasks.spawn(take_contribution(height, over_certificate));
    else m_contributed.emplace(height, over_certificate);  // nothing runs that would have to be waited for if opening fails
}

// ---- transactions -----------------------------------------------------------------------------------------

result<void> committee_member::submit(ledger::signed_transaction what, std::uint64_t weight) {
    if (m_silent) return error(errc::unavailable, "this validator has lost its disk and makes no blocks before the next epoch; ask another");
    auto item = wire::encode(what);
    {
        std::lock_guard lock(m_mutex);
        if (m_stopped || m_failure.code != errc::ok) return error(errc::unavailable, "validator is stopping");
        const auto heavy = m_arrived.weight + m_unproposed.weight + weight;
        if (m_arrived.items + m_unproposed.items >= m_limits.queue_transactions_max || heavy > m_limits.queue_bytes_max)
            return error(errc::exhausted, "too many transactions wait; try later");
        ++m_arrived.items;
        m_arrived.weight += weight;
        m_submitted.push_back({std::move(item), weight});
        if (m_submitted.size() > 1) return {};  // the first one's turn takes all
    }
    m_tasks.spawn(take_queue());
    return {};
}

net::awaitable<void> committee_member::take_queue() {
    tick();
    co_return;
}

void committee_member::take_submitted() {
    std::deque<submitted> items;
    {
        std::lock_guard lock(m_mutex);
        items.swap(m_submitted);
    }
    if (items.empty()) return;
    std::uint64_t weight = 0;
    for (auto& [item, heavy] : items) {
        weight += heavy;
        auto taken = m_replica.submit(std::move(item), heavy);
        if (!taken) log::warn("chain", "a transaction is left out of order: {}", taken.error().message());  // its client tries again
    }
    std::lock_guard lock(m_mutex);
    m_arrived.items -= items.size();
    m_arrived.weight -= weight;
    m_unproposed = m_replica.unproposed();
}

void committee_member::count_unproposed() {
    std::lock_guard lock(m_mutex);
    m_unproposed = m_replica.unproposed();
}

std::size_t committee_member::waiting() const {
    std::lock_guard lock(m_mutex);
    return m_arrived.items + m_unproposed.items;
}

// ---- other members ----------------------------------------------------------------------------------------

result<void> committee_member::take_block(consensus::author_index from, const consensus::block_ptr& block) {
    if (full()) return error(errc::exhausted, "this member has too much to apply");
    auto done = m_replica.on_block(now(), from, block);
    if (!done) {
        note_refusal(from, done.error());
        return std::move(done).error();
    }
    carry_out(std::move(*done));
    return {};
}

// Logged now and then only: a liar could fill the disk with it.
void committee_member::note_refusal(consensus::author_index from, const error& why) {
    std::lock_guard lock(m_mutex);
    auto& of = m_refused[from];
    of.count->add();
    if (of.logged && m_world.now() < *of.logged + log_refusals_every) return;
    of.logged = m_world.now();
    log::warn("chain", "committee member {} sent a block that no honest member would have: {}; {} so far", from, why.message(), of.count->value());
}

// Of rounds: as long as that leads on, the next ones are asked for at once. A round that is larger than an answer would be begun again
// and again: what lies above it is asked for instead, whose blocks have the rest of it fetched by name.
// Other work gets its turn between blocks, each of which may cost the check of a signature.
net::awaitable<void> committee_member::take_answer(consensus::request asked, std::vector<consensus::block_ptr> blocks) {
    const auto before = m_replica.graph().highest();
    for (const auto& block : blocks) {
        if (!take_block(asked.peer, block)) co_return;
        auto turn = boost::asio::post(m_strand, boost::asio::use_awaitable);
        co_await std::move(turn);
    }
    if (!asked.from || blocks.empty()) co_return;
    const auto highest = m_replica.graph().highest();
    const auto next = highest == before ? blocks.back()->ref.round + 1 : highest;
    if (next <= *asked.from || next > highest + consensus::replica::lookahead) co_return;
    consensus::request more;
    more.peer = asked.peer;
    more.from = next;
    m_links.ask(std::move(more));
}

net::awaitable<result<void>> committee_member::take_pushed(consensus::author_index from, consensus::block_ptr block) {
    try {
        co_return take_block(from, block);
    } catch (...) {
        broke(std::current_exception());
    }
    co_return error(errc::unavailable, "this member has stopped");
}

net::awaitable<net::reply> committee_member::serve_blocks(consensus::author_index from, net::request what) {
    const auto head = wire::decode<blocks_message>(what.head);
    if (!head) co_return net::reply::of(head.error());
    if (head->network != m_network) co_return net::reply::of(error(errc::permission, "blocks of another network"));
    if (head->epoch < m_epoch) co_return net::reply::of(error(errc::conflict, "epoch " + std::to_string(head->epoch) + " has ended here"));
    if (head->epoch > m_epoch) {  // if that is true this one has ended there
        m_tasks.spawn(noting_ended(from));
        co_return net::reply::of(error(errc::unavailable, "epoch " + std::to_string(head->epoch) + " has not begun here"));
    }
    auto blocks = decode_blocks(what.body);
    if (!blocks) co_return net::reply::of(std::move(blocks).error());
    if (std::any_of(blocks->begin(), blocks->end(), [from](const auto& block) { return block->ref.author != from; })) {
        const error why(errc::permission, "only a member's own blocks are taken unasked");
        note_refusal(from, why);
        co_return net::reply::of(why);
    }
    if (full()) co_return net::reply::of(error(errc::exhausted, "this member has too much to apply"));
    for (auto& block : *blocks) {  // each a turn of its own on the strand
        auto on_strand = boost::asio::co_spawn(m_strand, take_pushed(from, std::move(block)), boost::asio::use_awaitable);
        auto done = co_await std::move(on_strand);
        if (!done) co_return net::reply::of(std::move(done).error());
    }
    co_return net::reply();
}

result<std::shared_ptr<dag_log>> committee_member::log_of(std::uint64_t epoch) {
    if (epoch == m_epoch) return m_archive.log;
    if (epoch > m_epoch) return error(errc::unavailable, "epoch " + std::to_string(epoch) + " has not begun here");
    return m_logs.closed(epoch);
}

result<std::vector<bytes>> committee_member::read_asked(const fetch_request& what) {
    TRY(const auto log, log_of(what.epoch));
    if (!log) return error(errc::not_found, "blocks of epoch " + std::to_string(what.epoch));
    if (what.from) return log->read_from(*what.from, message_bytes_max);
    std::vector<bytes> out;
    std::size_t size = 0;
    for (const auto& name : what.blocks) {
        TRY(auto found, log->read(name));
        if (!found) continue;
        if (!out.empty() && size + found->size() > message_bytes_max) break;
        size += found->size();
        out.push_back(std::move(*found));
    }
    return out;
}

net::awaitable<net::reply> committee_member::serve_fetch(net::request what) {
    auto decoded = wire::decode<fetch_request>(what.head);
    if (!decoded) co_return net::reply::of(std::move(decoded).error());
    if (decoded->network != m_network) co_return net::reply::of(error(errc::permission, "asked for another network"));
    if (decoded->blocks.size() > consensus::pending::blocks_a_request) co_return net::reply::of(error(errc::too_large, "too many blocks asked for at once"));
    const auto asked = std::make_shared<const fetch_request>(std::move(*decoded));
    const auto read = [this, asked] { return read_asked(*asked); };
    auto job = net::offload(m_readers, read);
    auto got = co_await std::move(job);
    if (!got) co_return net::reply::of(std::move(got).error());
    net::reply out;
    out.body = wire::encode(*got);
    co_return out;
}

net::awaitable<net::reply> committee_member::serve_state(net::request what) {
    auto decoded = wire::decode<state_request>(what.head);
    if (!decoded) co_return net::reply::of(std::move(decoded).error());
    if (decoded->network != m_network) co_return net::reply::of(error(errc::permission, "asked for another network"));
    const auto asked = std::make_shared<const state_request>(std::move(*decoded));
    const auto read = [this, asked] { return m_logs.state_pieces(*asked); };
    auto job = net::offload(m_readers, read);
    auto got = co_await std::move(job);
    if (!got) co_return net::reply::of(std::move(got).error());
    net::reply out;
    out.body = std::move(*got);
    co_return out;
}

net::reply committee_member::serve_signatures(consensus::author_index from, const net::request& what) {
    const auto decoded = wire::decode<signatures_message>(what.head);
    if (!decoded) return net::reply::of(decoded.error());
    if (decoded->network != m_network || decoded->epoch != m_epoch) return net::reply::of(error(errc::permission, "signatures of another network or epoch"));
    if (decoded->own.size() > message_signatures_max) return net::reply::of(error(errc::too_large, "too many signatures at once"));
    if (full()) return net::reply::of(error(errc::exhausted, "this member has too much to apply"));
    ordered out;
    for (const auto& [height, sig] : decoded->own) out.signatures.push_back({height, from, sig});
    if (!out.signatures.empty()) hand_over(std::move(out));
    return {};
}

net::reply committee_member::serve_silent(const net::request& what) {
    const auto decoded = wire::decode<silent_request>(what.head);
    if (!decoded) return net::reply::of(decoded.error());
    if (decoded->network != m_network) return net::reply::of(error(errc::permission, "asked for another network"));
    if (decoded->epoch == m_epoch) m_tasks.spawn(noting_silent());
    return {};
}

net::awaitable<net::reply> committee_member::serve(node_id from, net::request what) {
    const auto member = m_members.find(from);
    if (member == m_members.end()) co_return net::reply::of(error(errc::permission, "not a member of the committee"));
    const bool push = what.method == method::blocks;
    request_slot slot(m_mutex, (push ? m_pushes : m_fetches)[member->second], push ? pushes_a_member_max : fetches_a_member_max);
    if (stopped()) co_return net::reply::of(error(errc::unavailable, "this member has stopped"));
    if (!slot.taken) co_return net::reply::of(error(errc::exhausted, "too many requests of one member under way"));
    if (push) {
        auto work = serve_blocks(member->second, std::move(what));
        co_return co_await std::move(work);
    }
    if (what.method == method::silent) co_return serve_silent(what);
    if (what.method == method::signatures) co_return serve_signatures(member->second, what);
    if (what.method == method::state) {
        auto work = serve_state(std::move(what));
        co_return co_await std::move(work);
    }
    auto work = serve_fetch(std::move(what));
    co_return co_await std::move(work);
}

result<bytes> committee_member::encoded_block(block_height height, const block_place& where) {
    TRY(const auto log, log_of(where.epoch));
    if (!log) return error(errc::not_found, "block " + std::to_string(height.value) + " is of an epoch whose log this member keeps no more");
    TRY(auto found, log->read(where.name));
    if (!found) return error(errc::not_found, "block " + std::to_string(height.value) + " is not in this member's log");
    return std::move(*found);
}

// ---- the end ----------------------------------------------------------------------------------------------

// What it decided by is in the log then, for others.
result<void> committee_member::finish() {
    CHECK_OK(m_archive.log->append(std::exchange(m_to_log, {})));
    return m_archive.log->sync();
}

// What does not decode was never submitted here.
std::vector<ledger::signed_transaction> committee_member::unordered() {
    std::vector<ledger::signed_transaction> out;
    const auto take = [&out](const bytes& item) {
        auto decoded = wire::decode<ledger::signed_transaction>(item);
        if (decoded) out.push_back(std::move(*decoded));
    };
    for (const auto& item : m_replica.unsequenced()) take(item);
    const std::lock_guard lock(m_mutex);
    for (const auto& waiting : m_submitted) take(waiting.item);
    return out;
}


void committee_member::fail(error why) {
    {
        std::lock_guard lock(m_mutex);
        if (m_failure.code == errc::ok) m_failure = std::move(why);
    }
    stop();
}

void committee_member::broke(std::exception_ptr thrown) {
    fail(error(errc::corrupt, "a step of the committee's member failed: " + words_of(thrown) + "; restart the node, its log has all that counts"));
}

// What is being answered to others ends by itself, soon.
net::awaitable<void> committee_member::join() {
    co_await m_tasks.stop();
    const auto answering = [this] {
        std::lock_guard lock(m_mutex);
        const auto some = [](std::size_t n) { return n > 0; };
        return std::any_of(m_pushes.begin(), m_pushes.end(), some) || std::any_of(m_fetches.begin(), m_fetches.end(), some);
    };
    while (answering()) {
        auto slept = co_await m_world.sleep_for(std::chrono::milliseconds(1));
        if (!slept) co_return;
    }
}

void committee_member::stop() {
    {
        std::lock_guard lock(m_mutex);
        m_stopped = true;
    }
    m_log_bell.close();
    m_bell.close();
}

}  // namespace cess::chain
