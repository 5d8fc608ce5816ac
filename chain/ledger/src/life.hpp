// The life of a lineage's segments: born, dead, pinned by views, freed.
//
// A segment (birth b, death d) may be freed when d is set, d <= head.sequence, no view of the lineage has
// b <= view.sequence < d, and no view names it as its manifest. Until then a dead segment waits in exactly one place:
//   pinned(by v)   while the view at v is known to pin it,
//   pending(d)     while no view pins it but d lies past the head.
// One whose needed bytes its owner moved elsewhere is freed at once and leaves a forward; a mark pinned(by v) of it may
// stay behind until its group is looked at.
// When a view at v goes, its whole group is looked at again, in bounded steps (`reap`), guided by the mark unpinned(v).
#pragma once

#include "transition.hpp"

namespace cess::ledger {

// Works on the caller's copy of the volume record, which the caller saves. `volume.head` must already be the new one.
class lineage {
public:
    lineage(transition& in, volume_record& volume) : m_in(in), m_volume(volume) {}

    result<void> add(const std::vector<segment_record>& segments);
    result<void> kill(const std::vector<segment_death>& deaths);
    result<void> move(const std::vector<segment_move>& moves);
    [[nodiscard]] std::size_t views() { return pins().size(); }
    [[nodiscard]] std::optional<sequence_number> oldest_view();
    void pin_view(const view_record& view);
    void unpin_view(const view_record& view);
    void repin_view(const view_record& before, const view_record& now);  // of one sequence
    // Each settles at most `limit` waiting segments and answers how many.
    std::uint64_t settle_pending(std::uint64_t limit);
    std::uint64_t settle_unpinned(std::uint64_t limit);
    std::uint64_t settle_astray(std::uint64_t limit);
    // Of a volume being deleted; 0 = no trace of its segments is left.
    std::uint64_t destroy(std::uint64_t limit);

private:
    result<void> add_one(const segment_record& segment);
    result<void> check(const segment_record& segment);
    result<void> kill_one(segment_record segment, sequence_number death);
    result<void> move_one(const segment_move& what);
    result<void> check_move(const segment_record& from, const std::optional<segment_record>& to);
    void forward(segment_number from, const forward_record& leads);
    void unforward(segment_number from, segment_number to);
    void retire(const segment_record& segment);
    void free(const segment_record& segment);
    void take_away(const segment_record& segment);
    std::optional<sequence_number> pinned_by(const segment_record& segment);
    std::vector<pin>& pins();
    void save_pins();
    [[nodiscard]] pin pin_of(const view_record& view) const;
    void remove_pin(const view_record& view);
    [[nodiscard]] bool is_head_manifest(segment_number number) const;

    transition& m_in;
    volume_record& m_volume;
    std::optional<std::vector<pin>> m_pins;
};

// Whether `at` may be a root of the volume (or of a view of it): its manifest is a segment that lives at its sequence.
result<void> check_manifest(transition& in, const volume_record& volume, const root& at);

}  // namespace cess::ledger
