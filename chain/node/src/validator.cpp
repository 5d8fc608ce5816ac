#include "certifier.hpp"
#include "committee_member.hpp"
#include "epoch_archive.hpp"
#include "exception_words.hpp"
#include "index_builder.hpp"
#include "machine.hpp"
#include "members.hpp"
#include "node_records.hpp"
#include "patient_offload.hpp"
#include "queries.hpp"
#include "restore.hpp"
#include "single_validator.hpp"
#include "waiting_room.hpp"

#include <chain/client/protocol.hpp>
#include <core/base/log.hpp>
#include <core/net/deadline.hpp>
#include <core/net/task_group.hpp>

#include <algorithm>
#include <deque>
#include <limits>

namespace cess::chain {
namespace {

constexpr std::uint64_t certify_blocks = 256, certify_bytes = 8 * MiB;  // while the log is replayed: what is not certified is in memory
constexpr std::size_t signed_at_once_max = 32;     // states, the newest; who catches up leaves the older ones to others

std::uint64_t microseconds(net::duration d) { return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(d).count()); }

constexpr auto unknown_silence = std::numeric_limits<std::uint64_t>::max();

// While the state is fetched from others.
class no_ordering final : public ordering {
public:
    result<void> submit(ledger::signed_transaction, std::uint64_t) override { return error(errc::unavailable, "this validator fetches the state from the others; ask another"); }
    net::awaitable<result<ordered>> next() override { co_return error(errc::canceled); }
    void contribute(block_height, signature) override {}
    result<bytes> encoded_block(block_height height, const block_place&) override { return error(errc::not_found, "block " + std::to_string(height.value)); }
    [[nodiscard]] std::size_t waiting() const override { return 0; }
    void stop() override {}
};

class validator_node final : public validator {
public:
    validator_node(const validator_dependencies& on, std::uint16_t author, std::unique_ptr<machine> state)
        : m_on(on), m_author(author), m_network(ledger::id_of(on.origin)), m_machine(std::move(state)),
          m_logs(on.disk, on.log_directory, on.state, on.limits.log_file_size),
          m_records({*m_machine, on.state, m_on.origin, [this](block_height height) { return read_block(height); }, [this] { return progress_now(); }}),
          m_tasks(on.world.executor(), [this](std::exception_ptr thrown) { fail(error(errc::corrupt, "applying blocks failed: " + words_of(thrown) + "; restart the node")); }),
          m_fetching(on.world.executor(), [this](std::exception_ptr thrown) { fail(error(errc::corrupt, "fetching the state failed: " + words_of(thrown) + "; restart the node")); }),
          m_signed_upto(on.origin.first.members.size()),
          m_blocks(on.count.make_counter("cess_chain_blocks_total", "Blocks committed")),
          m_transactions(on.count.make_counter("cess_chain_transactions_total", "Transactions applied")),
          m_refused(on.count.make_counter("cess_chain_refused_total", "Requests refused before they were ordered")),
          m_epoch_gauge(on.count.make_gauge("cess_chain_epoch", "Of this node")),
          m_height_gauge(on.count.make_gauge("cess_chain_height", "Height of the newest certificate")),
          m_stopped_gauge(on.count.make_gauge("cess_chain_stopped", "1 once this node takes no more transactions because something failed; its log says what")),
          m_finality(on.count.make_histogram("cess_chain_finality_seconds", "From a transaction's arrival to its certificate")) {}

    result<void> recover();
    void start();

    net::awaitable<net::reply> serve(node_id from, net::request what) override;
    [[nodiscard]] block_height height() const override { return certificate().body.height; }
    [[nodiscard]] ledger::state_certificate certificate() const override { return m_machine->certificate().value_or(ledger::state_certificate{}); }
    [[nodiscard]] error failure() const override {
        std::lock_guard lock(m_mutex);
        return m_failure;
    }
    [[nodiscard]] const records& certified() const override { return m_records; }
    net::awaitable<void> stop() override;

private:
    using outcomes = std::vector<std::pair<hash256, ledger::outcome>>;  // by digest

