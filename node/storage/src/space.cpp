#include "space.hpp"

#include <algorithm>
#include <utility>

namespace cess::storage {

space_claim& space_claim::operator=(space_claim&& from) noexcept {
    if (this == &from) return *this;
    if (m_of) m_of->settle(m_size, 0);
    m_of = std::exchange(from.m_of, nullptr);
    m_size = std::exchange(from.m_size, 0);
    return *this;
}

space_claim::~space_claim() {
    if (m_of) m_of->settle(m_size, 0);
}

void space_claim::keep(std::uint64_t size) {
    size = std::min(size, m_size);
    if (m_of) m_of->settle(size, size);
    m_size -= size;
}

result<space_claim> space_account::claim(std::uint64_t size) {
    auto claimed = try_claim(size);
    if (claimed || claimed.error() != errc::no_space || !m_relief || !m_relief()) return claimed;
    return try_claim(size);
}

result<space_claim> space_account::try_claim(std::uint64_t size) {
    const auto disk = m_disk.statistics(m_directory);
    if (!disk) return disk.error();
    const std::lock_guard lock(m_mutex);
    const auto taken = m_used + m_promised + m_spare;
    if (taken > m_capacity || size > m_capacity - taken)
        return error(errc::no_space, "miner is full: " + format_size(taken) + " of " + format_size(m_capacity) + " are in use");
    const auto kept_free = m_promised + m_reserve;
    if (disk->available < kept_free || size > disk->available - kept_free)
        return error(errc::no_space, "the disk under " + m_directory + " is full: " + format_size(disk->available) + " are left");
    m_promised += size;
    return space_claim(*this, size);
}

void space_account::found(std::uint64_t size) {
    const std::lock_guard lock(m_mutex);
    m_used += size;
}

void space_account::give_back(std::uint64_t size) {
    const std::lock_guard lock(m_mutex);
    m_used -= std::min(size, m_used);
}

void space_account::spare(std::uint64_t size) {
    const std::lock_guard lock(m_mutex);
    m_used -= std::min(size, m_used);
    m_spare += size;
}

void space_account::use_spare(std::uint64_t size) {
    const std::lock_guard lock(m_mutex);
    m_spare -= std::min(size, m_spare);
    m_used += size;
}

void space_account::drop_spare(std::uint64_t size) {
    const std::lock_guard lock(m_mutex);
    m_spare -= std::min(size, m_spare);
}

std::uint64_t space_account::used() const {
    const std::lock_guard lock(m_mutex);
    return m_used + m_promised;
}

void space_account::settle(std::uint64_t promised, std::uint64_t kept) {
    const std::lock_guard lock(m_mutex);
    m_promised -= std::min(promised, m_promised);
    m_used += kept;
}

}  // namespace cess::storage
