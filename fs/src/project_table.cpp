#include "project_table.hpp"

#include <algorithm>

namespace cess::fs {
namespace {

std::uint64_t sum(std::uint64_t now, std::int64_t by) noexcept {
    if (by >= 0) return now + static_cast<std::uint64_t>(by);
    return now - std::min(now, static_cast<std::uint64_t>(-by));
}

bool exceeds(std::uint64_t used, std::int64_t by, std::uint64_t limit) noexcept { return by > 0 && limit > 0 && used > limit; }

}  // namespace

answer<void> project_table::load() {
    FS_TRY(const auto rows, m_store.data().scan(format::quota_prefix(), {}, projects_max));
    for (const auto& row : rows) {
        FS_TRY(const auto number, format::last_number(row.key));
        auto loaded = std::make_shared<project>();
        FS_TRY(loaded->record, store::decode<format::quota_record>(row.value));
        m_projects.emplace(project_id{number}, std::move(loaded));
    }
    return {};
}

project_table::project_ptr project_table::get(project_id of) const {
    if (of.value == 0) return nullptr;
    const std::shared_lock lock(m_mutex);
    const auto it = m_projects.find(of);
    return it == m_projects.end() ? nullptr : it->second;
}

project_id project_table::live(project_id of) const {
    if (of.value == 0) return {};
    const std::shared_lock lock(m_mutex);
    return m_projects.contains(of) ? of : project_id{};
}

std::optional<format::quota_record> project_table::find(project_id of) const {
    const auto found = get(of);
    if (!found) return std::nullopt;
    const std::lock_guard lock(found->mutex);
    return found->record;
}

std::optional<std::pair<project_id, format::quota_record>> project_table::next(project_id after) const {
    std::pair<project_id, project_ptr> found;
    {
        const std::shared_lock lock(m_mutex);
        const auto it = m_projects.upper_bound(after);
        if (it == m_projects.end()) return std::nullopt;
        found = *it;
    }
    const std::lock_guard lock(found.second->mutex);
    return std::pair(found.first, found.second->record);
}

std::vector<std::pair<project_id, format::quota_record>> project_table::all() const {
    std::vector<std::pair<project_id, format::quota_record>> out;
    for (auto at = next({}); at; at = next(at->first)) out.push_back(*at);
    return out;
}

project_id project_table::first_counting(project_id after) const {
    for (auto at = next(after); at; at = next(at->first))
        if (at->second.counting) return at->first;
    return {};
}

std::size_t project_table::size() const {
    const std::shared_lock lock(m_mutex);
    return m_projects.size();
}

answer<void> project_table::apply(volume::change& change, project_id of, use_change by, quota_rule rule) {
    const auto to = by.bytes == 0 && by.files == 0 ? nullptr : get(of);
    if (!to) return m_store.apply(change);
    const std::lock_guard lock(to->changing);
    if (to->ended) return m_store.apply(change);
    auto next = to->record;
    next.bytes = sum(next.bytes, by.bytes);
    next.files = sum(next.files, by.files);
    const bool full = exceeds(next.bytes, by.bytes, next.bytes_max) || exceeds(next.files, by.files, next.files_max);
    if (full && rule == quota_rule::enforced) return refuse(EDQUOT);
    change.put(format::quota_key(of), wire::encode(next));
    FS_CHECK(m_store.apply(change));
    to->set(next);
    return {};
}

answer<void> project_table::begin(volume::change& change, project_id of, const format::quota_record& record) {
    auto made = std::make_shared<project>();
    made->record = record;
    change.put(format::quota_key(of), wire::encode(record));
    decltype(m_projects) row;  // its memory is there before the change
    row.emplace(of, std::move(made));
    FS_CHECK(m_store.apply(change));
    const std::lock_guard lock(m_mutex);
    m_projects.merge(row);
    return {};
}

template <class Edit>
answer<void> project_table::edit(project_id of, Edit&& how) {
    const auto to = get(of);
    if (!to) return refuse(ENODATA);
    const std::lock_guard lock(to->changing);
    if (to->ended) return refuse(ENODATA);
    auto next = to->record;
    how(next);
    volume::change change;
    change.put(format::quota_key(of), wire::encode(next));
    FS_CHECK(m_store.apply(change));
    to->set(next);
    return {};
}

answer<void> project_table::set_limits(project_id of, quota_limits to) {
    return edit(of, [&](format::quota_record& next) { next.bytes_max = to.bytes, next.files_max = to.files; });
}

answer<void> project_table::set_counted(project_id of) {
    return edit(of, [](format::quota_record& next) { next.counting = false; });
}

answer<void> project_table::end(volume::change& change, project_id of) {
    const auto ending = get(of);
    if (!ending) return m_store.apply(change);
    std::unique_lock lock(ending->changing);
    if (ending->ended) return m_store.apply(change);
    change.erase(format::quota_key(of));
    FS_CHECK(m_store.apply(change));
    ending->ended = true;
    lock.unlock();
    const std::lock_guard table_lock(m_mutex);
    m_projects.erase(of);
    return {};
}

}  // namespace cess::fs
