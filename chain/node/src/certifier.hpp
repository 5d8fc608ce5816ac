// From members' signatures to certificates: which of this node's states a quorum has signed.
//
// A signature does not say what it is over. It is checked against this node's own state, once a quorum may have signed that height;
// one that does not hold counts against this state. Where more than f members' do not, no quorum of honest members will ever
// sign it: this node, or they, went wrong, and it must not go on.
// Of one epoch. Not thread-safe. Bounded in what it keeps of states and of each member's signatures.
#pragma once

#include <chain/node/ordering.hpp>

#include <deque>
#include <map>
#include <set>

namespace cess::chain {

class certifier {
public:
    static constexpr std::size_t states_max = 4096;
    static constexpr std::size_t signatures_a_member_max = 4096;

    explicit certifier(ledger::committee members) : m_members(std::move(members)), m_given(m_members.members.size()) {}

    // A state that members sign; in the order of heights.
    void reached(ledger::certificate_body what);
    void add(const member_signature& given);
    // This node's own, over the newest of the states: needs no check.
    void add_own(consensus::author_index self, const signature& sig) { m_states.back().good.insert_or_assign(self, sig); }
    // The newest of the states that a quorum has signed, if it was not answered before; older ones are forgotten. errc::corrupt
    // when more than f members signed another.
    result<std::optional<ledger::state_certificate>> newest();
    [[nodiscard]] std::size_t waiting() const noexcept { return m_states.size(); }

private:
    struct state {
        ledger::certificate_body body;
        std::map<consensus::author_index, signature> good;
        std::set<consensus::author_index> bad;
    };
    [[nodiscard]] std::size_t may_have_signed(const state& what) const;
    result<bool> judge(state& what);
    void forget(block_height upto);

    const ledger::committee m_members;
    std::deque<state> m_states;
    std::vector<std::map<block_height, signature>> m_given;  // by member, not looked at yet
    block_height m_done;
    bool m_any_done = false;
};

}  // namespace cess::chain
