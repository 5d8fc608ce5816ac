#include "space.hpp"

namespace cess::volume {
namespace {

constexpr std::uint64_t metadata_reserve = 24 * MiB;   // kept for checkpoints of what was accepted
constexpr std::uint64_t comfortable = 1 * GiB;         // below it more is asked for in the background
constexpr std::uint64_t step = 4 * GiB;
constexpr auto refusal_lasts = std::chrono::seconds(1);

}  // namespace

// With a tag of 16 bytes in each block of 4 KiB, rounded up generously.
std::uint64_t space::expanded(std::uint64_t plain) const noexcept {
    const auto sealed = plain + plain / 128;
    return sealed / m_geometry.k * (m_geometry.k + m_geometry.m) + 64 * KiB;
}

result<void> space::admit(std::uint64_t plain) {
    const auto need = expanded(m_pool.unstored_bytes() + plain) + metadata_reserve;
    if (m_holder.reservation_left() >= need) return {};
    return extend(need);
}

result<void> space::extend(std::uint64_t need) {
    std::unique_lock lock(m_mutex);
    while (m_asking) m_changed.wait(lock);  // bounded: the one who asks has the ledger's deadline
    const auto left = m_holder.reservation_left();
    if (left >= need) return {};
    if (m_refusal.code != errc::ok && std::chrono::steady_clock::now() - m_refused_at < refusal_lasts) return m_refusal;
    m_asking = true;
    lock.unlock();
    auto answer = m_holder.extend_reservation(std::max(step, need - left));
    if (!answer && answer.error().code == errc::no_space) answer = m_holder.extend_reservation(need - left);
    lock.lock();
    m_asking = false;
    m_refusal = answer ? error() : answer.error();
    m_refused_at = std::chrono::steady_clock::now();
    m_changed.notify_all();
    if (answer) return {};
    return error(m_refusal.code, "room for more data: " + m_refusal.what);
}

bool space::keep_ahead() {
    const auto need = expanded(m_pool.unstored_bytes()) + comfortable;
    return m_holder.reservation_left() >= need || extend(need).has_value();
}

}  // namespace cess::volume