    using replay = std::function<result<void>(ordered)>;

    result<std::shared_ptr<ordering>> open_ordering(const replay& visit);
    net::awaitable<void> run();
    net::awaitable<result<void>> change_epoch();
    net::awaitable<result<void>> restore();
    net::awaitable<void> restoring();
    net::awaitable<void> learn_silence();
    [[nodiscard]] restore_sources others() const;
    result<void> keep_epochs();
    void note_reached();
    net::reply reached(const net::request& what) const;
    [[nodiscard]] std::shared_ptr<ordering> orders() const {
        std::lock_guard lock(m_mutex);
        return m_ordering;
    }
    [[nodiscard]] bool stopping() const {
        std::lock_guard lock(m_mutex);
        return m_stopping;
    }
    [[nodiscard]] bool epoch_is_over() const { return m_machine->applied().epoch.members.epoch != m_epoch; }
    result<outcomes> commit(const ordered& next);
    void sign_newest();
    [[nodiscard]] bool held_too_much() const { return m_machine->held_back() > m_on.limits.held_back_max; }
    result<void> certify();
    result<void> take_last(const ledger::state_certificate& certificate);
    result<void> settle();
    [[nodiscard]] outcomes take_final();
    result<void> bound_replay(std::uint64_t blocks, std::uint64_t block_bytes);
    void fail(error why);
    void note_signature(const member_signature& given);
    void note_signed(consensus::author_index member, block_height height);
    net::awaitable<void> complete_index();
    [[nodiscard]] result<bytes> read_block(block_height height) const;
    [[nodiscard]] records::progress progress_now() const;

    net::awaitable<net::reply> submit(node_id from, net::request what);
    struct final_answer {
        bytes proof;
        std::string words;  // of a refusal, where they are known
    };
    net::awaitable<result<final_answer>> finalize(std::shared_ptr<ledger::signed_transaction> what, std::size_t size);
    [[nodiscard]] std::optional<result<final_answer>> answer_known(const ledger::transaction& body, const hash256& digest);
    result<void> worth_ordering(const ledger::transaction& body);
    net::reply status(const net::request& what);
    net::awaitable<net::reply> block(net::request what);

    struct peer_slot;

