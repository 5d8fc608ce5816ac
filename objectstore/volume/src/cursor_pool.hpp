// Iterators over the extent rows that are kept from one read to the next: making one costs more than a seek.
//
// A cursor sees the store as it was when it was made. It is used again only while nothing was written since, by the count
// of writes that is read before it is made: whoever reads after a write has returned sees that write. Idle cursors keep
// memtables and files alive that a flush would free: clear() then. Thread-safe; a cursor belongs to one thread at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace rocksdb {
class DB;
class Iterator;
}  // namespace rocksdb

namespace cess::volume {

class cursor_pool {
public:
    struct cursor {
        std::unique_ptr<rocksdb::Iterator> rows;
        std::uint64_t writes = 0;  // that it sees, at least
    };

    explicit cursor_pool(rocksdb::DB& db);
    ~cursor_pool();
    [[nodiscard]] cursor take();
    void give_back(cursor used);
    void written() noexcept { m_writes.fetch_add(1, std::memory_order_release); }  // before the write's caller hears of it
    void clear();
    [[nodiscard]] std::uint64_t made() const noexcept { return m_made.load(std::memory_order_relaxed); }

private:
    rocksdb::DB& m_db;
    std::atomic<std::uint64_t> m_writes{0};
    std::atomic<std::uint64_t> m_made{0};
    std::mutex m_mutex;
    std::vector<cursor> m_idle;
};

}  // namespace cess::volume
