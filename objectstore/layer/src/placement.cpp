#include "placement.hpp"

#include "recovery_poll.hpp"

#include <algorithm>
#include <set>

namespace cess::layer {

using namespace std::chrono_literals;

namespace {

constexpr net::duration standing_age = 5s;
constexpr std::uint64_t spare_space = 16 * MiB;  // a miner this close to full is left alone

struct weighted {
    placement::choice who;
    std::uint64_t weight = 0;
};

// Draws without replacement, by weight, on the env's randomness.
std::vector<placement::choice> draw(std::vector<weighted> from, random_source& random) {
    std::vector<placement::choice> out;
    while (!from.empty()) {
        std::uint64_t total = 0;
        for (const auto& w : from) total += w.weight;
        auto at = random.below(total);
        std::size_t i = 0;
        while (at >= from[i].weight) at -= from[i++].weight;
        out.push_back(std::move(from[i].who));
        from.erase(from.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return out;
}

bool is_silence(errc code) noexcept { return code == errc::timeout || code == errc::unavailable; }

}  // namespace

void placement::full(const node_id& miner) {
    const std::lock_guard hold(m_mutex);
    m_standings[miner].free = 0;
}

net::awaitable<void> placement::ask_all(miner_link& link, std::size_t count, net::time_point deadline) {
    const auto listed = link.directory().miners();
    std::vector<error> failures(listed.size());
    poll<storage::hello_reply, storage::hello_request>::question ask;
    ask.failures = &failures;
    for (const auto& node : listed) ask.miners.push_back(node.id);
    ask.method = storage::method::hello;
    ask.message.network = m_ledger.trust().network();
    ask.enough = std::min(count, listed.size());  // no more: one dead miner of count+1 would cost every round its deadline
    ask.grace = 250ms;
    ask.request = 1s;
    ask.deadline = std::min(deadline, m_world.now() + m_limits.request);
    ask.valid = [&listed](std::size_t i, const storage::hello_reply& reply) { return reply.id == listed[i].id; };
    auto answers = co_await poll<storage::hello_reply, storage::hello_request>::run(link, std::move(ask));
    const std::lock_guard hold(m_mutex);
    m_asked = m_world.now();
    m_ever_asked = true;
    for (std::size_t i = 0; i < listed.size(); ++i) {
        auto& s = m_standings[listed[i].id];
        s.answered = answers[i].has_value();
        s.failure = std::move(failures[i]);
        if (!answers[i]) continue;
        s.seen = m_asked;
        s.free = answers[i]->capacity > answers[i]->used ? answers[i]->capacity - answers[i]->used : 0;
    }
}

// Of a miner that refuses, if there is one: silence explains less.
std::string placement::last_failure(const std::vector<ledger::node_record>& listed) const {
    const error* out = nullptr;
    for (const auto& node : listed) {
        const auto found = m_standings.find(node.id);
        if (found == m_standings.end() || found->second.answered || found->second.failure.code == errc::ok) continue;
        const auto& failure = found->second.failure;
        if (!out || (!is_silence(failure.code) && is_silence(out->code))) out = &failure;
    }
    return out ? "; " + out->what : std::string();
}

net::awaitable<result<std::vector<placement::choice>>> placement::choose(miner_link& link, std::size_t count, std::uint64_t fragment_bytes,
                                                                         net::time_point deadline) {
    const net::duration list_age = 30s;
    const bool known = !link.directory().miners().empty();
    auto refreshed = co_await link.directory().refresh(list_age, std::min(deadline, m_world.now() + (known ? net::duration(1s) : m_limits.ledger)));
    if (!refreshed && !known) co_return std::move(refreshed).error();
    bool stale = false;
    {
        const std::lock_guard hold(m_mutex);
        stale = !m_ever_asked || m_world.now() - m_asked > standing_age;
    }
    if (stale) co_await ask_all(link, count, deadline);

    std::vector<weighted> good, doubtful;
    std::size_t alive = 0;
    std::string why;
    {
        const std::lock_guard hold(m_mutex);
        const auto listed = link.directory().miners();
        why = last_failure(listed);
        for (const auto& node : listed) {
            const auto& s = m_standings[node.id];
            if (!s.answered) continue;
            ++alive;
            if (s.free < fragment_bytes + spare_space) continue;
            weighted w;
            w.who.miner = node.id;
            w.who.domain = node.failure_domain;
            // What a miner says of itself draws no more than what it offered to everybody; in MiB, so that no sum overflows.
            w.weight = std::min(s.free, std::max(node.offered, spare_space)) / MiB;
            (link.directory().avoided(node.id) ? doubtful : good).push_back(std::move(w));
        }
    }
    if (alive < count) co_return error(errc::unavailable, std::to_string(count) + " storage miners are needed, " + std::to_string(alive) + " answer" + why);
    auto drawn = draw(std::move(good), m_world.random());
    for (auto& late : draw(std::move(doubtful), m_world.random())) drawn.push_back(std::move(late));
    std::vector<choice> first, rest;
    std::set<std::string> domains;
    for (auto& c : drawn) (first.size() < count && domains.insert(c.domain).second ? first : rest).push_back(std::move(c));
    if (first.size() < count)
        co_return error(errc::no_space, "storage miners of " + std::to_string(count) + " failure domains with space are needed, there are " + std::to_string(first.size()));
    for (auto& c : rest) first.push_back(std::move(c));
    co_return first;
}

}  // namespace cess::layer