    const validator_dependencies m_on;
    const std::uint16_t m_author;
    const network_id m_network;
    std::unique_ptr<machine> m_machine;
    epoch_archive m_logs;
    std::shared_ptr<ordering> m_ordering;  // of this epoch; m_mutex for who reads it beside run()
    waiting_room m_waiting;
    // Of the work under way:
    std::optional<certifier> m_certifier;  // of this epoch
    std::uint64_t m_epoch = 0;
    std::atomic<std::uint64_t> m_reached{0};  // the epoch that comes after what is applied
    struct applied_here {
        block_height height;
        hash256 digest;
        ledger::outcome what;
    };
    std::deque<applied_here> m_applied;  // what somebody waits for, until it is certified
    const node_records m_records;
    std::atomic<std::uint64_t> m_applied_upto{0};
    std::atomic<bool> m_ending{false};
    net::task_group m_tasks;
    net::task_group m_fetching;              // what asks others without end; cancelled by stop(), unlike the block under way
    net::bounded_channel<bool> m_restored{1};
    result<void> m_restore_outcome;          // before that is rung
    std::uint64_t m_unflushed_bytes = 0;
    std::uint64_t m_unflushed_blocks = 0;
    mutable std::mutex m_mutex;
    error m_failure;
    bool m_stopping = false;
    std::map<node_id, std::size_t> m_peers;  // transactions under way
    std::uint64_t m_finality_us = 0;         // moving average
    std::vector<block_height> m_signed_upto; // by member
    counter& m_blocks;
    counter& m_transactions;
    counter& m_refused;
    gauge& m_epoch_gauge;
    gauge& m_height_gauge;
    gauge& m_stopped_gauge;
    latency_histogram& m_finality;
};

// ---- from blocks to certificates --------------------------------------------------------------------------

// Of the epoch in which the state stands.
result<void> validator_node::recover() {
    if (m_machine->restoring()) {
        std::lock_guard lock(m_mutex);
        m_ordering = std::make_shared<no_ordering>();
        return {};
    }
    CHECK_OK(keep_epochs());
    const auto& epoch = m_machine->applied().epoch;
    m_epoch = epoch.members.epoch;
    m_certifier.emplace(epoch.members);
    std::uint64_t replayed = 0, since_blocks = 0, since_bytes = 0;
    const replay apply = [&](ordered next) -> result<void> {
        for (const auto& given : next.signatures) note_signature(given);
        for (const auto& block : next.blocks) {
            CHECK_OK(m_machine->apply(block));
            ++replayed;
            ++since_blocks;
            since_bytes += block.encoded_size;
            if (block.certify) m_certifier->reached(m_machine->to_certify());
        }
        if (since_blocks < certify_blocks && since_bytes < certify_bytes && !held_too_much()) return {};
        since_blocks = since_bytes = 0;
        return settle();
    };
    TRY(auto opened, open_ordering(apply));
    {
        std::lock_guard lock(m_mutex);
        m_ordering = std::move(opened);
    }
    if (replayed == 0 && !m_machine->certified_here()) m_certifier->reached(m_machine->to_certify());
    CHECK_OK(settle());
    if (replayed > 0) {
        CHECK_OK(m_machine->flush());
        log::info("chain", "replayed blocks={} height={}", replayed, m_machine->applied().height.value);
    }
    m_height_gauge.set(static_cast<std::int64_t>(certificate().body.height.value));
    m_epoch_gauge.set(static_cast<std::int64_t>(m_epoch));
    note_reached();
    m_applied_upto = m_machine->applied().height.value;
    const auto newest = certificate();
    for (const auto& [member, sig] : newest.signatures)
        if (member < m_signed_upto.size()) m_signed_upto[member] = std::max(m_signed_upto[member], newest.body.height);
    return {};
}

// With the state that an epoch begins with; and without what is too old. A member of the first epoch has a folder for its log from the beginning:
// where that is missing, so is all that it ever said.
result<void> validator_node::keep_epochs() {
    if (!m_on.committee) return {};
    const auto& at = m_machine->applied();
    const auto epoch = at.epoch.members.epoch;
    if (at.height.value == 0 && m_machine->silent_before() == 0 && !m_logs.exists(0)) {
        log::warn("chain", "this member of the committee has lost its disk: it makes no blocks before the next epoch");
        CHECK_OK(m_machine->be_silent_before(unknown_silence));
    }
    if (epoch == 0) return {};
    if (at.height == at.epoch.before) CHECK_OK(m_logs.keep_state(epoch));
    return m_logs.drop_before(epoch - std::min(epoch, m_on.limits.closed_epochs));
}

void validator_node::note_reached() {
    const auto& at = m_machine->applied();
    m_reached = at.next ? at.next->epoch : at.epoch.members.epoch;
}

net::reply validator_node::reached(const net::request& what) const {
    const auto asked = wire::decode<reached_request>(what.head);
    if (!asked) return net::reply::of(asked.error());
    if (asked->network != m_network) return net::reply::of(error(errc::permission, "asked for another network"));
    if (m_machine->restoring() || m_machine->silent_before() == unknown_silence) return net::reply::of(error(errc::unavailable, "this node does not know where it was"));
    net::reply out;
    out.head = wire::encode(m_reached.load());
    return out;
}

result<std::shared_ptr<ordering>> validator_node::open_ordering(const replay& visit) {
    const auto at = m_machine->applied();
    if (m_on.committee) {
        TRY(auto member, committee_member::open(m_on, m_author, *m_machine, m_logs, visit));
        return std::shared_ptr<ordering>(std::move(member));
    }
    TRY(auto single, single_validator::open(m_on, m_author, {at.height, at.round, at.block_digest}, visit));
    return std::shared_ptr<ordering>(std::move(single));
}

void validator_node::start() {
    m_ordering->start();
    if (m_machine->certified_here()) m_ordering->certified(height());
    m_tasks.spawn(run());
    if (m_on.index) m_tasks.spawn(complete_index());
    if (m_machine->silent_before() == unknown_silence) m_fetching.spawn(learn_silence());
}

restore_sources validator_node::others() const {
    restore_sources out{m_on.world, m_on.committee->through, {}, m_on.workers};
    const auto self = crypto::id_of<node_id>(m_on.identity.pub());
    for (const auto& member : m_on.committee->members)
        if (member.id != self) out.members.push_back(member);
    return out;
}

net::awaitable<void> validator_node::learn_silence() {
    const auto from = others();
    auto asking = first_epoch_without_past(from, ledger::trust(m_network, m_on.origin.first));
    const auto epoch = co_await std::move(asking);
    if (!epoch) co_return;
    log::info("chain", "this member has lost its disk: it makes blocks again from epoch {} on", *epoch);
    const auto work = [this, first = *epoch] { return m_machine->be_silent_before(first); };
    auto job = patient_offload(m_on.world, m_on.workers, work);
    auto done = co_await std::move(job);
    if (!done) fail(std::move(done).error());
}

// The ordering has been stopped, or there is none yet.
net::awaitable<result<void>> validator_node::restore() {
    if (!m_fetching.spawn(restoring())) co_return error(errc::canceled);
    auto waiting = m_restored.receive();
    auto done = co_await std::move(waiting);
    if (!done) co_return std::move(done).error();
    co_return m_restore_outcome;
}

net::awaitable<void> validator_node::restoring() {
    const auto from = others();
    auto fetching = restore_state(from, *m_machine, m_on.origin.first);
    m_restore_outcome = co_await std::move(fetching);
    (void)m_restored.try_send(true);
}

net::awaitable<void> validator_node::run() {
    for (;;) {
        if (m_machine->restoring()) {
            auto restoring = restore();
            auto restored = co_await std::move(restoring);
            if (!restored) co_return fail(std::move(restored).error());
        }
        if (epoch_is_over()) {
            auto changing = change_epoch();
            auto changed = co_await std::move(changing);
            if (!changed) co_return fail(std::move(changed).error());
            continue;  // its log may have led to its end as well
        }
        auto waiting = m_ordering->next();
        auto next = co_await std::move(waiting);
        if (!next) co_return fail(std::move(next).error());
        if (next->behind) {
            m_ordering->stop();
            co_await m_ordering->join();
            const auto give_up = [this] { return m_machine->begin_restore(m_epoch); };
            auto job = patient_offload(m_on.world, m_on.workers, give_up);
            auto begun = co_await std::move(job);
            if (!begun) co_return fail(std::move(begun).error());
            continue;
        }
        auto batch = std::make_shared<ordered>(std::move(*next));
        const auto work = [this, batch] { return commit(*batch); };
        auto job = patient_offload(m_on.world, m_on.workers, work);
        auto done = co_await std::move(job);
        if (!done) co_return fail(std::move(done).error());
        m_height_gauge.set(static_cast<std::int64_t>(certificate().body.height.value));
        for (const auto& [digest, outcome] : *done) m_waiting.tell(digest, outcome);
    }
}

// A start like any other, but that what waits to be ordered goes along.
net::awaitable<result<void>> validator_node::change_epoch() {
    const auto old = m_ordering;
    old->stop();
    co_await old->join();
    const auto waiting = old->unordered();
    const auto work = [this, old]() -> result<void> {
        CHECK_OK(old->finish());
        return recover();
    };
    auto job = patient_offload(m_on.world, m_on.workers, work);
    auto opened = co_await std::move(job);
    if (!opened) co_return opened;
    if (stopping()) co_return error(errc::canceled);
    m_ordering->start();
    m_ordering->certified(height());
    log::info("chain", "epoch {} begins at height {}", m_epoch, height().value);
    for (const auto& transaction : waiting) {
        const auto size = wire::encode(transaction).size();
        if (auto taken = m_ordering->submit(transaction, ledger::weight_of(transaction.body, size)); !taken)
            log::warn("chain", "a transaction does not enter the new epoch: {}", taken.error().message());  // its client tries again
    }
    co_return result<void>();
}

// Applies, signs, certifies; answers what became final.
result<validator_node::outcomes> validator_node::commit(const ordered& next) {
    std::size_t to_sign = 0;
    std::uint64_t size = 0;
    for (const auto& block : next.blocks) to_sign += block.certify ? 1 : 0;
    for (const auto& block : next.blocks) {
        TRY(auto results, m_machine->apply(block));
        m_applied_upto = block.height.value;
        m_blocks.add();
        m_transactions.add(results.size());
        size += block.encoded_size;
        for (auto& [digest, outcome] : results)
            if (m_waiting.expects(digest)) m_applied.push_back({block.height, digest, std::move(outcome)});
        if (!block.certify) continue;
        m_certifier->reached(m_machine->to_certify());
        if (to_sign-- <= signed_at_once_max) sign_newest();
        if (held_too_much()) CHECK_OK(certify());  // of a batch that one who catches up gets at once
    }
    for (const auto& given : next.signatures) note_signature(given);
    CHECK_OK(certify());
    if (next.last) CHECK_OK(take_last(*next.last));
    note_reached();
    CHECK_OK(bound_replay(next.blocks.size(), size));
    return take_final();
}

// This member's signature over where the machine stands.
void validator_node::sign_newest() {
    const auto body = m_machine->to_certify();
    const auto sig = sign(m_on.identity, body);
    m_certifier->add_own(m_author, sig);
    note_signed(m_author, body.height);
    if (m_ordering) m_ordering->contribute(body.height, sig);
}

void validator_node::note_signature(const member_signature& given) {
    m_certifier->add(given);
    note_signed(given.member, given.height);
}

void validator_node::note_signed(consensus::author_index member, block_height height) {
    std::lock_guard lock(m_mutex);
    if (member < m_signed_upto.size()) m_signed_upto[member] = std::max(m_signed_upto[member], height);
}

result<void> validator_node::certify() {
    TRY(auto certificate, m_certifier->newest());
    if (certificate) {
        const auto height = certificate->body.height;
        CHECK_OK(m_machine->certify(std::move(*certificate)));
        if (m_ordering) m_ordering->certified(height);
    }
    return held_too_much() ? m_machine->spill() : result<void>();
}

// Of the epoch, as another member has it. What does not hold is nothing; what holds and is not of this state is this node's fault.
result<void> validator_node::take_last(const ledger::state_certificate& certificate) {
    const auto& at = m_machine->applied();
    const ledger::trust members(m_network, at.epoch.members);
    if (!at.next || certificate.body.next != *at.next || !members.check(certificate)) return {};
    return m_machine->certify(certificate);
}

// At the end of a replay, or of a part of it.
result<void> validator_node::settle() {
    if (m_certifier->waiting() > 0) sign_newest();
    CHECK_OK(certify());
    return m_machine->spill();
}

validator_node::outcomes validator_node::take_final() {
    outcomes out;
    const auto upto = certificate().body.height;
    for (; !m_applied.empty() && m_applied.front().height <= upto; m_applied.pop_front())
        out.emplace_back(m_applied.front().digest, std::move(m_applied.front().what));
    return out;
}

result<void> validator_node::bound_replay(std::uint64_t blocks, std::uint64_t block_bytes) {
    m_unflushed_bytes += block_bytes;
    m_unflushed_blocks += blocks;
    if (m_unflushed_blocks < m_on.limits.replay_blocks_max && m_unflushed_bytes < m_on.limits.replay_bytes_max) return {};
    m_unflushed_bytes = 0;
    m_unflushed_blocks = 0;
    return m_machine->flush();
}

void validator_node::fail(error why) {
    const bool stopping = why.code == errc::canceled;
    auto told = stopping ? error(errc::unavailable, "validator is stopping") : error(errc::unavailable, "validator stopped: " + why.message());
    {
        std::lock_guard lock(m_mutex);
        if (m_failure.code == errc::ok) m_failure = told;
    }
    if (!stopping) m_stopped_gauge.set(1);
    if (!stopping) log::error("chain", "no more transactions are taken: {}", why.message());
    orders()->stop();
    m_waiting.fail_all(told);
}

net::awaitable<void> validator_node::stop() {
    m_ending = true;
    std::shared_ptr<ordering> last;
    {
        std::lock_guard lock(m_mutex);
        m_stopping = true;
        last = m_ordering;
    }
    last->stop();
    co_await last->join();
    co_await m_fetching.stop();
    m_restored.close();
    co_await m_tasks.join();  // the block under way is finished
    co_await orders()->join();  // of an epoch that began meanwhile
    fail(error(errc::canceled));
    const auto work = [this] { return m_machine->flush(); };
    auto job = patient_offload(m_on.world, m_on.workers, work);
    auto flushed = co_await std::move(job);
    if (!flushed) log::warn("chain", "state not flushed at the end, the next start replays: {}", flushed.error().message());
}

// ---- transactions -----------------------------------------------------------------------------------------

// One of the transactions that a peer may have under way.
struct validator_node::peer_slot {
    peer_slot(validator_node& on, const node_id& id) : m_node(on), m_id(id) {
        std::lock_guard lock(m_node.m_mutex);
        auto& n = m_node.m_peers[m_id];
        taken = n < m_node.m_on.limits.requests_a_peer_max;
        if (taken) ++n;
    }
    ~peer_slot() {
        if (!taken) return;
        std::lock_guard lock(m_node.m_mutex);
        if (const auto at = m_node.m_peers.find(m_id); --at->second == 0) m_node.m_peers.erase(at);
    }
    peer_slot(const peer_slot&) = delete;
    peer_slot& operator=(const peer_slot&) = delete;
    bool taken = false;

private:
    validator_node& m_node;
    node_id m_id;
};

net::awaitable<net::reply> validator_node::submit(node_id from, net::request what) {
    if (what.head.size() > ledger::limits::transaction_size_max) co_return net::reply::of(error(errc::too_large, "transaction of more than 2 MiB"));
    auto decoded = wire::decode<ledger::signed_transaction>(what.head);
    if (!decoded) co_return net::reply::of(std::move(decoded).error().with_context("transaction"));
    peer_slot slot(*this, from);
    if (!slot.taken) co_return net::reply::of(error(errc::exhausted, "too many transactions of one peer under way"));
    const auto began = m_on.world.now();
    auto transaction = std::make_shared<ledger::signed_transaction>(std::move(*decoded));
    auto work = finalize(transaction, what.head.size());
    auto done = co_await std::move(work);
    if (!done) co_return net::reply::of(std::move(done).error());
    const auto took = microseconds(m_on.world.now() - began);
    m_finality.observe_us(took);
    {
        std::lock_guard lock(m_mutex);
        m_finality_us = m_finality_us == 0 ? took : (m_finality_us * 15 + took) / 16;
    }
    net::reply out;
    out.head = std::move(done->proof);
    out.body = to_bytes(done->words);
    co_return out;
}

// The proved client record, in which the outcome stands.
net::awaitable<result<validator_node::final_answer>> validator_node::finalize(std::shared_ptr<ledger::signed_transaction> what, std::size_t size) {
    if (what->body.network != m_network) co_return error(errc::permission, "transaction for another network");
    if (what->body.number == 0) co_return error(errc::invalid, "transaction numbers begin at 1");
    const auto digest = ledger::digest_of(what->body);
    const auto verify = [what] { return ledger::signature_holds(*what); };
    auto job = net::offload(m_on.workers, verify);
    auto holds = co_await std::move(job);
    if (!holds) co_return std::move(holds).error();
    if (!*holds) co_return error(errc::permission, "transaction: the account's signature does not hold");
    if (auto known = answer_known(what->body, digest)) co_return std::move(*known);
    CO_CHECK_OK(worth_ordering(what->body));
    const auto enter = [this, what, size] { return orders()->submit(*what, ledger::weight_of(what->body, size)); };
    auto wait = m_waiting.wait(digest, enter);
    auto timed = net::with_deadline<ledger::outcome>(m_on.world, std::move(wait), m_on.world.now() + m_on.limits.answer_within);
    auto outcome = co_await std::move(timed);
    if (!outcome) co_return std::move(outcome).error();
    if (auto known = answer_known(what->body, digest)) {
        if (*known) (*known)->words = std::move(outcome->what);
        co_return std::move(*known);
    }
    if (outcome->code != errc::ok) co_return error(outcome->code, outcome->what);  // refused before it counted as the account's
    co_return error(errc::conflict, "transaction: its client has gone on");
}

// The answer if the transaction, or a later one of its client, was applied already.
std::optional<result<validator_node::final_answer>> validator_node::answer_known(const ledger::transaction& body, const hash256& digest) {
    auto proved = m_machine->prove(ledger::key::client(body.account, body.client));
    if (!proved) return result<final_answer>(std::move(proved).error());
    if (!proved->value) return std::nullopt;
    const auto record = wire::decode<ledger::client_record>(*proved->value);
    if (!record) return result<final_answer>(error(errc::corrupt, "client record"));
    if (body.number > record->number) return std::nullopt;
    if (body.number == record->number && record->digest == digest) return result<final_answer>(final_answer{wire::encode(*proved), {}});
    if (body.number == record->number) return result<final_answer>(error(errc::conflict, "transaction: its number was used for another one"));
    return result<final_answer>(error(errc::conflict, "transaction: older than its client's last one"));
}

result<void> validator_node::worth_ordering(const ledger::transaction& body) {
    if (auto failed = failure(); failed.code != errc::ok) return failed;
    const auto next = height().next();
    if (body.expires < next) return error(errc::timeout, "transaction expired at height " + std::to_string(body.expires.value));
    if (body.expires.value - next.value > ledger::limits::lifetime_max) return error(errc::out_of_range, "transaction: expires too far ahead");
    return {};
}

// ---- requests ---------------------------------------------------------------------------------------------

net::reply validator_node::status(const net::request& what) {
    const auto asked = wire::decode<status_request>(what.head);
    if (!asked) return net::reply::of(asked.error());
    if (asked->network != m_network) return net::reply::of(error(errc::permission, "asked for another network"));
    const auto newest = m_machine->certificate();
    if (!newest) return net::reply::of(error(errc::unavailable, "nothing is certified here yet"));
    status_reply answer;
    answer.certificate = *newest;
    answer.transactions = m_machine->transactions();
    answer.waiting = orders()->waiting();
    {
        std::lock_guard lock(m_mutex);
        answer.finality_us = m_finality_us;
    }
    net::reply out;
    out.head = wire::encode(answer);
    return out;
}

result<bytes> validator_node::read_block(block_height height) const {
    TRY(const auto where, m_machine->block_at(height));
    return orders()->encoded_block(height, where);
}

records::progress validator_node::progress_now() const {
    records::progress out;
    out.applied = {m_applied_upto};
    out.transactions = m_machine->transactions();
    out.waiting = orders()->waiting();
    out.failure = failure();
    std::lock_guard lock(m_mutex);
    out.finality_us = m_finality_us;
    out.signed_upto = m_signed_upto;
    return out;
}

// What was certified before there was an index, a step at a time between other work. A failure leaves the index as it begins.
net::awaitable<void> validator_node::complete_index() {
    const auto range = m_machine->indexed();
    if (!range || range->from.value <= 1) co_return;
    log::info("chain", "the index begins at block {}; the blocks before it are added", range->from.value);
    auto opened = m_on.index->open_scratch();
    if (!opened) co_return log::warn("chain", "the index stays without the blocks before {}: {}", range->from.value, opened.error().message());
    auto scratch = std::move(*opened);
    {
        const auto read = [this](block_height height) { return read_block(height); };
        index_builder builder({*scratch, *m_machine, m_on.state, m_on.origin, !m_on.committee, read});
        const auto work = [&builder] { return builder.step(); };
        for (bool more = true; more && !m_ending;) {
            auto job = patient_offload(m_on.world, m_on.workers, work);
            auto done = co_await std::move(job);
            if (!done) co_return log::warn("chain", "the index stays without the blocks before {}: {}", range->from.value, done.error().message());
            more = *done;
            auto slept = co_await m_on.world.sleep_for(std::chrono::milliseconds(1));
            if (!slept) co_return;
        }
    }
    if (m_ending) co_return;
    const auto clean = [this, &scratch]() -> result<void> {
        CHECK_OK(m_on.state.flush());
        scratch.reset();
        m_on.index->drop_scratch();
        return {};
    };
    auto job = patient_offload(m_on.world, m_on.workers, clean);
    auto cleaned = co_await std::move(job);
    if (!cleaned) co_return log::warn("chain", "the store in which the index was built stays: {}", cleaned.error().message());
    log::info("chain", "the index begins at block 1");
}

net::awaitable<net::reply> validator_node::block(net::request what) {
    const auto asked = wire::decode<block_request>(what.head);
    if (!asked) co_return net::reply::of(asked.error());
    const auto read = [this, height = asked->height] { return read_block(height); };
    auto job = net::offload(m_on.committee ? m_on.committee->readers : m_on.workers, read);
    auto got = co_await std::move(job);
    if (!got) co_return net::reply::of(std::move(got).error());
    net::reply out;
    out.body = std::move(*got);
    co_return out;
}

net::awaitable<net::reply> validator_node::serve(node_id from, net::request what) {
    net::reply answer;
    if (what.method == method::submit) {
        auto work = submit(from, std::move(what));
        answer = co_await std::move(work);
    } else if (what.method == method::block) {
        auto work = block(std::move(what));
        answer = co_await std::move(work);
    } else if (what.method == method::status) {
        answer = status(what);
    } else if (what.method == method::reached) {
        answer = reached(what);
    } else if (is_of_members(what.method)) {
        const auto now = orders();
        auto work = now->serve(from, std::move(what));
        answer = co_await std::move(work);
    } else {
        answer = answer_query(*m_machine, m_network, what);
    }
    if (answer.failure.code != errc::ok) m_refused.add();
    co_return answer;
}

}  // namespace

