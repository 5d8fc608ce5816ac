// Refuses data before it is taken when the network has no room for it: keeps the lease's byte reservation ahead of
// what was accepted and is not stored yet. Thread-safe; one thread at a time asks the ledger for more.
#pragma once

#include "buffer_pool.hpp"

namespace cess::volume {

class space {
public:
    space(layer::session& holder, const buffer_pool& pool, ledger::shape geometry) : m_holder(holder), m_pool(pool), m_geometry(geometry) {}
    [[nodiscard]] result<void> admit(std::uint64_t plain);
    bool keep_ahead();  // in the background; false if the ledger gave no more

private:
    [[nodiscard]] std::uint64_t expanded(std::uint64_t plain) const noexcept;
    [[nodiscard]] result<void> extend(std::uint64_t need);

    layer::session& m_holder;
    const buffer_pool& m_pool;
    const ledger::shape m_geometry;
    std::mutex m_mutex;
    std::condition_variable m_changed;
    bool m_asking = false;
    error m_refusal;
    std::chrono::steady_clock::time_point m_refused_at{};
};

}  // namespace cess::volume
