// Extents that were found lately, each good for as long as nothing at all is written to the store: so that small reads of a
// quiet volume need not seek in RocksDB, which costs more than to copy their bytes. Thread-safe.
#pragma once

#include "records.hpp"

#include <array>
#include <atomic>
#include <mutex>

namespace cess::volume {

class extent_memo {
public:
    // A state of the store, as changes() was before it was read.
    using state = std::uint64_t;
    [[nodiscard]] state changes() const noexcept { return m_changes.load(); }

    // While one lives, and since one lived, what was found before is not given out. REQUIRES: one at a time
    class change {
    public:
        explicit change(extent_memo& of) : m_of(of) { ++m_of.m_changes; }
        ~change() { ++m_of.m_changes; }
        change(const change&) = delete;
        change& operator=(const change&) = delete;

    private:
        extent_memo& m_of;
    };

    // The extent that covers [offset, end), if it is known.
    [[nodiscard]] std::optional<extent> find(state now, blob_id blob, std::uint64_t offset, std::uint64_t end) {
        const auto at = place(blob, offset);
        const std::lock_guard lock(m_locks[at % m_locks.size()]);
        const auto& known = m_entries[at];
        if (known.at != now || known.blob != blob || known.what.start > offset || known.what.end < end) return std::nullopt;
        return known.what;
    }
    // What a look at [offset, …) found, that began in this state.
    void keep(state then, blob_id blob, std::uint64_t offset, const extent& what) {
        if (then % 2 != 0 || then != changes()) return;  // it may have seen half of a change
        const auto at = place(blob, offset);
        const std::lock_guard lock(m_locks[at % m_locks.size()]);
        m_entries[at] = {then, blob, what};
    }

private:
    static constexpr std::size_t entries = 8192;
    static constexpr std::uint64_t unit = 8 * KiB;
    struct entry {
        state at = 1;  // of no read
        blob_id blob = 0;
        extent what;
    };
    [[nodiscard]] static std::size_t place(blob_id blob, std::uint64_t offset) noexcept { return (offset / unit + blob * 0x9e3779b97f4a7c15U) % entries; }

    std::atomic<state> m_changes{0};
    std::array<std::mutex, 64> m_locks;
    std::vector<entry> m_entries = std::vector<entry>(entries);
};

}  // namespace cess::volume
