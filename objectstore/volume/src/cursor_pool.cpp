#include "cursor_pool.hpp"

#include "rocks.hpp"
#include "records.hpp"

namespace cess::volume {
namespace {

constexpr std::size_t idle_max = 16;            // as many threads read at once
constexpr std::uint64_t deleted_rows_max = 256;  // passed over in one step; beyond, Status::Incomplete

const std::string past_extents(1, static_cast<char>(row::extent_kind + 1));
const rocksdb::Slice upper_bound(past_extents);

}  // namespace

cursor_pool::cursor_pool(rocksdb::DB& db) : m_db(db) {}

cursor_pool::~cursor_pool() = default;

cursor_pool::cursor cursor_pool::take() {
    const auto writes = m_writes.load(std::memory_order_acquire);
    std::vector<cursor> stale;  // destroyed without the lock
    {
        const std::lock_guard lock(m_mutex);
        if (!m_idle.empty() && m_idle.back().writes == writes) {
            auto out = std::move(m_idle.back());
            m_idle.pop_back();
            return out;
        }
        stale.swap(m_idle);
    }
    rocksdb::ReadOptions how;
    how.iterate_upper_bound = &upper_bound;
    how.max_skippable_internal_keys = deleted_rows_max;
    m_made.fetch_add(1, std::memory_order_relaxed);
    cursor out;
    out.rows.reset(m_db.NewIterator(how));
    out.writes = writes;
    return out;
}

void cursor_pool::give_back(cursor used) {
    if (used.writes != m_writes.load(std::memory_order_relaxed)) return;
    const std::lock_guard lock(m_mutex);
    if (m_idle.size() < idle_max) m_idle.push_back(std::move(used));
}

void cursor_pool::clear() {
    std::vector<cursor> gone;
    const std::lock_guard lock(m_mutex);
    gone.swap(m_idle);
}

}  // namespace cess::volume
