#include "ahead_store.hpp"

namespace cess::layer {

bool ahead_store::reserve(std::uint64_t bytes, net::time_point now) {
    while (m_bytes + bytes > m_bytes_max && !m_order.empty() && now - m_order.front().since > patience) remove(m_order.begin(), false);
    if (m_bytes + bytes > m_bytes_max) return false;
    grow(bytes);
    m_count.asked.add(bytes);
    return true;
}

void ahead_store::release(std::uint64_t bytes, bool used) {
    shrink(bytes);
    (used ? m_count.used : m_count.wasted).add(bytes);
}

void ahead_store::add(const cache::block_key& key, plain_block data, stream_id of, net::time_point now) {
    m_order.push_back({key, std::move(data), of, now});
    const auto& what = m_order.back().data;
    m_held[key] = std::prev(m_order.end());
    if (what.of->held++ == 0) grow(what.of->data.size());
    shrink(what.data.size());
}

plain_block ahead_store::take(const cache::block_key& key) {
    const auto it = m_held.find(key);
    if (it == m_held.end()) return {};
    auto out = it->second->data;
    remove(it->second, true);
    return out;
}

void ahead_store::drop(stream_id of) {
    for (auto it = m_order.begin(); it != m_order.end();) it = it->of == of ? remove(it, false) : std::next(it);
}

ahead_store::place ahead_store::remove(place at, bool used) {
    auto& from = *at->data.of;
    if (--from.held == 0) shrink(from.data.size());
    (used ? m_count.used : m_count.wasted).add(at->data.data.size());
    m_held.erase(at->key);
    return m_order.erase(at);
}

void ahead_store::grow(std::uint64_t bytes) {
    m_bytes += bytes;
    m_count.held.add(static_cast<std::int64_t>(bytes));
}

void ahead_store::shrink(std::uint64_t bytes) {
    m_bytes -= bytes;
    m_count.held.add(-static_cast<std::int64_t>(bytes));
}

}  // namespace cess::layer
