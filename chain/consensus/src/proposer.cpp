#include "mutants.hpp"

#include <chain/consensus/proposer.hpp>
#include <core/crypto/crypto.hpp>

#include <algorithm>

namespace cess::consensus {

proposer::proposer(const dag& in, const epoch_context& of, author_index self, const pacing& pace, const keys& signer, const coin& shares, const block_ref& last,
                   payload_bounds bounds)
    : m_dag(in), m_of(of), m_self(self), m_pace(pace), m_keys(signer), m_coin(shares), m_bounds(std::move(bounds)), m_last(last), m_seen(of.by.members) {}

result<void> proposer::submit(bytes item, std::optional<std::uint64_t> weight) {
    if (item.size() > limits::payload_bytes) return error(errc::too_large, "an item of payload");
    if (m_queue_bytes + item.size() > queue_bytes_max) return error(errc::exhausted, "payload waiting for a block");
    const auto heavy = weight ? *weight : weigh(item);
    enqueue({std::move(item), heavy, std::nullopt});
    return {};
}

std::list<proposer::queued>::iterator proposer::enqueue(queued what) {
    m_queue_bytes += what.item.size();
    m_queue_weight += what.weight;
    return m_queue.insert(m_queue.end(), std::move(what));
}

proposer::queued proposer::dequeue(std::list<queued>::iterator at) {
    auto out = std::move(*at);
    m_queue.erase(at);
    m_queue_bytes -= out.item.size();
    m_queue_weight -= out.weight;
    return out;
}

void proposer::contribute(block_height height, const signature& over_certificate) {
    m_contributions.emplace(height, over_certificate);
    if (m_contributions.size() > limits::certificate_signatures) m_contributions.erase(m_contributions.begin());
}

void proposer::inserted(const vertex& v) {
    m_seen[v.author()] = std::max(m_seen[v.author()], v.round());
    if (v.author() == m_self && v.ref() != m_last) made(*v.block);
    if (v.ref() == m_last) cover(v);
    else if (!v.covered) m_uncovered.emplace(v.ref(), &v);
}

void proposer::made(const named_block& own) {
    const auto round = own.ref.round;
    if (round > m_last.round) {
        m_last = own.ref;
        m_again_underway = false;
    }
    for (const auto& item : own.body().payload) {
        const auto digest = crypto::sha256(item);
        auto& newest = m_carried[digest];
        newest = std::max(newest, round);
        const auto found = m_again.find(digest);
        if (found == m_again.end() || mutated(mutant::propose_twice)) continue;
        dequeue(found->second);  // the log says that it went out again already
        m_again.erase(found);
    }
    for (const auto& [height, sig] : own.body().certificate_signatures) {
        auto& newest = m_signed[height];
        newest = std::max(newest, round);
        m_contributions.erase(height);
    }
}

void proposer::sequenced(const named_block& own) {
    for (const auto& item : own.body().payload) {
        const auto found = m_carried.find(crypto::sha256(item));
        if (found != m_carried.end() && found->second == own.ref.round) m_carried.erase(found);
    }
    for (const auto& [height, sig] : own.body().certificate_signatures) {
        const auto found = m_signed.find(height);
        if (found != m_signed.end() && found->second == own.ref.round) m_signed.erase(found);
    }
}

void proposer::forgo(const named_block& own) {
    for (const auto& item : own.body().payload) {
        const auto digest = crypto::sha256(item);
        const auto found = m_carried.find(digest);
        if (found == m_carried.end() || found->second != own.ref.round) continue;
        m_carried.erase(found);
        if (mutated(mutant::forget_payload)) continue;
        m_again.emplace(digest, enqueue({item, weigh(item), digest}));
    }
    for (const auto& [height, sig] : own.body().certificate_signatures) {
        const auto found = m_signed.find(height);
        if (found == m_signed.end() || found->second != own.ref.round) continue;
        m_signed.erase(found);
        contribute(height, sig);
    }
}

bool proposer::carried_from(round_number round) const {
    if (mutated(mutant::leave_payload)) return true;
    return m_again.empty() && !m_again_underway &&
           std::all_of(m_carried.begin(), m_carried.end(), [round](const auto& item) { return item.second >= round; });
}

void proposer::collect(round_number floor) {
    for (auto round = m_dag.floor(); round < floor; ++round)
        for (const auto& own : m_dag.at(round, m_self))
            if (!own->sequenced) forgo(*own->block);
    while (!m_uncovered.empty() && m_uncovered.begin()->first.round < floor) m_uncovered.erase(m_uncovered.begin());
}

std::vector<bytes> proposer::unsequenced() const {
    std::vector<bytes> out;
    if (mutated(mutant::drop_unsequenced)) return out;
    for (auto round = m_dag.floor(); round <= m_last.round; ++round) {
        for (const auto& own : m_dag.at(round, m_self)) {
            for (const auto& item : own->block->body().payload) {
                const auto newest = m_carried.find(crypto::sha256(item));
                if (!own->sequenced && newest != m_carried.end() && newest->second == round) out.push_back(item);
            }
        }
    }
    for (const auto& waiting : m_queue) out.push_back(waiting.item);
    return out;
}

// The round after the own newest, with a quorum of parents; or, if the others are far ahead, the one that they are about to
// make. Likewise if the own newest is forgotten: nothing can be made on top of that. 0 = none.
round_number proposer::target() const {
    const auto quorum = [this](round_number round) { return m_dag.authors_in(round) >= m_of.by.parent_quorum; };
    auto newest = m_dag.highest();
    while (newest > m_last.round && !quorum(newest)) --newest;
    if (newest > m_last.round + jump_after || m_last.round < m_dag.floor()) return newest + 1;
    return quorum(m_last.round) ? m_last.round + 1 : 0;
}

bool proposer::leaders_here(round_number round) const {
    const auto here = [&](author_index author) {
        return !m_dag.at(round, author).empty() || m_seen[author] + recently < round;
    };
    if (!m_of.by.has_deterministic_slots(round)) {
        for (std::size_t author = 0; author < m_of.by.members; ++author)
            if (!here(static_cast<author_index>(author))) return false;
        return true;
    }
    for (std::size_t rank = 1; rank <= m_of.by.leaders; ++rank)
        if (!here(m_of.by.leader_of({round, static_cast<std::uint16_t>(rank)}))) return false;
    return true;
}

instant proposer::due_at(round_number round, instant now, bool idle) const {
    if (m_dag.authors_in(round) >= m_of.by.parent_quorum) return now;  // late already
    auto at = leaders_here(round - 1) ? now : m_quorum_at + m_pace.leader_wait;
    // What is carried waits for rounds to come, clients wait for signatures; who rests makes the others, who follow, rest.
    const bool nothing_to_say = m_closed || (m_queue.empty() && m_carried.empty());
    const bool rests = idle && nothing_to_say && m_contributions.empty() && m_dag.authors_in(round) == 0;
    if (m_last.round > 0) at = std::max(at, m_last_at + (rests ? m_pace.heartbeat : m_pace.round_min));
    return at;
}

block_ptr proposer::propose(instant now, bool idle, std::optional<instant>& wake) {
    const auto round = m_silent ? 0 : target();
    if (round == 0) return nullptr;
    if (m_waiting_for != round) {
        m_waiting_for = round;
        m_quorum_at = now;
    }
    if (const auto at = due_at(round, now, idle); at > now) {
        wake = wake ? std::min(*wake, at) : at;
        return nullptr;
    }
    m_last_at = now;
    block made;
    made.body = compose(round);
    made.sig = m_keys.sign(digest_of(made.body));
    return named(std::move(made));
}

block_body proposer::compose(round_number round) {
    block_body out;
    out.network = m_of.network;
    out.epoch = m_of.epoch;
    out.round = round;
    out.author = m_self;
    add_links(out);
    take_payload(out);
    if (const auto coin = m_of.by.coin_revealed_in(round)) out.coin_share = m_coin.share(*coin);
    out.certificate_signatures.assign(m_contributions.begin(), m_contributions.end());
    m_contributions.clear();
    out.durable_watermark = m_last.round;
    out.closing = m_wishes_close;
    return out;
}

void proposer::add_links(block_body& to) {
    for (std::size_t author = 0; author < m_of.by.members; ++author) {
        const auto& copies = m_dag.at(to.round - 1, static_cast<author_index>(author));
        if (copies.empty()) continue;
        to.parents.push_back(copies.front()->ref());
        cover(*copies.front());
    }
    if (m_last.round + 1 < to.round) to.weak.push_back(m_last);  // it jumped
    if (mutated(mutant::no_weak_links)) return;
    // The newest first, since they cover the older ones.
    for (auto at = m_uncovered.end(); at != m_uncovered.begin() && to.weak.size() < limits::weak_links;) {
        const auto& v = *(--at)->second;
        if (v.round() + m_of.by.depth < to.round && !mutated(mutant::link_to_forgotten)) break;
        const auto same_place = [&v](const block_ref& ref) { return ref.round == v.round() && ref.author == v.author(); };
        if (v.round() + 1 >= to.round || std::any_of(to.weak.begin(), to.weak.end(), same_place)) continue;
        to.weak.push_back(v.ref());
        cover(v);
        at = m_uncovered.lower_bound(to.weak.back());
    }
    std::sort(to.weak.begin(), to.weak.end());
}

// Marks the history of what an own block links to, each block once.
void proposer::cover(const vertex& from) {
    std::vector<const vertex*> stack;
    const auto visit = [&](const vertex* v) {
        if (!v || v->covered) return;
        v->covered = true;
        m_uncovered.erase(v->ref());
        stack.push_back(v);
    };
    visit(&from);
    while (!stack.empty()) {
        const auto* const v = stack.back();
        stack.pop_back();
        for (const auto* const parent : v->parents) visit(parent);
        for (const auto* const older : v->weak) visit(older);
    }
}

void proposer::take_payload(block_body& to) {
    // While nothing is sequenced the DAG grows; it may not with payload.
    if (m_closed || m_dag.highest() - m_dag.floor() > payload_depths * m_of.by.depth) return;
    std::size_t size = 0;
    std::uint64_t weight = 0;
    while (!m_queue.empty() && to.payload.size() < std::min(limits::payload_items, m_bounds.block_items)) {
        size += m_queue.front().item.size();
        weight += m_queue.front().weight;
        if (size > limits::payload_bytes) return;
        if (!to.payload.empty() && weight > m_bounds.block_weight) return;
        auto next = dequeue(m_queue.begin());
        if (next.again) {
            m_again.erase(*next.again);
            m_again_underway = true;
        }
        to.payload.push_back(std::move(next.item));
    }
}

}  // namespace cess::consensus
