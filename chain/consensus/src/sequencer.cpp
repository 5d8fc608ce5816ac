#include "mutants.hpp"

#include <chain/consensus/sequencer.hpp>

#include <algorithm>

namespace cess::consensus {

sequencer::sequencer(const dag& in, const rules& by, const coin& shares, const checkpoint& from)
    : m_dag(in), m_rules(by), m_coin(shares), m_window_top(from.next.round), m_committed_round(from.committed_round), m_recent(from.leaders.begin(), from.leaders.end()),
      m_closing(from.closing.begin(), from.closing.end()) {
    append_slots(by, from.next.round, m_window);
    while (!m_window.empty() && m_window.front().where < from.next) m_window.pop_front();
}

std::vector<const vertex*> sequencer::recognize() {
    std::vector<const vertex*> out;
    for (; !resumed(); ++m_awaited) {
        const auto* const leader = m_dag.find(m_recent[m_awaited]);
        if (!leader) break;
        const auto added = sequence(m_dag, m_rules, *leader);
        out.insert(out.end(), added.begin(), added.end());
    }
    return out;
}

checkpoint sequencer::here() const {
    checkpoint out;
    out.committed_round = m_committed_round;
    out.next = m_window.empty() ? slot{m_window_top + 1, 0} : m_window.front().where;
    if (!mutated(mutant::forget_leaders)) out.leaders.assign(m_recent.begin(), m_recent.end());
    if (!mutated(mutant::forget_wishes)) out.closing.assign(m_closing.begin(), m_closing.end());
    return out;
}

void sequencer::inserted(const vertex& v) {
    if (const auto coin = m_rules.coin_revealed_in(v.round())) add_share(*coin, v);
    if (mutated(mutant::early_wishes) && v.block->body().closing) m_closing.insert(v.author());
}

void sequencer::add_share(coin_number of, const vertex& v) {
    if (m_leaders.contains(of) || of * m_rules.coin_interval < m_committed_round) return;
    auto& shares = m_shares[of];
    shares.emplace(v.author(), v.block->body().coin_share);
    if (shares.size() < m_rules.coin_quorum) return;
    m_leaders.emplace(of, leader_by(m_coin.combine(of, shares), m_rules.members));
    m_shares.erase(of);
}

void sequencer::advance(std::vector<settled>& decided, std::vector<committed>& sequenced) {
    if (m_closed) return;
    while (m_window_top < m_dag.highest()) append_slots(m_rules, ++m_window_top, m_window);
    for (const auto& d : decide(m_dag, m_rules, m_leaders, m_window))
        decided.push_back({d.where, d.leader ? std::optional(d.leader->ref()) : std::nullopt});
    for (; !m_closed && !m_window.empty() && m_window.front().what != verdict::undecided; m_window.pop_front()) emit(m_window.front(), sequenced);
}

void sequencer::emit(const decision& next, std::vector<committed>& sequenced) {
    if (next.where.by_coin()) {
        m_leaders.erase(m_leaders.begin(), m_leaders.upper_bound(next.where.round / m_rules.coin_interval));
        m_shares.erase(m_shares.begin(), m_shares.upper_bound(next.where.round / m_rules.coin_interval));
    }
    if (next.what != verdict::committed) return;
    m_committed_round = next.where.round;
    while (!m_recent.empty() && m_recent.front().round < horizon()) m_recent.pop_front();
    if (!next.leader->sequenced) m_recent.push_back(next.leader->ref());
    m_awaited = m_recent.size();
    if (next.leader->sequenced) return;  // the coin named a block that leads a deterministic slot as well
    committed out{next.where, next.leader->ref(), {}};
    for (const auto* const v : sequence(m_dag, m_rules, *next.leader)) {
        out.blocks.push_back(v->block);
        if (v->block->body().closing) m_closing.insert(v->author());
    }
    out.closes = m_closed = m_closing.size() >= m_rules.close_quorum;
    sequenced.push_back(std::move(out));
}

std::size_t sequencer::undecided() const {
    return static_cast<std::size_t>(std::count_if(m_window.begin(), m_window.end(), [](const decision& d) { return d.what == verdict::undecided; }));
}

}  // namespace cess::consensus
