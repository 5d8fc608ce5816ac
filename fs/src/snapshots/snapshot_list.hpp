// The volume's snapshots as last seen, and their numbers, asked for again when that is long ago. Thread-safe; who asks may wait for the
// network, under no lock but that of askers.
#pragma once

#include <fs/filesystem.hpp>
#include <fs/snapshots.hpp>

#include <chrono>
#include <mutex>

namespace cess::fs {

struct numbered_snapshot {
    volume::snapshot_info info;
    snapshot_number number;
};

class snapshot_list {
public:
    struct rows {
        std::vector<numbered_snapshot> all;  // by their sequence
        timestamp changed;                   // when we saw them change

        [[nodiscard]] const numbered_snapshot* find(std::string_view name) const noexcept;
        [[nodiscard]] const numbered_snapshot* find(snapshot_number n) const noexcept;
    };
    using rows_ptr = std::shared_ptr<const rows>;
    using duration = std::chrono::steady_clock::duration;

    snapshot_list(snapshot_source& from, filesystem& head, bool keep_numbers) : m_from(from), m_head(head), m_keep_numbers(keep_numbers) {}

    // As it is, or was `age` ago at most.
    [[nodiscard]] answer<rows_ptr> get(duration age);
    // The same, but while somebody else asks, or nobody answers, as last seen.
    [[nodiscard]] rows_ptr known(duration age);
    [[nodiscard]] rows_ptr last_seen() const;
    void changed();  // what was asked for before now is too old

private:
    using clock = std::chrono::steady_clock;
    [[nodiscard]] rows_ptr younger_than(duration age) const;
    [[nodiscard]] answer<rows_ptr> ask();  // REQUIRES: m_asking
    [[nodiscard]] answer<rows_ptr> hear(clock::time_point began);

    snapshot_source& m_from;
    filesystem& m_head;
    const bool m_keep_numbers;
    std::mutex m_asking;
    // Guarded by m_asking: what the last one heard, for those who came before he began, and waited.
    clock::time_point m_began{};
    answer<rows_ptr> m_heard = rows_ptr();
    mutable std::mutex m_mutex;
    rows_ptr m_rows = std::make_shared<rows>();
    std::optional<clock::time_point> m_asked;  // when the asking for m_rows began
    clock::time_point m_changed{};
};

}  // namespace cess::fs
