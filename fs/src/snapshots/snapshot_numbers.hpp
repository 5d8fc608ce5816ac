// Small numbers for the volume's snapshots, by which a mount tells their inodes apart: a sequence takes too many bits. Each is given
// out once in the life of the volume, when a mount first sees the snapshot, and kept in the volume until the snapshot is gone.
// Thread-safe.
#pragma once

#include "store.hpp"

#include <fs/kernel_state.hpp>

#include <map>
#include <mutex>

namespace cess::fs {

class snapshot_numbers {
public:
    explicit snapshot_numbers(store& in) : m_store(in) {}
    // Of each of `all` that there are, in their order; 0 for one that came when all were used up. Those that it gives out are
    // durable when it returns, if it is to `keep` them: they are this mount's only if it is not.
    [[nodiscard]] answer<std::vector<snapshot_number>> of(const std::vector<sequence_number>& all, bool keep);
    // For a mount that is taken over: the numbers that were not kept must be the same, too. restore() before any of().
    [[nodiscard]] std::vector<held_snapshot> list() const;
    void restore(const std::vector<held_snapshot>& numbers);

private:
    [[nodiscard]] answer<void> load();
    [[nodiscard]] answer<void> give_out(const std::vector<sequence_number>& all, bool keep);

    store& m_store;
    mutable std::mutex m_mutex;
    bool m_loaded = false;
    snapshot_number m_next{1};
    std::map<sequence_number, snapshot_number> m_numbers;
};

}  // namespace cess::fs