namespace {

constexpr std::size_t committee_min = 4, committee_max = 64;

result<void> check_committee(const validator_dependencies& on, std::size_t self) {
    const auto& members = on.origin.first.members;
    if (members.size() < committee_min || members.size() > committee_max)
        return error(errc::unsupported, "a network of " + std::to_string(members.size()) + " validators; one, or 4 to 64");
    if (on.origin.coin.size() != members.size()) return error(errc::invalid, "genesis of network " + on.origin.name + ": the coin of its committee is missing");
    if (!on.committee) return error(errc::invalid, "network " + on.origin.name + " has a committee; this node was started as a single validator");
    const auto share = crypto::ristretto::scalar::from(on.committee->coin.view());
    if (!crypto::ristretto::canonical(share) || crypto::ristretto::times_base(share) != on.origin.coin[self])
        return error(errc::permission, "this node's share of the coin is not that of its place in network " + on.origin.name);
    for (const auto& key : members) {
        const auto id = crypto::id_of<node_id>(key);
        const auto& known = on.committee->members;
        if (std::none_of(known.begin(), known.end(), [&](const net::peer& p) { return p.id == id; }))
            return error(errc::invalid, "validators: member " + id.brief() + " of the committee is missing");
    }
    return {};
}

}  // namespace

result<std::unique_ptr<validator>> make_validator(validator_dependencies on) {
    const auto& members = on.origin.first.members;
    const auto self = std::find(members.begin(), members.end(), on.identity.pub());
    if (self == members.end()) return error(errc::permission, "this node's key is not that of a validator of network " + on.origin.name);
    const auto place = static_cast<std::size_t>(self - members.begin());
    if (members.size() == 1) on.committee.reset();
    else CHECK_OK(check_committee(on, place));
    TRY(auto state, machine::open(on.state, on.origin, on.index.has_value()));
    auto made = std::make_unique<validator_node>(on, static_cast<std::uint16_t>(place), std::move(state));
    CHECK_OK(made->recover());
    made->start();
    return std::unique_ptr<validator>(std::move(made));
}

}  // namespace cess::chain
