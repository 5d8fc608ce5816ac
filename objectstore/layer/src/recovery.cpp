#include <objectstore/layer/recovery.hpp>

#include "recovery_poll.hpp"

#include <objectstore/layer/owner.hpp>

#include <core/base/log.hpp>
#include <core/net/suspend.hpp>

#include <algorithm>
#include <set>

namespace cess::layer {
namespace {

using namespace std::chrono_literals;

constexpr net::duration late_answer_grace = 300ms;
constexpr std::size_t leases_watched = 16;

// Fisher–Yates on our own randomness, so that a seed replays.
template <class T>
void shuffle(std::vector<T>& list, random_source& random) {
    for (std::size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[random.below(i)]);
}

struct candidate {
    ledger::node_record node;
    incarnation_id incarnation;
    std::uint64_t free = 0;
};

struct older_journal {
    ledger::lease lease;
    std::vector<std::optional<storage::journal_state>> answers;

    [[nodiscard]] std::size_t valid() const {
        return static_cast<std::size_t>(std::count_if(answers.begin(), answers.end(), [](const auto& a) { return a.has_value(); }));
    }
};

// What the walk over the older journals found.
struct found_history {
    journal_seal seal;                 // of the new journal
    std::vector<plain_entry> entries;  // its copies
};

class recovery {
public:
    recovery(recovery_context on, chain::account who, volume_id volume, crypto::signing_key session, take_options how)
        : m_on(on), m_who(std::move(who)), m_volume(volume), m_session(std::move(session)), m_how(std::move(how)),
          m_link(std::make_shared<miner_link>(on.world, on.network, on.directory)) {}

    net::awaitable<result<taken_volume>> run();

private:
    net::awaitable<result<ledger::volume_record>> read_record();
    net::awaitable<result<void>> wait_for_owner(ledger::volume_record record);
    net::awaitable<result<owner_ping_reply>> ping(ledger::lease lease, net::time_point deadline);
    net::awaitable<result<std::vector<ledger::journal_member>>> choose_members(unsigned tolerated);
    net::awaitable<result<void>> check_reachable(ledger::lease newest);
    net::awaitable<result<void>> acquire(ledger::volume_record before, std::vector<ledger::journal_member> members);
    net::awaitable<void> fence(older_journal& of);
    net::awaitable<void> fence_all();
    net::awaitable<result<found_history>> walk();
    net::awaitable<result<journal_chain>> longest_chain(older_journal& of, entry_index from);
    net::awaitable<result<journal_chain>> read_chain(ledger::lease of, node_id miner, storage::journal_state claimed, entry_index from);
    net::awaitable<result<void>> copy_tail(taken_volume& out, const found_history& history);

    [[nodiscard]] std::size_t needed(const ledger::lease& of) const;
    [[nodiscard]] storage::journal_ref journal_of(const ledger::lease& of) const;
    [[nodiscard]] bool acceptable(const ledger::lease& of, std::size_t i, const storage::journal_state& state) const;

