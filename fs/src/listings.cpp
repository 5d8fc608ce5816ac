#include "context.hpp"

#include <algorithm>

namespace cess::fs {
namespace {

constexpr std::size_t run_length = 512;

auto first_past(const listing_run& run, entry_cookie after) {
    return std::upper_bound(run.entries.begin(), run.entries.end(), after,
                            [](entry_cookie cookie, const listed_entry& e) { return cookie < e.cookie; });
}

answer<listing_run_ptr> read_run(context& in, const inode& directory, entry_cookie after) {
    FS_TRY(const auto rows, in.volume.data().scan(format::listing_prefix(directory.ino), format::listing_key(directory.ino, after.next()), run_length));
    auto run = std::make_shared<listing_run>();
    run->directory = directory.ino;
    run->version = directory.version;
    run->after = after;
    run->complete = rows.size() < run_length;
    run->entries.reserve(rows.size());
    for (const auto& row : rows) {
        FS_TRY(const auto cookie, format::last_number(row.key));
        FS_TRY(auto record, store::decode<format::listing_record>(row.value));
        run->entries.push_back({entry_cookie{cookie}, record.ino, record.type, std::move(record.name)});
    }
    return listing_run_ptr(std::move(run));
}

}  // namespace

listing_run_ptr listing_cache::find(inode_number directory, std::uint64_t version, entry_cookie after) {
    const std::lock_guard lock(m_mutex);
    for (auto it = m_recent.begin(); it != m_recent.end(); ++it) {
        const auto& run = **it;
        if (run.directory != directory || run.version != version || after < run.after) continue;
        if (!run.complete && first_past(run, after) == run.entries.end()) continue;
        m_recent.splice(m_recent.begin(), m_recent, it);
        return m_recent.front();
    }
    return nullptr;
}

void listing_cache::store(listing_run_ptr run) {
    const std::lock_guard lock(m_mutex);
    m_recent.remove_if([&](const auto& other) { return other->directory == run->directory && other->version != run->version; });
    m_recent.push_front(std::move(run));
    if (m_recent.size() > runs_max) m_recent.pop_back();
}

answer<std::vector<listed_entry>> listings::list(inode_number number, entry_cookie after, std::size_t limit, bool referenced) {
    FS_TRY(const auto directory, m_in.inodes.get(number));
    std::vector<listed_entry> out;
    {
        const std::shared_lock lock(directory->mutex);
        if (directory->gone) return refuse(ESTALE);
        if (!directory->record.is_directory()) return refuse(ENOTDIR);
        if (after < entry_cookie{1} && out.size() < limit) out.push_back({entry_cookie{1}, number, S_IFDIR, "."});
        if (after < entry_cookie{2} && out.size() < limit) out.push_back({entry_cookie{2}, directory->record.parent, S_IFDIR, ".."});
        auto last = std::max(after, entry_cookie{2});
        while (out.size() < limit) {
            auto run = m_in.runs.find(number, directory->version, last);
            if (!run) {
                FS_TRY(run, read_run(m_in, *directory, last));
                m_in.runs.store(run);
            }
            for (auto it = first_past(*run, last); it != run->entries.end() && out.size() < limit; ++it) {
                if (referenced) m_in.references.add(it->ino);
                out.push_back(*it);
                last = it->cookie;
            }
            if (run->complete) break;
        }
    }
    if (after.value == 0) note_access(m_in, *directory);
    return out;
}

}  // namespace cess::fs
