#include "spare_files.hpp"

#include "store_files.hpp"

#include <core/base/log.hpp>

namespace cess::storage {

std::optional<std::string> spare_files::place() {
    const std::lock_guard lock(m_mutex);
    if (m_spares.size() >= m_count_max) return std::nullopt;
    return m_directory + "/spare-" + hex_number(m_named++);
}

void spare_files::add(spare what) {
    m_space.spare(what.size);
    const std::lock_guard lock(m_mutex);
    m_spares.push_back(std::move(what));
}

std::optional<spare_files::spare> spare_files::take() {
    const std::lock_guard lock(m_mutex);
    if (m_spares.empty()) return std::nullopt;
    auto out = std::move(m_spares.back());
    m_spares.pop_back();
    m_space.use_spare(out.size);
    return out;
}

void spare_files::discard(const spare& what) {
    m_space.give_back(what.size);
    remove(what.path);
}

bool spare_files::drop_all() {
    std::vector<spare> all;
    {
        const std::lock_guard lock(m_mutex);
        all.swap(m_spares);
    }
    for (const auto& each : all) {
        remove(each.path);
        m_space.drop_spare(each.size);
    }
    return !all.empty();
}

// What cannot be removed goes at the next start.
void spare_files::remove(const std::string& path) {
    if (!m_disk.exists(path)) return;
    if (auto removed = m_disk.remove(path); !removed) log::warn("storage", "{}", removed.error().message());
}

}  // namespace cess::storage
