#include "mutants.hpp"

#include <chain/consensus/replica.hpp>

#include <algorithm>

namespace cess::consensus {
namespace {

void wake_at(std::optional<instant>& wake, instant at) { wake = wake ? std::min(*wake, at) : at; }

}  // namespace

replica::replica(epoch_context of, author_index self, const pacing& pace, const archive& older, const keys& signer, const coin& shares,
                 payload_bounds bounds, const std::optional<checkpoint>& from)
    : m_of(std::move(of)),
      m_self(self),
      m_pace(pace),
      m_keys(signer),
      m_coin(shares),
      m_began_at(from ? from->floor(m_of.by) : 0),
      m_dag(m_of.by, m_of.genesis, older, m_began_at),
      m_pending(m_of.by.members, self, pace.retry),
      m_sequencer(m_dag, m_of.by, shares, from.value_or(checkpoint{})),
      m_proposer(m_dag, m_of, self, m_pace, signer, shares, from ? from->own : block_ref{0, self, m_of.genesis}, std::move(bounds)),
      m_asked_at(m_of.by.members) {}

actions replica::replay(const block_ptr& logged) {
    actions out;
    if (logged->ref.author == m_self) {
        m_newest = logged;
        if (logged->ref.round >= m_began_at) m_proposer.made(*logged);  // what older ones carry is in the sequence, or in a newer one
    }
    if (m_dag.find(logged->ref)) return out;
    insert(logged);
    sequence(out);
    return out;
}

actions replica::start(instant now) {
    actions out;
    if (m_newest) {
        out.send.push_back(m_newest);
        m_sent_at = now;
    }
    advance(now, out);
    return out;
}

result<actions> replica::on_block(instant now, author_index from, const block_ptr& block) {
    actions out;
    const auto& ref = block->ref;
    const bool too_old = ref.round < m_dag.floor() && !m_pending.wants(ref);
    if (too_old || m_dag.find(ref) || m_pending.holds(ref)) {
        advance(now, out);
        return out;
    }
    CHECK_OK(check_form(*block, m_of));
    if (ref.round > m_dag.highest() + lookahead) {
        catch_up(now, from, out);
    } else if (!one_too_many(ref)) {
        CHECK_OK(take(block, from, out));
        if (ref.round > m_dag.highest() + 2) catch_up(now, from, out);
    }
    advance(now, out);
    return out;
}

// Proofs are looked at last, and only if the block will be kept.
result<void> replica::take(const block_ptr& block, author_index from, actions& out) {
    const auto missing = m_dag.missing(block->body());
    if (!missing.empty() && !m_pending.has_room(*block, missing)) return {};
    CHECK_OK(check_proofs(*block, m_of, m_keys, m_coin));
    if (missing.empty()) accept({block}, out);
    else m_pending.add(block, missing, from);
    return {};
}

// Any honest member may have taken copies_max of its own accord, and the others must be able to follow it. So what blocks
// by f+1 authors need is taken in any case, and what blocks by others than the copy's author need up to copies_needed_max.
bool replica::one_too_many(const block_ref& ref) const {
    const auto forgotten = m_copies_below.find({ref.round, ref.author});
    const auto here = m_dag.at(ref.round, ref.author).size() + (forgotten == m_copies_below.end() ? 0 : forgotten->second);
    if (here < copies_max) return false;
    if (mutated(mutant::any_need_counts)) return !m_pending.wants(ref);
    if (here < copies_needed_max * m_of.by.members) return !m_pending.backed(ref);
    return !m_pending.backed_by(ref, m_of.by.faulty_max() + 1);
}

actions replica::on_durable(instant now) {
    actions out;
    m_newest = std::exchange(m_in_flight, nullptr);
    m_sent_at = now;
    out.send.push_back(m_newest);
    m_proposer.made(*m_newest);
    if (!m_dag.find(m_newest->ref)) insert(m_newest);  // a twin may have said the very same
    accept(m_pending.arrived(m_newest->ref), out);  // who foresaw this block may have named it before it was
    advance(now, out);
    return out;
}

actions replica::on_timer(instant now) {
    actions out;
    advance(now, out);
    return out;
}

// With all that waited for them, unless too many copies came in meanwhile.
void replica::accept(std::vector<block_ptr> ready, actions& out) {
    while (!ready.empty()) {
        const auto next = std::move(ready.back());
        ready.pop_back();
        if (one_too_many(next->ref) && !mutated(mutant::enter_uncounted)) continue;
        insert(next);
        out.log.push_back(next);
        for (auto& waited : m_pending.arrived(next->ref)) ready.push_back(std::move(waited));
    }
    sequence(out);
}

// What lies below the floor is only logged, since others may ask for it.
void replica::insert(const block_ptr& block) {
    if (block->ref.round < m_dag.floor()) {
        ++m_copies_below[{block->ref.round, block->ref.author}];
        if (block->ref.author == m_self) m_proposer.forgo(*block);
        return;
    }
    const auto& v = m_dag.insert(block);
    m_sequencer.inserted(v);
    m_proposer.inserted(v);
    if (!block->body().payload.empty()) m_payload_round = std::max(m_payload_round, block->ref.round);
}

// Far behind: asks for rounds instead of going down block by block.
void replica::catch_up(instant now, author_index from, actions& out) {
    if (from == m_self || from >= m_asked_at.size()) return;
    auto& asked = m_asked_at[from];  // of each its own: a liar's blocks keep nobody else from being asked
    if (asked && now < *asked + m_pace.retry) return;
    asked = now;
    out.requests.push_back({from, {}, m_dag.highest()});
}

void replica::sequence(actions& out) {
    const auto in_sequence = [this](const block_ptr& block) {
        if (block->ref.author == m_self) m_proposer.sequenced(*block);
        m_dag.release(block->ref);
    };
    for (const auto* const v : m_sequencer.recognize()) in_sequence(block_ptr(v->block));
    if (!m_sequencer.resumed()) return;
    const auto before = out.commits.size();
    m_sequencer.advance(out.decided, out.commits);
    for (auto at = before; at < out.commits.size(); ++at)
        for (const auto& block : out.commits[at].blocks) in_sequence(block);
    if (closed()) m_proposer.close();
    collect();
}

std::optional<checkpoint> replica::here() const {
    if (!m_sequencer.resumed() || closed() || !m_proposer.carried_from(m_sequencer.horizon())) return std::nullopt;
    auto out = m_sequencer.here();
    out.own = m_proposer.last();
    return out;
}

std::vector<bytes> replica::unsequenced() const {
    auto out = m_proposer.unsequenced();
    if (m_in_flight) out.insert(out.end(), m_in_flight->body().payload.begin(), m_in_flight->body().payload.end());
    return out;
}

void replica::collect() {
    const auto floor = m_sequencer.horizon();
    if (floor < m_dag.floor() + m_of.by.depth / 4 + 1) return;  // many rounds at once: a walk over all of the DAG
    m_proposer.collect(floor);
    for (auto round = m_dag.floor(); round < floor; ++round)
        for (author_index author = 0; author < m_of.by.members; ++author)
            if (const auto copies = m_dag.at(round, author).size(); copies > 0) m_copies_below[{round, author}] = copies;
    m_copies_below.erase(m_copies_below.begin(), m_copies_below.lower_bound({floor > m_of.by.depth ? floor - m_of.by.depth : 0, 0}));
    m_dag.collect(floor);
    m_pending.collect(floor);
}

void replica::advance(instant now, actions& out) {
    if (!m_in_flight) m_in_flight = out.persist = m_proposer.propose(now, idle(), out.wake);
    m_pending.due(now, out.requests);
    if (const auto at = m_pending.next_due()) wake_at(out.wake, *at);
    resend(now, out);
}

// What was lost on the way may be all that others wait for.
void replica::resend(instant now, actions& out) {
    if (!m_newest || m_in_flight || m_proposer.followed()) return;
    if (now >= m_sent_at + m_pace.resend) {
        out.send.push_back(m_newest);
        m_sent_at = now;
    }
    wake_at(out.wake, m_sent_at + m_pace.resend);
}

}  // namespace cess::consensus
