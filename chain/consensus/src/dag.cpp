#include "mutants.hpp"

#include <chain/consensus/dag.hpp>

#include <algorithm>

namespace cess::consensus {
namespace {

using links = std::vector<const vertex*>;

// What a quorum of `voters` voted for, as `vote_of` reads their votes; at most one block can be.
template <class VoteOf>
const vertex* choice_of_quorum(const links& voters, std::size_t quorum, VoteOf vote_of) {
    // A block that nobody among the first n − quorum + 1 voted for can no longer reach it.
    for (std::size_t first = 0; first + quorum <= voters.size(); ++first) {
        const auto* const candidate = voters[first] ? vote_of(*voters[first]) : nullptr;
        if (!candidate) continue;
        std::size_t votes = 0;
        for (const auto* const voter : voters) {
            const auto* const vote = voter ? vote_of(*voter) : nullptr;
            if (vote == candidate || (vote && mutated(mutant::vote_for_any_copy))) ++votes;
        }
        if (votes >= quorum) return candidate;
    }
    return nullptr;
}

const vertex* at_or_none(const links& by_author, std::size_t author) { return by_author.empty() ? nullptr : by_author[author]; }

}  // namespace

dag::dag(const rules& by, const hash256& genesis, const archive& older, round_number floor)
    : m_rules(by), m_genesis(genesis), m_older(older), m_floor(floor) {
    m_rounds.emplace_back().by_author.resize(by.members);
    if (floor == 0) add_genesis();
}

void dag::add_genesis() {
    auto& origin_round = m_rounds.front();
    origin_round.authors = m_size = m_rules.members;
    for (std::size_t i = 0; i < m_rules.members; ++i) {
        auto origin = std::make_shared<named_block>();
        origin->ref = {0, static_cast<author_index>(i), m_genesis};
        auto& only = *origin_round.by_author[i].emplace_back(std::make_unique<vertex>());
        only.block = std::move(origin);
        only.parents.resize(m_rules.members);
        only.sequenced = true;
    }
}

const dag::level* dag::find_level(round_number round) const {
    return round < m_floor || round > highest() ? nullptr : &m_rounds[round - m_floor];
}

dag::level& dag::level_of(round_number round) {
    while (highest() < round) m_rounds.emplace_back().by_author.resize(m_rules.members);
    return m_rounds[round - m_floor];
}

const dag::copies& dag::at(round_number round, author_index author) const {
    static const copies none;
    const auto* const found = find_level(round);
    return found && author < found->by_author.size() ? found->by_author[author] : none;
}

std::size_t dag::authors_in(round_number round) const {
    const auto* const found = find_level(round);
    return found ? found->authors : 0;
}

const vertex* dag::find(const block_ref& what) const {
    for (const auto& copy : at(what.round, what.author))
        if (copy->ref().digest == what.digest) return copy.get();
    return nullptr;
}

bool dag::was_here(const block_ref& what) const {
    if (what.round == 0) return what.digest == m_genesis;
    return mutated(mutant::trust_below_floor) || m_older.holds(what);
}

std::vector<block_ref> dag::missing(const block_body& block) const {
    std::vector<block_ref> out;
    const auto look = [&](const block_ref& ref) {
        if (!(ref.round >= m_floor ? find(ref) != nullptr : was_here(ref))) out.push_back(ref);
    };
    for (const auto& ref : block.parents) look(ref);
    for (const auto& ref : block.weak) look(ref);
    return out;
}

const vertex& dag::insert(block_ptr block) {
    auto made = std::make_unique<vertex>();
    auto& v = *made;
    v.block = std::move(block);
    v.parents.resize(m_rules.members);
    for (const auto& ref : v.block->body().parents) v.parents[ref.author] = find(ref);
    for (const auto& ref : v.block->body().weak)
        if (const auto* const found = find(ref)) v.weak.push_back(found);
    derive_certificates(v);
    derive_coin_votes(v);
    auto& to = level_of(v.round());
    auto& of_author = to.by_author[v.author()];
    if (of_author.empty()) ++to.authors;
    of_author.push_back(std::move(made));
    ++m_size;
    return v;
}

void dag::derive_certificates(vertex& of) const {
    of.certified.resize(m_rules.members);
    for (std::size_t leader = 0; leader < m_rules.members; ++leader)
        of.certified[leader] = choice_of_quorum(of.parents, m_rules.certificate_quorum, [leader](const vertex& voter) { return voter.parents[leader]; });
}

void dag::derive_coin_votes(vertex& of) const {
    const auto into_wave = of.round() % m_rules.coin_interval;
    if (of.round() < m_rules.coin_interval || into_wave == 0 || into_wave >= rules::coin_wave) return;
    const auto voted = [](const vertex& by, std::size_t leader) { return at_or_none(by.coin_voted, leader); };
    if (into_wave == 1) {
        of.coin_voted = of.parents;
    } else if (into_wave < rules::coin_wave - 1) {
        of.coin_voted.resize(m_rules.members);
        for (std::size_t leader = 0; leader < m_rules.members; ++leader)
            for (std::size_t i = 0; i < m_rules.members && !of.coin_voted[leader]; ++i)
                if (of.parents[i]) of.coin_voted[leader] = voted(*of.parents[i], leader);
    } else {
        of.coin_certified.resize(m_rules.members);
        for (std::size_t leader = 0; leader < m_rules.members; ++leader)
            of.coin_certified[leader] =
                choice_of_quorum(of.parents, m_rules.certificate_quorum, [&](const vertex& voter) { return voted(voter, leader); });
    }
}

void dag::release(const block_ref& sequenced) {
    if (!find_level(sequenced.round)) return;
    auto name = std::make_shared<named_block>();
    name->ref = sequenced;
    for (auto& copy : level_of(sequenced.round).by_author[sequenced.author])
        if (copy->ref() == sequenced) copy->block = name;
}

void dag::collect(round_number floor) {
    const auto below = [floor](const vertex* v) { return v && v->round() < floor; };
    // Pointers two rounds down (certified) and as far as a coin's wave reaches, and weak links from anywhere.
    for (auto round = floor; round <= highest(); ++round) {
        for (auto& of_author : m_rounds[round - m_floor].by_author) {
            for (auto& v : of_author) {
                std::erase_if(v->weak, below);
                if (round >= floor + rules::coin_wave) continue;
                for (auto* const list : {&v->parents, &v->certified, &v->coin_voted, &v->coin_certified})
                    std::replace_if(list->begin(), list->end(), below, nullptr);
            }
        }
    }
    for (; m_floor < floor; ++m_floor) {
        for (const auto& of_author : m_rounds.front().by_author) m_size -= of_author.size();
        m_rounds.pop_front();
    }
}

}  // namespace cess::consensus
