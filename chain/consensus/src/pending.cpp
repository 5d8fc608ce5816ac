#include <chain/consensus/pending.hpp>

#include <algorithm>

namespace cess::consensus {

bool pending::backed(const block_ref& what) const {
    const auto found = m_wanted.find(what);
    return found != m_wanted.end() && found->second.backed;
}

bool pending::backed_by(const block_ref& what, std::size_t authors) const {
    std::set<author_index> found;
    std::set<block_ref> seen;
    std::vector<block_ref> stack{what};
    while (!stack.empty() && found.size() < authors) {
        const auto entry = m_wanted.find(stack.back());
        stack.pop_back();
        if (entry == m_wanted.end()) continue;
        for (const auto& by : entry->second.by) {
            found.insert(by.author);
            if (seen.insert(by).second) stack.push_back(by);
        }
    }
    return found.size() >= authors;
}

// Whom to send away for it: nobody, if there is room; none, if those who would have to go come before it.
std::optional<std::vector<block_ref>> pending::make_room(const named_block& block, std::size_t names) const {
    const auto& own = m_accounts[block.ref.author];
    auto blocks_left = own.waiting.size(), bytes_left = own.bytes, names_left = own.names;
    const auto bytes = memory_of(block.body());
    const auto fits = [&] {
        return blocks_left == 0 || (blocks_left < blocks_an_author && bytes_left + bytes <= bytes_an_author && names_left + names <= names_an_author);
    };
    std::vector<block_ref> out;
    for (const bool of_the_backed : {false, true}) {
        for (auto at = own.waiting.rbegin(); at != own.waiting.rend() && !fits(); ++at) {
            if (backed(*at) != of_the_backed) continue;
            if (backed(block.ref) == of_the_backed && at->round <= block.ref.round) break;
            const auto& other = m_waiting.at(*at);
            --blocks_left;
            bytes_left -= memory_of(other.block->body());
            names_left -= other.missing.size();
            out.push_back(*at);
        }
        if (fits()) return out;
        if (!backed(block.ref)) break;
    }
    return std::nullopt;
}

bool pending::has_room(const named_block& block, const std::vector<block_ref>& missing) const { return make_room(block, missing.size()).has_value(); }

bool pending::add(block_ptr block, const std::vector<block_ref>& missing, author_index from) {
    const auto room = make_room(*block, missing.size());
    if (!room) return false;
    for (const auto& other : *room) drop(other);
    const auto ref = block->ref;
    auto& own = m_accounts[ref.author];
    own.waiting.insert(ref);
    own.bytes += memory_of(block->body());
    own.names += missing.size();
    m_waiting.emplace(ref, waiting{std::move(block), missing, missing.size()});
    if (const auto entry = m_wanted.find(ref); entry != m_wanted.end()) unqueue(ref, entry->second);
    for (const auto& absent : missing) {
        auto& entry = m_wanted.try_emplace(absent, wanted{{}, false, from == m_self ? after(from) : from}).first->second;
        entry.by.push_back(ref);
        if (!holds(absent)) own.due.emplace(entry.at, absent);
        if (absent.author != ref.author || backed(ref)) back(absent);
    }
    return true;
}

// With all of its author's that it waits for; what it waits for of others is backed by itself.
void pending::back(const block_ref& what) {
    std::vector<block_ref> stack{what};
    while (!stack.empty()) {
        const auto ref = stack.back();
        stack.pop_back();
        const auto entry = m_wanted.find(ref);
        if (entry == m_wanted.end() || entry->second.backed) continue;
        entry->second.backed = true;
        const auto waiter = m_waiting.find(ref);
        if (waiter == m_waiting.end()) continue;
        for (const auto& absent : waiter->second.missing)
            if (absent.author == ref.author) stack.push_back(absent);
    }
}

// It waits no more. If something waits for it, it is absent again unless it arrives.
void pending::leave(std::map<block_ref, waiting>::iterator who) {
    const auto ref = who->first;
    auto& own = m_accounts[ref.author];
    own.waiting.erase(ref);
    own.bytes -= memory_of(who->second.block->body());
    own.names -= who->second.missing.size();
    m_waiting.erase(who);
    if (const auto entry = m_wanted.find(ref); entry != m_wanted.end()) queue(ref, entry->second);
}

void pending::drop(const block_ref& what) {
    const auto who = m_waiting.find(what);
    for (const auto& absent : who->second.missing) {
        const auto entry = m_wanted.find(absent);
        if (entry == m_wanted.end()) continue;
        unqueue(absent, entry->second);
        std::erase(entry->second.by, what);
        if (entry->second.by.empty()) m_wanted.erase(entry);
        else if (!holds(absent)) queue(absent, entry->second);
    }
    leave(who);
}

std::vector<block_ptr> pending::arrived(const block_ref& what) {
    std::vector<block_ptr> out;
    const auto found = m_wanted.find(what);
    if (found == m_wanted.end()) return out;
    unqueue(what, found->second);
    const auto by = std::move(found->second.by);
    m_wanted.erase(found);
    for (const auto& ref : by) {
        const auto waiter = m_waiting.find(ref);
        if (--waiter->second.left > 0) continue;
        out.push_back(waiter->second.block);
        leave(waiter);
    }
    return out;
}

void pending::queue(const block_ref& what, const wanted& entry) {
    for (const auto& by : entry.by) m_accounts[by.author].due.emplace(entry.at, what);
}

void pending::unqueue(const block_ref& what, const wanted& entry) {
    for (const auto& by : entry.by) m_accounts[by.author].due.erase({entry.at, what});
}

author_index pending::after(author_index peer) const noexcept {
    auto next = static_cast<author_index>((peer + 1U) % m_accounts.size());
    if (next == m_self) next = static_cast<author_index>((next + 1U) % m_accounts.size());
    return next;
}

void pending::due(instant now, std::vector<request>& out) {
    requests_by_peer of_peer;
    for (bool more = true; more;) {
        more = false;
        for (std::size_t i = 0; i < m_accounts.size(); ++i)
            more = ask_for(m_accounts[(m_turn + i) % m_accounts.size()], now, of_peer) || more;
    }
    if (!of_peer.empty()) m_turn = (m_turn + 1) % m_accounts.size();
    for (auto& [peer, list] : of_peer) out.push_back({peer, std::move(list), std::nullopt});
}

// The one block that this author's have waited for the longest, if its turn has come.
bool pending::ask_for(account& whose, instant now, requests_by_peer& out) {
    if (whose.due.empty() || whose.due.begin()->first > now) return false;
    if (now >= whose.window + m_retry) whose.window = now, whose.asked = 0;
    if (whose.asked == asked_for_an_author) return false;
    const auto ref = whose.due.begin()->second;
    auto& entry = m_wanted.at(ref);
    auto peer = entry.ask;
    for (std::size_t tried = 0; out[peer].size() == blocks_a_request; peer = after(peer))
        if (++tried == m_accounts.size()) return false;
    out[peer].push_back(ref);
    unqueue(ref, entry);
    entry.ask = after(peer);
    entry.at = now + (m_retry << std::min<std::size_t>(entry.asked++ / m_accounts.size(), doublings_max));
    queue(ref, entry);
    ++whose.asked;
    return true;
}

std::optional<instant> pending::next_due() const {
    std::optional<instant> out;
    for (const auto& own : m_accounts) {
        if (own.due.empty()) continue;
        auto at = own.due.begin()->first;
        if (own.asked == asked_for_an_author) at = std::max(at, own.window + m_retry);
        if (!out || at < *out) out = at;
    }
    return out;
}

void pending::collect(round_number floor) {
    std::vector<block_ref> below;
    for (auto at = m_waiting.begin(); at != m_waiting.end() && at->first.round < floor; ++at) below.push_back(at->first);
    // Downwards: what only a forgotten one waited for goes with it.
    for (auto at = below.rbegin(); at != below.rend(); ++at)
        if (!wants(*at)) drop(*at);
}

}  // namespace cess::consensus
