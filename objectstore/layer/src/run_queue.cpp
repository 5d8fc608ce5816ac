#include "run_queue.hpp"

#include <algorithm>
#include <iterator>

namespace cess::layer {
namespace {

bool may_join(const run& one, const run& other) {
    return one.segment->id == other.segment->id && one.ahead_of == other.ahead_of && one.before == other.before &&
           one.of_stream == other.of_stream && one.looked_behind == other.looked_behind && (one.count + other.count) * one.segment->block_size <= run_bytes_max;
}

}  // namespace

// ---- one line --------------------------------------------------------------------------------------------

void run_queue::line::push(run what) {
    const start at(what.segment->id, what.first);
    m_order.push_back(std::move(what));
    m_places.emplace(at, std::prev(m_order.end()));
}

run run_queue::line::remove(places::iterator which) {
    auto out = std::move(*which->second);
    m_order.erase(which->second);
    m_places.erase(which);
    return out;
}

std::optional<run> run_queue::line::pop() {
    if (m_order.empty()) return std::nullopt;
    auto first = m_places.lower_bound({m_order.front().segment->id, m_order.front().first});
    while (first->second != m_order.begin()) ++first;  // of several that begin there
    auto out = remove(first);
    while (join_next(out) || join_previous(out)) {
    }
    return out;
}

bool run_queue::line::join_next(run& into) {
    const auto next = m_places.find({into.segment->id, into.first + into.count});
    if (next == m_places.end() || !may_join(into, *next->second)) return false;
    const auto taken = remove(next);
    into.count += taken.count;
    into.deadline = std::max(into.deadline, taken.deadline);
    return true;
}

bool run_queue::line::join_previous(run& into) {
    const auto after = m_places.lower_bound({into.segment->id, into.first});
    if (after == m_places.begin()) return false;
    const auto previous = std::prev(after);
    const auto& before = *previous->second;
    if (before.first + before.count != into.first || !may_join(into, before)) return false;
    const auto taken = remove(previous);
    into.first = taken.first;
    into.count += taken.count;
    into.deadline = std::max(into.deadline, taken.deadline);
    return true;
}

std::optional<run> run_queue::line::take(const segment_id& of, std::uint64_t block) {
    const auto after = m_places.upper_bound({of, block});
    if (after == m_places.begin()) return std::nullopt;
    const auto nearest = std::prev(after);
    if (!nearest->second->holds(of, block)) return std::nullopt;
    return remove(nearest);
}

std::vector<run> run_queue::line::drop(stream_id of) {
    std::vector<run> out;
    for (auto it = m_places.begin(); it != m_places.end();) {
        const auto here = it++;
        if (here->second->ahead_of == of) out.push_back(remove(here));
    }
    return out;
}

// ---- both ------------------------------------------------------------------------------------------------

void run_queue::push(run what) { (what.ahead_of ? m_ahead : m_wanted).push(std::move(what)); }

std::optional<run> run_queue::pop(bool ahead_too) {
    if (auto wanted = m_wanted.pop()) return wanted;
    return ahead_too ? m_ahead.pop() : std::nullopt;
}

void run_queue::hurry(const segment_id& of, std::uint64_t block) {
    auto wanted = m_ahead.take(of, block);
    if (!wanted) return;
    wanted->ahead_of.reset();
    m_wanted.push(std::move(*wanted));
}

std::vector<run> run_queue::drop(stream_id of) { return m_ahead.drop(of); }

}  // namespace cess::layer
