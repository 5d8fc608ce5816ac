#include "mutants.hpp"

#include <chain/consensus/commit.hpp>

#include <algorithm>

namespace cess::consensus {
namespace {

using links = std::vector<const vertex*>;

// How many authors have a block in `round` of which `holds`.
template <class Predicate>
std::size_t authors_with(const dag& in, const rules& by, round_number round, Predicate holds) {
    std::size_t count = 0;
    for (std::size_t author = 0; author < by.members; ++author) {
        const auto& copies = in.at(round, static_cast<author_index>(author));
        const auto found = std::count_if(copies.begin(), copies.end(), [&](const auto& v) { return holds(*v); });
        count += static_cast<std::size_t>(mutated(mutant::count_blocks) ? found : std::min<std::ptrdiff_t>(found, 1));
    }
    return count;
}

const vertex* vote(const vertex& by, const slot& where, author_index leader) { return where.by_coin() ? by.coin_voted[leader] : by.parents[leader]; }

const vertex* certificate(const vertex& by, const slot& where, author_index leader) {
    return where.by_coin() ? by.coin_certified[leader] : by.certified[leader];
}

// The blocks of `round` that `from` descends from by parents.
links ancestors_in(const vertex& from, round_number round) {
    links frontier{&from};
    for (auto at = from.round(); at > round; --at) {
        links next;
        for (const auto* const v : frontier)
            for (const auto* const parent : v->parents)
                if (parent) next.push_back(parent);
        std::sort(next.begin(), next.end());  // only to drop what is there twice: the order decides nothing
        next.erase(std::unique(next.begin(), next.end()), next.end());
        frontier = std::move(next);
    }
    return frontier;
}

// The leader's block that `anchor` merely refers to: what a seeded bug takes for a committed one.
const vertex* linked(const vertex& anchor, const slot& where, author_index leader) {
    for (const auto* const v : ancestors_in(anchor, where.round))
        if (v->author() == leader) return v;
    return nullptr;
}

std::optional<author_index> leader_of(const rules& by, const coin_leaders& coins, const slot& where) {
    if (!where.by_coin()) return by.leader_of(where);
    const auto known = coins.find(where.round / by.coin_interval);
    if (known == coins.end()) return std::nullopt;
    return known->second;
}

// The first slot of the window that can be the anchor of `where`, if it is committed.
const vertex* anchor_of(const rules& by, const decision_window& window, const slot& where) {
    const slot first{by.first_anchor_round(where), 0};
    auto at = std::lower_bound(window.begin(), window.end(), first, [](const decision& d, const slot& s) { return d.where < s; });
    const auto passed = [](const decision& d) {
        return d.what == verdict::skipped || (d.what == verdict::undecided && mutated(mutant::pass_undecided));
    };
    at = std::find_if_not(at, window.end(), passed);
    return at == window.end() ? nullptr : at->leader;
}

}  // namespace

decision decide_directly(const dag& in, const rules& by, const slot& where, author_index leader) {
    const auto last = by.decision_round(where);
    const auto blames = [&](const vertex& v) { return vote(v, where, leader) == nullptr; };
    if (authors_with(in, by, last - 1, blames) >= by.skip_quorum) return {where, verdict::skipped};
    for (const auto& candidate : in.at(where.round, leader)) {
        const auto certifies = [&](const vertex& v) { return certificate(v, where, leader) == candidate.get(); };
        if (authors_with(in, by, last, certifies) >= by.commit_quorum) return {where, verdict::committed, candidate.get()};
    }
    return {where};
}

decision decide_by_anchor(const rules& by, const slot& where, author_index leader, const vertex& anchor) {
    for (const auto* const v : ancestors_in(anchor, by.decision_round(where)))
        if (const auto* const certified = certificate(*v, where, leader)) return {where, verdict::committed, certified};
    if (mutated(mutant::link_is_enough))
        if (const auto* const found = linked(anchor, where, leader)) return {where, verdict::committed, found};
    return {where, verdict::skipped};
}

std::vector<decision> decide(const dag& in, const rules& by, const coin_leaders& coins, decision_window& window) {
    std::vector<decision> out;
    // From the highest slot down, since an anchor lies above what it decides.
    for (auto at = window.rbegin(); at != window.rend(); ++at) {
        if (at->what != verdict::undecided) continue;
        const auto leader = leader_of(by, coins, at->where);
        if (!leader) continue;
        *at = decide_directly(in, by, at->where, *leader);
        if (at->what == verdict::undecided)
            if (const auto* const anchor = anchor_of(by, window, at->where)) *at = decide_by_anchor(by, at->where, *leader, *anchor);
        if (at->what != verdict::undecided) out.push_back(*at);
    }
    return out;
}

void append_slots(const rules& by, round_number round, decision_window& window) {
    if (by.has_coin_slot(round)) window.push_back({{round, 0}});
    if (!by.has_deterministic_slots(round)) return;
    for (std::size_t rank = 1; rank <= by.leaders; ++rank) window.push_back({{round, static_cast<std::uint16_t>(rank)}});
}

std::vector<const vertex*> sequence(const dag& in, const rules& by, const vertex& leader) {
    const auto top = mutated(mutant::local_horizon) ? in.highest() : leader.round();
    const auto horizon = by.horizon_under(top);
    std::vector<const vertex*> out;
    links stack;
    const auto visit = [&](const vertex* v) {
        if (!v || v->round() < horizon || v->sequenced) return;
        v->sequenced = true;
        out.push_back(v);
        stack.push_back(v);
    };
    if (mutated(mutant::sequence_twice))
        for (const auto* const parent : leader.parents)
            if (parent && parent->round() != 0) parent->sequenced = false;
    visit(&leader);
    while (!stack.empty()) {
        const auto* const v = stack.back();
        stack.pop_back();
        for (const auto* const parent : v->parents) visit(parent);
        for (const auto* const older : v->weak) visit(older);
    }
    if (mutated(mutant::address_order)) std::sort(out.begin(), out.end());
    else std::sort(out.begin(), out.end(), [](const vertex* a, const vertex* b) { return a->ref() < b->ref(); });
    return out;
}

}  // namespace cess::consensus
