#include "open_files.hpp"

#include <algorithm>

namespace cess::fs {
namespace {

held_file held(std::uint64_t handle, const mounted_file& file) {
    held_file out;
    out.handle = handle;
    out.ino = file.ino;
    if (is_aside(file.ino)) return out;  // which is read, and no more
    out.writes = file.file->writes;
    out.reads = file.file->reads;
    out.keeps_access_time = file.file->keeps_access_time;
    return out;
}

}  // namespace

open_file_table::~open_file_table() {
    for (auto& each : m_chunks) {
        const std::unique_ptr<chunk> files(each.load());
        if (!files) continue;
        for (auto& file : *files) delete file.load();
    }
}

std::atomic<mounted_file*>* open_file_table::slot_of(std::uint64_t handle) const noexcept {
    const auto index = handle - 1;  // 0 becomes the largest
    if (index >= handle_max) return nullptr;
    auto* in = m_chunks[index / chunk_size].load(std::memory_order_acquire);
    return in ? &(*in)[index % chunk_size] : nullptr;
}

void open_file_table::reach(std::uint64_t handle) {
    for (auto at = m_used / chunk_size; at <= (handle - 1) / chunk_size; ++at)
        if (!m_chunks[at].load(std::memory_order_relaxed)) m_chunks[at].store(new chunk{}, std::memory_order_release);
    if (m_free.capacity() < handle) m_free.reserve(std::max<std::size_t>(2 * m_free.capacity(), handle));  // so that take() cannot fail
    for (auto number = m_used + 1; number < handle; ++number) m_free.push_back(static_cast<std::uint32_t>(number));
    m_used = handle;
}

answer<std::uint64_t> open_file_table::add(std::unique_ptr<mounted_file>& file) {
    const std::lock_guard lock(m_mutex);
    std::uint64_t handle = 0;
    if (!m_free.empty()) {
        handle = m_free.back();
        m_free.pop_back();
    } else {
        if (m_used == handle_max) return refuse(ENFILE);
        handle = m_used + 1;
        reach(handle);
    }
    slot_of(handle)->store(file.release(), std::memory_order_release);
    return handle;
}

mounted_file* open_file_table::find(std::uint64_t handle) const noexcept {
    const auto* slot = slot_of(handle);
    return slot ? slot->load(std::memory_order_acquire) : nullptr;
}

std::unique_ptr<mounted_file> open_file_table::take(std::uint64_t handle) noexcept {
    auto* slot = slot_of(handle);
    std::unique_ptr<mounted_file> file(slot ? slot->exchange(nullptr) : nullptr);
    if (file) {
        const std::lock_guard lock(m_mutex);
        m_free.push_back(static_cast<std::uint32_t>(handle));
    }
    return file;
}

answer<void> open_file_table::restore(std::uint64_t handle, std::unique_ptr<mounted_file> file) {
    if (handle == 0 || handle > handle_max || find(handle)) return refuse(EINVAL);
    const std::lock_guard lock(m_mutex);
    if (handle > m_used) reach(handle);
    else if (const auto at = std::find(m_free.begin(), m_free.end(), handle); at != m_free.end()) m_free.erase(at);
    slot_of(handle)->store(file.release(), std::memory_order_release);
    return {};
}

std::vector<held_file> open_file_table::list() const {
    const std::lock_guard lock(m_mutex);
    std::vector<held_file> out;
    for (std::uint64_t handle = 1; handle <= m_used; ++handle)
        if (const auto* file = find(handle)) out.push_back(held(handle, *file));
    return out;
}

}  // namespace cess::fs
