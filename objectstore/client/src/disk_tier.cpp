#include "disk_tier.hpp"

#include <core/base/log.hpp>

#include <sys/stat.h>

namespace cess::client {
namespace {

// What is free below `below` for the file of folder `own`: what it has already is, what the others may still grow by is not.
result<std::uint64_t> room_for(os::file_system& disk, const std::string& below, unsigned own) {
    TRY(const auto there, disk.statistics(below));
    auto room = there.available;
    std::uint64_t promised = 0;
    for (unsigned i = 0; i < disk_tier::folders_max; ++i) {
        struct stat of {};
        if (::stat((below + "/" + std::to_string(i) + "/blocks").c_str(), &of) != 0) continue;
        const auto taken = static_cast<std::uint64_t>(of.st_blocks) * 512, size = static_cast<std::uint64_t>(of.st_size);
        if (i == own)
            room += taken;
        else if (size > taken)
            promised += size - taken;
    }
    return room > promised ? room - promised : 0;
}

}  // namespace

disk_tier::disk_tier(const config& how, const memory_budget& budget, const chain::account& who) : m_below(how.cache_directory) {
    m_how.capacity = how.cache_disk_size;
    if (m_how.capacity == 0) return;
    m_how.memory_max = std::min(cache::disk_memory_wanted(m_how.capacity), budget.cache_index());
    m_how.key = crypto::hkdf(who.wrapping, {}, "cess disk cache v1");
}

void disk_tier::open_behind(cache::tiered_cache& front, random_source& random, metrics& count) {
    if (m_how.capacity == 0) return;
    const std::lock_guard lock(m_mutex);
    if (std::exchange(m_tried, true)) return;
    auto made = open(random, count);
    if (made)
        front.put_behind(std::move(*made));
    else
        log::warn("client", "no disk cache in {}: {}", m_below, made.error().message());
}

result<std::unique_ptr<cache::disk_cache>> disk_tier::open(random_source& random, metrics& count) {
    auto& disk = os::posix_file_system();
    for (unsigned i = 0; i < folders_max; ++i) {
        m_how.directory = m_below + "/" + std::to_string(i);
        CHECK_OK(disk.make_directories(m_how.directory));
        auto lock = os::directory_lock::take(m_how.directory);
        if (!lock && lock.error().code == errc::busy) continue;
        if (!lock) return std::move(lock).error();
        m_lock = std::move(*lock);
        TRY(const auto room, room_for(disk, m_below, i));
        m_how.capacity = std::min(m_how.capacity, room / 2);
        if (m_how.capacity < cache_disk_min) return error(errc::no_space, "only " + format_size(room) + " are free, of which it would use half");
        return cache::disk_cache::open(disk, m_how, random, count);
    }
    return error(errc::busy, "each of its " + std::to_string(folders_max) + " folders is in use by another process");
}

}  // namespace cess::client
