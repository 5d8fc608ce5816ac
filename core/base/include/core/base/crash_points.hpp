// Named steps between two effects on the world, at which a test may end the process as a power cut would.
//
// Programs hand in none: a step then costs the test of one pointer. Steps are reached on any thread, also under locks,
// so a test's `reached` must not block. A step that is never reached by tests/simulation/volume_crash_test is an error
// there; a new one goes at the end of its group, with its name in the table.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cess {

enum class crash_point : std::uint8_t {
    // taking a volume over
    lease_taken, journals_fenced, history_read, tail_copied, root_loaded, history_replayed, engine_started,
    // a write and its way to durability
    change_placed, change_applied, entry_built, entry_appended, member_answered, entry_acknowledged,
    // segments
    put_begun, fragment_stored, put_done, segment_located,
    // cuts, roots, snapshots
    cut_begun, cut_made, snapshot_cut, root_files_stored, root_stored, view_anchored, root_certified, root_final,
    // after a root
    trim_begun, trim_told, segments_settled,
    count
};

inline constexpr std::array<std::string_view, static_cast<std::size_t>(crash_point::count)> crash_point_names{
    "lease_taken", "journals_fenced", "history_read", "tail_copied", "root_loaded", "history_replayed", "engine_started",
    "change_placed", "change_applied", "entry_built", "entry_appended", "member_answered", "entry_acknowledged",
    "put_begun", "fragment_stored", "put_done", "segment_located",
    "cut_begun", "cut_made", "snapshot_cut", "root_files_stored", "root_stored", "view_anchored", "root_certified", "root_final",
    "trim_begun", "trim_told", "segments_settled"};

class crash_points {
public:
    virtual ~crash_points() = default;
    virtual void reached(crash_point at) noexcept = 0;
};

inline void reach(crash_points* who, crash_point at) noexcept {
    if (who) who->reached(at);
}

}  // namespace cess
