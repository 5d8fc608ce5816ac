#include "snapshot_list.hpp"

#include <algorithm>
#include <ctime>

namespace cess::fs {
namespace {

timestamp now() {
    timespec t{};
    ::clock_gettime(CLOCK_REALTIME, &t);
    return {t.tv_sec, static_cast<std::uint32_t>(t.tv_nsec)};
}

bool same(const numbered_snapshot& a, const numbered_snapshot& b) { return a.info.at == b.info.at && a.info.name == b.info.name; }

}  // namespace

const numbered_snapshot* snapshot_list::rows::find(std::string_view name) const noexcept {
    const auto it = std::find_if(all.begin(), all.end(), [&](const auto& s) { return s.info.name == name; });
    return it == all.end() ? nullptr : &*it;
}

const numbered_snapshot* snapshot_list::rows::find(snapshot_number n) const noexcept {
    const auto it = std::find_if(all.begin(), all.end(), [&](const auto& s) { return s.number == n; });
    return it == all.end() || n.value == 0 ? nullptr : &*it;
}

snapshot_list::rows_ptr snapshot_list::last_seen() const {
    const std::lock_guard lock(m_mutex);
    return m_rows;
}

void snapshot_list::changed() {
    const std::lock_guard lock(m_mutex);
    m_changed = clock::now();
}

snapshot_list::rows_ptr snapshot_list::younger_than(duration age) const {
    const std::lock_guard lock(m_mutex);
    const bool young = m_asked && *m_asked > m_changed && clock::now() - *m_asked <= age;
    return young ? m_rows : nullptr;
}

answer<snapshot_list::rows_ptr> snapshot_list::ask() {
    m_began = clock::now();  // what changes while we ask may be missing in the answer
    m_heard = hear(m_began);
    return m_heard;
}

answer<snapshot_list::rows_ptr> snapshot_list::hear(clock::time_point began) {
    FS_TRY(auto all, m_from.list());
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
    std::vector<sequence_number> sequences;
    for (const auto& each : all) sequences.push_back(each.at);
    FS_TRY(const auto numbers, m_head.number_snapshots(sequences, m_keep_numbers));
    std::vector<numbered_snapshot> now_there;
    for (std::size_t i = 0; i < all.size(); ++i) now_there.push_back({std::move(all[i]), numbers[i]});
    const std::lock_guard lock(m_mutex);
    const bool unchanged = m_asked && std::equal(now_there.begin(), now_there.end(), m_rows->all.begin(), m_rows->all.end(), same);
    m_rows = std::make_shared<const rows>(rows{std::move(now_there), unchanged ? m_rows->changed : now()});
    m_asked = began;
    return m_rows;
}

answer<snapshot_list::rows_ptr> snapshot_list::get(duration age) {
    if (auto young = younger_than(age)) return young;
    const auto came = clock::now();
    const std::lock_guard asking(m_asking);
    if (auto young = younger_than(age)) return young;
    return m_began > came ? m_heard : ask();
}

snapshot_list::rows_ptr snapshot_list::known(duration age) {
    if (auto young = younger_than(age)) return young;
    std::unique_lock asking(m_asking, std::defer_lock);
    if (last_seen()->changed == timestamp{}) asking.lock();  // nobody has seen any yet
    else if (!asking.try_lock()) return last_seen();
    if (const auto asked = ask()) return *asked;
    return last_seen();
}

}  // namespace cess::fs
