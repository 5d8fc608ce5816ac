#include "certifier.hpp"

namespace cess::chain {

void certifier::reached(ledger::certificate_body what) {
    if (m_states.size() == states_max) m_states.pop_front();
    m_states.emplace_back().body = std::move(what);
}

void certifier::add(const member_signature& given) {
    if (given.member >= m_given.size() || (m_any_done && given.height <= m_done)) return;
    auto& of_member = m_given[given.member];
    of_member.insert_or_assign(given.height, given.sig);
    // Who is behind needs the newest.
    if (of_member.size() > signatures_a_member_max) of_member.erase(of_member.begin());
}

std::size_t certifier::may_have_signed(const state& what) const {
    auto count = what.good.size();
    for (std::size_t member = 0; member < m_given.size(); ++member)
        if (!what.good.contains(static_cast<consensus::author_index>(member)) && m_given[member].contains(what.body.height)) ++count;
    return count;
}

result<bool> certifier::judge(state& what) {
    const auto height = what.body.height;
    const auto message = ledger::message_of(what.body);
    for (std::size_t i = 0; i < m_given.size() && what.good.size() < m_members.quorum(); ++i) {
        const auto member = static_cast<consensus::author_index>(i);
        const auto given = m_given[i].find(height);
        if (given == m_given[i].end()) continue;
        if (crypto::verify(m_members.members[i], message, given->second)) {
            what.good.insert_or_assign(member, given->second);
            what.bad.erase(member);
        } else {
            what.bad.insert(member);
        }
        m_given[i].erase(given);
    }
    if (what.bad.size() > m_members.faulty_max())
        return error(errc::corrupt, "state at height " + std::to_string(height.value) + " differs from the one that " + std::to_string(what.bad.size()) +
                                        " members of the committee signed; this node's data or program is damaged");
    return what.good.size() >= m_members.quorum();
}

result<std::optional<ledger::state_certificate>> certifier::newest() {
    for (auto at = m_states.rbegin(); at != m_states.rend(); ++at) {
        if (may_have_signed(*at) < m_members.quorum()) continue;
        TRY(const auto whole, judge(*at));
        if (!whole) continue;
        ledger::state_certificate out;
        out.body = std::move(at->body);
        out.signatures.assign(at->good.begin(), at->good.end());
        forget(out.body.height);
        return std::optional(std::move(out));
    }
    return std::optional<ledger::state_certificate>();
}

void certifier::forget(block_height upto) {
    m_done = upto;
    m_any_done = true;
    while (!m_states.empty() && m_states.front().body.height <= upto) m_states.pop_front();
    for (auto& of_member : m_given) of_member.erase(of_member.begin(), of_member.upper_bound(upto));
}

}  // namespace cess::chain
