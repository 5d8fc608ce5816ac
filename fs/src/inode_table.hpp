// All inodes in memory: a bounded cache over the volume, the kernel's references, and the orphans among them.
// Thread-safe. An inode that somebody holds is never dropped; everything else goes least recently used first.
#pragma once

#include "inode.hpp"
#include "store.hpp"

#include <boost/unordered/unordered_flat_map.hpp>
#include <fs/kernel_state.hpp>

#include <array>
#include <list>
#include <unordered_map>
#include <unordered_set>

namespace cess::fs {

class inode_table {
public:
    inode_table(store& from, std::size_t capacity);

    // ESTALE when the volume has no such inode.
    [[nodiscard]] answer<inode_ptr> get(inode_number ino);
    // One that get() found or just made; REQUIRES: its record is in the volume, and nobody knows it yet.
    inode_ptr insert(inode_number ino, const format::inode_record& record);
    // Forgets the object of an inode that left the volume.
    void erase(inode_number ino);
    [[nodiscard]] std::vector<inode_number> written() const;  // that somebody has open for writing
    [[nodiscard]] std::size_t size() const;

private:
    struct slot {
        inode_ptr node;
        std::list<inode_number>::iterator place;
    };
    struct shard {
        mutable std::mutex mutex;
        std::unordered_map<std::uint64_t, slot> slots;
        std::list<inode_number> recent;  // front: newest
    };
    static constexpr std::size_t shard_count = 16;

    shard& shard_of(inode_number ino) noexcept { return m_shards[ino.value % shard_count]; }
    inode_ptr find_or_add(inode_number ino);
    inode_ptr find_or_add(shard& in, inode_number ino) const;
    void erase_unloaded(const inode& node);
    void shrink(shard& in) const;
    [[nodiscard]] answer<void> load(inode& node);

    store& m_store;
    const std::size_t m_shard_capacity;
    std::array<shard, shard_count> m_shards;
};

// How often the kernel was told of an inode and has not forgotten it. An inode without links lives on while this
// is not zero. Small (about 20 bytes an inode), since the kernel alone bounds it.
class reference_table {
public:
    void add(inode_number ino, std::uint64_t n = 1);
    [[nodiscard]] bool drop(inode_number ino, std::uint64_t n);  // true: none is left
    [[nodiscard]] bool any(inode_number ino) const;
    [[nodiscard]] std::vector<held_inode> list() const;

private:
    struct shard {
        mutable std::mutex mutex;
        boost::unordered_flat_map<std::uint64_t, std::uint64_t> counts;
    };
    static constexpr std::size_t shard_count = 16;
    std::array<shard, shard_count> m_shards;
};

// Inodes without links that are still in the volume. take() hands each to one reclaimer.
class orphan_set {
public:
    void add(inode_number ino);
    [[nodiscard]] bool take(inode_number ino);
    [[nodiscard]] std::size_t size() const noexcept { return m_size.load(); }

private:
    std::mutex m_mutex;
    std::unordered_set<std::uint64_t> m_numbers;
    std::atomic<std::size_t> m_size{0};  // so that forgetting live inodes takes no lock
};

}  // namespace cess::fs
