#include "dirent_cache.hpp"

#include <algorithm>

namespace cess::fs {

dirent_cache::dirent_cache(std::size_t capacity_bytes) : m_shard_capacity(std::max<std::size_t>(capacity_bytes / shard_count, 4096)) {}

std::optional<dirent_cache::entry> dirent_cache::find(inode_number directory, std::string_view name) {
    const key wanted{directory.value, name};
    auto& in = shard_of(wanted);
    const std::lock_guard lock(in.mutex);
    const auto it = in.rows.find(wanted);
    if (it == in.rows.end()) return std::nullopt;
    in.recent.splice(in.recent.begin(), in.recent, it->second);
    return it->second->what;
}

void dirent_cache::store(inode_number directory, std::string_view name, const entry& what) {
    const key wanted{directory.value, name};
    auto& in = shard_of(wanted);
    const std::lock_guard lock(in.mutex);
    if (const auto it = in.rows.find(wanted); it != in.rows.end()) {
        it->second->what = what;
        in.recent.splice(in.recent.begin(), in.recent, it->second);
        return;
    }
    in.recent.push_front(row{directory, std::string(name), what});
    const auto place = in.recent.begin();
    in.rows.emplace(key{directory.value, place->name}, place);
    in.memory += place->cost();
    while (in.memory > m_shard_capacity) {
        const auto& oldest = in.recent.back();
        in.memory -= oldest.cost();
        in.rows.erase(key{oldest.directory.value, oldest.name});
        in.recent.pop_back();
    }
}

std::size_t dirent_cache::memory() const {
    std::size_t n = 0;
    for (const auto& in : m_shards) {
        const std::lock_guard lock(in.mutex);
        n += in.memory;
    }
    return n;
}

}  // namespace cess::fs