    recovery_context m_on;
    chain::account m_who;
    volume_id m_volume;
    crypto::signing_key m_session;
    take_options m_how;
    std::shared_ptr<miner_link> m_link;
    keyring m_keys;
    ledger::volume_record m_record;  // with our lease, once we have it
    ledger::lease m_lease;
    std::vector<older_journal> m_older;  // oldest first
};

storage::journal_ref recovery::journal_of(const ledger::lease& of) const {
    storage::journal_ref out;
    out.volume = m_volume;
    out.term = of.term;
    return out;
}

// Answers without which a journal may hold acknowledged entries that nobody showed us.
std::size_t recovery::needed(const ledger::lease& of) const {
    const std::size_t missing = of.tolerated + (m_how.broken.accept_fewer ? 1u : 0u);
    return of.members.size() > missing ? of.members.size() - missing : 1;
}

net::awaitable<result<ledger::volume_record>> recovery::read_record() {
    auto proved = co_await m_on.ledger.read(ledger::key::volume(m_volume), m_on.world.now() + m_on.limits.ledger);
    if (!proved) co_return std::move(proved).error().with_context("volume record");
    auto record = m_on.ledger.trust().value_of<ledger::volume_record>(*proved);
    if (record) m_link->set_lease(std::make_shared<const ledger::proved_record>(std::move(*proved)));
    co_return record;
}

// ---- before the lease ------------------------------------------------------------------------------------

net::awaitable<result<owner_ping_reply>> recovery::ping(ledger::lease lease, net::time_point deadline) {
    owner_ping_request message;
    message.volume = m_volume;
    net::peer to;
    to.id = crypto::id_of<node_id>(lease.session);
    to.address = lease.endpoint;
    auto answer = co_await net::call_typed<owner_ping_reply>(m_on.network, std::move(to), method::owner_ping, message, bytes(), deadline, net::lane::control);
    if (!answer) co_return std::move(answer).error();
    co_return answer->message;
}

// An owner that answers keeps the volume; one that was silent for T, or says it has left, is replaced.
net::awaitable<result<void>> recovery::wait_for_owner(ledger::volume_record record) {
    if (m_how.force || record.leases.empty() || record.leases.back().endpoint.empty()) co_return result<void>();
    const auto lease = record.leases.back();
    // Our own: an attempt of ours got the lease and then failed. Nobody else answers there.
    if (lease.session == m_session.pub()) co_return result<void>();
    const auto patience = m_on.world.now() + m_on.limits.owner_silence;
    for (;;) {
        const auto now = m_on.world.now();
        if (now >= patience) co_return result<void>();
        auto answer = co_await ping(lease, std::min(patience, now + net::duration(1s)));
        if (answer) {
            if (!answer->alive || answer->term != lease.term) co_return result<void>();
            co_return error(errc::busy, "volume " + record.name + " is attached by a process that answers at " + lease.endpoint +
                                            "; detach it there, or take it over by force");
        }
        auto slept = co_await m_on.world.sleep_until(std::min(patience, m_on.world.now() + net::duration(250ms)));
        if (!slept) co_return std::move(slept).error();
    }
}

net::awaitable<result<std::vector<ledger::journal_member>>> recovery::choose_members(unsigned tolerated) {
    const net::duration age = 10s;
    const auto until = m_on.world.now() + m_on.limits.request;
    CO_CHECK_OK(co_await m_on.directory.refresh(age, m_on.world.now() + m_on.limits.ledger));
    const auto listed = m_on.directory.miners();
    const std::size_t least = tolerated + 1, wanted = tolerated + 3;
    poll<storage::hello_reply, storage::hello_request>::question ask;
    for (const auto& node : listed) ask.miners.push_back(node.id);
    ask.method = storage::method::hello;
    ask.message.network = m_on.ledger.trust().network();
    ask.enough = std::min<std::size_t>(least + 1, listed.size());
    ask.grace = late_answer_grace;
    ask.request = m_on.limits.request;
    ask.deadline = until;
    ask.valid = [&listed](std::size_t i, const storage::hello_reply& reply) { return reply.id == listed[i].id && reply.used < reply.capacity; };
    auto answers = co_await poll<storage::hello_reply, storage::hello_request>::run(*m_link, std::move(ask));

    std::vector<candidate> alive;
    for (std::size_t i = 0; i < answers.size(); ++i) {
        if (!answers[i]) continue;
        candidate c;
        c.node = listed[i];
        c.incarnation = answers[i]->incarnation;
        c.free = answers[i]->capacity - answers[i]->used;
        alive.push_back(std::move(c));
    }
    shuffle(alive, m_on.world.random());
    // Each is asked about once: what the directory knows may change meanwhile.
    std::stable_partition(alive.begin(), alive.end(), [this](const candidate& c) { return !m_on.directory.avoided(c.node.id); });
    std::vector<ledger::journal_member> chosen;
    std::set<std::string> domains;
    for (const bool distinct : {true, false}) {
        for (auto& c : alive) {
            if (chosen.size() == wanted || c.node.id.is_zero()) continue;
            if (distinct && !domains.insert(c.node.failure_domain).second) continue;
            ledger::journal_member member;
            member.miner = std::exchange(c.node.id, node_id{});
            member.incarnation = c.incarnation;
            chosen.push_back(member);
        }
    }
    if (chosen.size() < least)
        co_return error(errc::unavailable, "a journal needs " + std::to_string(least) + " storage miners, and " + std::to_string(chosen.size()) + " answer");
    co_return chosen;
}

// Before anything is fenced for nothing: do enough members of the newest journal answer at all?
net::awaitable<result<void>> recovery::check_reachable(ledger::lease newest) {
    poll<storage::hello_reply, storage::hello_request>::question ask;
    for (const auto& member : newest.members) ask.miners.push_back(member.miner);
    ask.method = storage::method::hello;
    ask.message.network = m_on.ledger.trust().network();
    ask.enough = needed(newest);
    ask.request = m_on.limits.request;
    ask.deadline = m_on.world.now() + m_on.limits.recovery;
    const bool any = m_how.broken.ignore_incarnation;
    ask.valid = [&newest, any](std::size_t i, const storage::hello_reply& reply) { return any || reply.incarnation == newest.members[i].incarnation; };
    auto answers = co_await poll<storage::hello_reply, storage::hello_request>::run(*m_link, std::move(ask));
    const auto valid = static_cast<std::size_t>(std::count_if(answers.begin(), answers.end(), [](const auto& a) { return a.has_value(); }));
    if (valid >= needed(newest)) co_return result<void>();
    co_return error(errc::unavailable, std::to_string(valid) + " of " + std::to_string(newest.members.size()) + " members of the journal of term " +
                                           std::to_string(newest.term.value) + " answer, " + std::to_string(needed(newest)) + " are needed");
}

// ---- the lease -------------------------------------------------------------------------------------------

net::awaitable<result<void>> recovery::acquire(ledger::volume_record before, std::vector<ledger::journal_member> members) {
    ledger::take_lease take;
    take.volume = m_volume;
    take.expected = before.term;
    take.session = m_session.pub();
    take.endpoint = m_how.endpoint;
    take.members = std::move(members);
    take.reservation = m_how.reservation;
    take.journal_salt = m_on.world.random().id<salt256>();
    const auto salt = take.journal_salt;
    ledger::action first = take;
    auto submitted = co_await m_on.ledger.submit(m_who, std::move(first), m_on.world.now() + m_on.limits.ledger);
    // A nearly full network grants what is left, nothing at worst: reading must go on there.
    while (!submitted && submitted.error().code == errc::no_space && take.reservation > 0) {
        take.reservation = take.reservation > 64 * MiB ? take.reservation / 4 : 0;
        ledger::action less = take;
        submitted = co_await m_on.ledger.submit(m_who, std::move(less), m_on.world.now() + m_on.limits.ledger);
    }
    const bool fate_unknown = !submitted && (submitted.error().code == errc::unavailable || submitted.error().code == errc::timeout);
    if (!submitted && !fate_unknown) co_return std::move(submitted).error().with_context("take the lease");
    CO_TRY(m_record, co_await read_record());
    if (m_record.leases.empty() || m_record.leases.back().session != m_session.pub() || m_record.leases.back().journal_salt != salt) {
        if (!submitted) co_return std::move(submitted).error().with_context("take the lease");
        co_return error(errc::conflict, "somebody else took volume " + m_record.name + " meanwhile");
    }
    m_lease = m_record.leases.back();
    for (const auto& lease : m_record.leases) {
        if (lease.term == m_lease.term) continue;
        older_journal older;
        older.lease = lease;
        m_older.push_back(std::move(older));
    }
    co_return result<void>();
}

// ---- the fence -------------------------------------------------------------------------------------------

bool recovery::acceptable(const ledger::lease& of, std::size_t i, const storage::journal_state& state) const {
    const bool same_store = state.incarnation == of.members[i].incarnation || m_how.broken.ignore_incarnation;
    const bool fenced = state.fence >= m_lease.term || m_how.broken.skip_fence;
    // Only what a certified root contains may be missing at the front.
    const auto base_max = of.term == m_record.head.term ? m_record.head.journal_base : entry_index{0};
    return state.journal == journal_of(of) && same_store && fenced && state.base <= base_max && state.base <= state.end;
}

net::awaitable<void> recovery::fence(older_journal& of) {
    std::vector<node_id> miners;
    for (const auto& member : of.lease.members) miners.push_back(member.miner);
    const std::function<bool(std::size_t, const storage::journal_state&)> valid = [this, &of](std::size_t i, const storage::journal_state& state) {
        return acceptable(of.lease, i, state);
    };
    if (m_how.broken.skip_fence) {
        poll<storage::journal_state, storage::journal_ref>::question ask;
        ask.miners = std::move(miners);
        ask.method = storage::method::journal_state;
        ask.message = journal_of(of.lease);
        ask.enough = needed(of.lease);
        ask.grace = late_answer_grace;
        ask.request = m_on.limits.request;
        ask.deadline = m_on.world.now() + m_on.limits.recovery;
        ask.patient = true;
        ask.valid = valid;
        of.answers = co_await poll<storage::journal_state, storage::journal_ref>::run(*m_link, std::move(ask));
        co_return;
    }
    poll<storage::journal_state, storage::fence_request>::question ask;
    ask.miners = std::move(miners);
    ask.method = storage::method::journal_fence;
    ask.message.volume = *m_link->lease();
    ask.message.term = m_lease.term;
    ask.message.journal = journal_of(of.lease);
    ask.enough = needed(of.lease);
    ask.grace = late_answer_grace;
    ask.request = m_on.limits.request;
    ask.deadline = m_on.world.now() + m_on.limits.recovery;
    ask.patient = true;  // a silent member may be the only honest one that has the newest entries
    ask.valid = valid;
    of.answers = co_await poll<storage::journal_state, storage::fence_request>::run(*m_link, std::move(ask));
}

net::awaitable<void> recovery::fence_all() {
    net::task_group all(co_await boost::asio::this_coro::executor);
    for (auto& older : m_older) all.spawn(fence(older));
    co_await all.join();
}

// ---- the chain -------------------------------------------------------------------------------------------

net::awaitable<result<journal_chain>> recovery::read_chain(ledger::lease of, node_id miner, storage::journal_state claimed, entry_index from) {
    std::vector<crypto::secret_key> keys;
    for (const auto& key : m_keys.all()) keys.push_back(journal_key(key, of.journal_salt));
    chain_reader reader(journal_of(of), of.session, std::move(keys), from);
    unsigned failures = 0;
    while (reader.next() < claimed.end) {
        storage::journal_read_request message;
        message.journal = journal_of(of);
        message.from = reader.next();
        const auto deadline = m_on.world.now() + m_on.limits.request;
        auto page = co_await m_link->ask<storage::journal_read_reply>(miner, storage::method::journal_read, message, net::request_body(), deadline, net::lane::bulk);
        if (!page) {
            if (!is_miners_fault(page.error().code) || ++failures == 3) co_return std::move(page).error();
            continue;
        }
        failures = 0;
        const auto before = reader.next();
        CO_CHECK_OK(reader.add(page->message, page->body));
        if (reader.next() <= before) co_return error(errc::corrupt, "miner " + miner.brief() + " serves the same journal page again");
    }
    CO_TRY(auto chain, std::move(reader).finish());
    if (chain.end != claimed.end || (!chain.entries.empty() && chain.chain != claimed.chain))
        co_return error(errc::corrupt, "miner " + miner.brief() + " does not have the journal that it claims");
    co_return chain;
}

// Of the members that answered: the one with most, if what it shows is true; else it is no member, and the next.
net::awaitable<result<journal_chain>> recovery::longest_chain(older_journal& of, entry_index from) {
    for (;;) {
        if (of.valid() < needed(of.lease))
            co_return error(errc::unavailable, std::to_string(of.valid()) + " of " + std::to_string(of.lease.members.size()) +
                                                   " members of the journal of term " + std::to_string(of.lease.term.value) + " answer validly, " +
                                                   std::to_string(needed(of.lease)) + " are needed");
        std::optional<std::size_t> best;
        for (std::size_t i = 0; i < of.answers.size(); ++i) {
            if (!of.answers[i]) continue;
            if (!best || (!m_how.broken.first_answer && of.answers[i]->end > of.answers[*best]->end)) best = i;
        }
        if (of.answers[*best]->end <= from) {
            journal_chain nothing;
            nothing.base = nothing.end = from;
            co_return nothing;
        }
        auto chain = co_await read_chain(of.lease, of.lease.members[*best].miner, *of.answers[*best], from);
        if (chain) co_return std::move(chain);
        if (chain.error().code == errc::canceled) co_return std::move(chain).error();
        log::warn("journal", "member disregarded miner={} term={} reason=\"{}\"", of.lease.members[*best].miner.brief(), of.lease.term.value,
                  chain.error().message());
        m_on.directory.failed(of.lease.members[*best].miner);
        of.answers[*best].reset();
    }
}

// Newest to oldest: the first journal that ever served defines the history. It did if its seal is complete, or if the
// ledger's root is of its term.
net::awaitable<result<found_history>> recovery::walk() {
    found_history out;
    bool found = false;
    if (m_how.broken.skip_seals && !m_older.empty()) m_older.resize(1);
    for (auto older = m_older.rbegin(); older != m_older.rend(); ++older) {
        const bool holds_head = older->lease.term == m_record.head.term;
        const auto from = holds_head ? m_record.head.journal_base : entry_index{0};
        CO_TRY(auto chain, co_await longest_chain(*older, from));
        const auto seal = complete_seal(chain);
        if (!holds_head && !seal && !(m_how.broken.any_seal && !chain.entries.empty())) continue;
        found = true;
        out.seal.predecessor = older->lease.term;
        out.seal.sealed_length = chain.end;
        out.seal.sealed_chain = chain.chain;
        auto& entries = chain.entries;
        if (chain.base < from) entries.erase(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(from.value - chain.base.value, entries.size())));
        out.entries = m_how.broken.keep_fragments ? std::move(entries) : countable(std::move(entries));
        break;
    }
    // None ever served: then the volume is new. Were older leases dropped, one of the listed would have served.
    const bool from_the_start = m_older.empty() ? m_lease.term.value == 1 : m_older.front().lease.term.value == 1;
    if (!found && (!from_the_start || m_record.head.term.value != 0))
        co_return error(errc::corrupt, "no journal of volume " + m_record.name + " holds its history");
    out.seal.copied = static_cast<std::uint32_t>(out.entries.size());
    co_return out;
}

// ---- the new journal -------------------------------------------------------------------------------------

struct append_done {
    journal_writer& to;
    std::vector<sealed_entry> entries;
    void operator()(net::resumption<result<void>> done) {
        auto shared = std::make_shared<net::resumption<result<void>>>(std::move(done));
        to.append(std::move(entries), [shared](result<void> how) { (*shared)(std::move(how)); });
    }
};

net::awaitable<result<void>> recovery::copy_tail(taken_volume& out, const found_history& history) {
    std::vector<sealed_entry> entries;
    auto seal = history.seal;
    if (m_how.broken.forget_tail) seal.copied = 0;
    entries.push_back(out.sealer->seal(entry_kind::seal, wire::encode(seal)));
    for (const auto& entry : history.entries)
        if (!m_how.broken.forget_tail) entries.push_back(out.sealer->seal(entry.kind, entry.payload));
    append_done start{*out.journal, std::move(entries)};
    if (m_how.broken.serve_early) {
        out.journal->append(std::move(start.entries), [](result<void>) {});
        co_return result<void>();
    }
    auto sealed = net::suspend<result<void>>(std::move(start));
    co_return co_await std::move(sealed);
}

net::awaitable<result<taken_volume>> recovery::run() {
    CO_TRY(auto before, co_await read_record());
    CO_TRY(m_keys, keyring::unwrap(m_who, before.keyring));
    if (before.keyring.empty()) co_return error(errc::corrupt, "volume " + before.name + " has no key");
    CO_CHECK_OK(co_await wait_for_owner(before));
    CO_TRY(auto members, co_await choose_members(before.geometry.m));
    if (!before.leases.empty()) CO_CHECK_OK(co_await check_reachable(before.leases.back()));
    // Takeovers that cannot serve fill the list of leases until nobody can take the volume any more. So where many did
    // not, the older journals must answer first; by force it is tried all the same.
    if (before.leases.size() > leases_watched && !m_how.force)
        for (const auto& lease : before.leases) CO_CHECK_OK(co_await check_reachable(lease));
    CO_CHECK_OK(co_await acquire(before, std::move(members)));
    reach(m_on.crashes, crash_point::lease_taken);
    co_await fence_all();
    reach(m_on.crashes, crash_point::journals_fenced);
    CO_TRY(auto history, co_await walk());
    reach(m_on.crashes, crash_point::history_read);

    taken_volume out;
    out.record = m_record;
    out.lease = m_lease;
    out.link = m_link;
    CO_TRY(const auto key, m_keys.find(m_record.keyring.back().lineage, m_record.keyring.back().generation));
    out.sealer = std::make_unique<entry_sealer>(journal_of(m_lease), journal_key(key, m_lease.journal_salt), m_how.entry_size_max);
    journal_writer::setup setup;
    setup.limits = m_how.journal;
    setup.journal = journal_of(m_lease);
    setup.members = m_lease.members;
    setup.tolerated = m_lease.tolerated;
    setup.limits.append = m_on.limits.append;
    setup.limits.request = m_on.limits.request;
    setup.broken = m_how.broken.writer;
    setup.crashes = m_on.crashes;
    out.strand = co_await boost::asio::this_coro::executor;
    out.journal = std::make_shared<journal_writer>(out.strand, m_link, m_on.ledger, m_session, std::move(setup));
    out.journal->start();
    auto copied = co_await copy_tail(out, history);
    if (!copied) {
        co_await out.journal->stop();
        co_return std::move(copied).error().with_context("seal the journal of term " + std::to_string(m_lease.term.value));
    }
    reach(m_on.crashes, crash_point::tail_copied);
    out.journal->outlive_silence();  // it serves from here on: what silence delays is not lost
    out.history = assemble(history.entries);
    co_return out;
}

}  // namespace

net::awaitable<result<taken_volume>> take_volume(recovery_context on, chain::account who, volume_id volume, crypto::signing_key session, take_options how) {
    recovery work(on, std::move(who), volume, std::move(session), std::move(how));
    co_return co_await work.run();
}

}  // namespace cess::layer
