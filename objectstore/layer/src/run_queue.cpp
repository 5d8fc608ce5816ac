#include "run_queue.hpp"

#include <algorithm>

namespace cess::layer {
namespace {

// Whether `other` was taken into `into`.
bool join(run& into, const run& other) {
    if (into.segment->id != other.segment->id || into.ahead_of != other.ahead_of || into.before != other.before) return false;
    if ((into.count + other.count) * into.segment->block_size > run_bytes_max) return false;
    if (into.first + into.count == other.first) {
        into.count += other.count;
    } else if (other.first + other.count == into.first) {
        into.first = other.first;
        into.count += other.count;
    } else {
        return false;
    }
    into.deadline = std::max(into.deadline, other.deadline);
    return true;
}

std::optional<run> pop_from(std::deque<run>& queue) {
    if (queue.empty()) return std::nullopt;
    auto out = std::move(queue.front());
    queue.pop_front();
    const auto joined = [&out](const run& other) { return join(out, other); };
    while (std::erase_if(queue, joined) != 0) {
    }
    return out;
}

}  // namespace

void run_queue::push(run what) { (what.ahead_of ? m_ahead : m_wanted).push_back(std::move(what)); }

std::optional<run> run_queue::pop(bool ahead_too) {
    if (auto wanted = pop_from(m_wanted)) return wanted;
    return ahead_too ? pop_from(m_ahead) : std::nullopt;
}

void run_queue::hurry(const segment_id& of, std::uint64_t block) {
    const auto it = std::find_if(m_ahead.begin(), m_ahead.end(), [&](const run& r) { return r.holds(of, block); });
    if (it == m_ahead.end()) return;
    it->ahead_of.reset();
    m_wanted.push_back(std::move(*it));
    m_ahead.erase(it);
}

std::vector<run> run_queue::drop(stream_id of) {
    std::vector<run> out;
    std::erase_if(m_ahead, [&](run& r) {
        if (r.ahead_of != of) return false;
        out.push_back(std::move(r));
        return true;
    });
    return out;
}

}  // namespace cess::layer
