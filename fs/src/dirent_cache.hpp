// Where names lead, and which names lead nowhere: a bounded cache of directory entries. Thread-safe.
// It is right because a directory's entries are read into it under the directory's lock, shared at least, and
// changed under the exclusive one after the change was applied.
#pragma once

#include "format.hpp"

#include <array>
#include <list>
#include <mutex>
#include <unordered_map>

namespace cess::fs {

class dirent_cache {
public:
    using entry = std::optional<format::dirent_record>;  // empty: there is no such name

    explicit dirent_cache(std::size_t capacity_bytes);

    [[nodiscard]] std::optional<entry> find(inode_number directory, std::string_view name);
    void store(inode_number directory, std::string_view name, const entry& what);
    [[nodiscard]] std::size_t memory() const;

private:
    struct row {
        inode_number directory;
        std::string name;
        entry what;
        [[nodiscard]] std::size_t cost() const noexcept { return 192 + name.size(); }
    };
    struct key {
        std::uint64_t directory;
        std::string_view name;  // of the row, which does not move
        bool operator==(const key&) const = default;
    };
    struct key_hash {
        std::size_t operator()(const key& k) const noexcept {
            return std::hash<std::string_view>()(k.name) ^ (k.directory * 0x9e3779b97f4a7c15ULL);
        }
    };
    struct shard {
        mutable std::mutex mutex;
        std::list<row> recent;  // front: newest
        std::unordered_map<key, std::list<row>::iterator, key_hash> rows;
        std::size_t memory = 0;
    };
    static constexpr std::size_t shard_count = 16;

    shard& shard_of(const key& k) noexcept { return m_shards[(key_hash()(k) >> 7) % shard_count]; }

    const std::size_t m_shard_capacity;
    std::array<shard, shard_count> m_shards;
};

}  // namespace cess::fs
