// What scrubbing knows, across restarts: the faults found and not yet mended, and how far the pass under way is.
// Thread-safe; save() blocks.
#pragma once

#include "store_files.hpp"

#include <node/storage/health.hpp>

#include <map>
#include <mutex>

namespace cess::storage {

// A copy of a fragment here, by what names it: one a (segment, index, volume).
struct copy_name {
    segment_id segment;
    std::uint8_t index = 0;
    volume_id volume;
    template <class S, class C> static void describe(S& s, C& c) { c(s.segment, s.index, s.volume); }
    friend auto operator<=>(const copy_name&, const copy_name&) = default;
};

struct scrub_progress {
    std::uint64_t started_s = 0;    // of the pass under way, seconds since 1970; 0: none
    bool fragments_done = false;
    copy_name cursor;               // the last one checked
    std::uint64_t passes = 0;
    std::uint64_t last_pass_s = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.started_s, s.fragments_done, s.cursor, s.passes, s.last_pass_s); }
};

class fault_book {
public:
    // Past so many faults the disk is beyond lists: more are refused to readers by the readers' own checks only.
    static constexpr std::size_t faults_max = 2048;
    static constexpr std::size_t leaves_max = 16;  // of one fragment; with more, none of it is served

    fault_book(os::file_system& disk, store_paths paths) : m_disk(disk), m_paths(std::move(paths)) {}
    result<void> load();  // at open
    result<void> save();  // if anything changed

    // True if that was not known in this form.
    bool note(fault what);
    // True if there was one. Of a fragment's copy; of a journal.
    bool mended(const copy_name& copy);
    bool mended(const journal_ref& journal);
    void forget(const segment_id& segment, const volume_id& volume);  // deleted, by order of the ledger

    [[nodiscard]] std::optional<fault> find(const copy_name& copy) const;
    [[nodiscard]] std::vector<journal_ref> journals() const;  // that are damaged
    [[nodiscard]] std::size_t count() const;
    [[nodiscard]] std::vector<fault> list(std::size_t limit) const;

    [[nodiscard]] scrub_progress progress() const;
    void set(const scrub_progress& to);

private:
    [[nodiscard]] std::size_t total() const { return m_fragments.size() + m_journals.size(); }  // REQUIRES: m_mutex

    os::file_system& m_disk;
    const store_paths m_paths;
    std::mutex m_saving;
    mutable std::mutex m_mutex;  // guards what follows
    std::map<copy_name, fault> m_fragments;
    std::map<journal_ref, fault> m_journals;
    scrub_progress m_progress;
    bool m_changed = false;
};

}  // namespace cess::storage
