// The life of a lineage's segments: born, dead, pinned by views, freed.
//
// A segment (birth b, death d) may be freed when d is set, d <= head.sequence, no view of the lineage has
// b <= view.sequence < d, and no view names it as its manifest. Until then a dead segment waits in exactly one place:
//   pinned(by v)   while the view at v is known to pin it,
//   pending(d)     while no view pins it but d lies past the head.
// When a view at v goes, its whole group is looked at again, in bounded steps (`reap`), guided by the mark unpinned(v).
#pragma once

#include "transition.hpp"

namespace cess::ledger {

struct pin {
    sequence_number sequence;
    segment_number manifest;  // of the view, 0 if it is not of this lineage
    template <class S, class C> static void describe(S& s, C& c) { c(s.sequence, s.manifest); }
    friend auto operator<=>(const pin&, const pin&) = default;
};
struct pin_list {
    static constexpr std::uint8_t wire_version = 1;
    std::vector<pin> pins;  // ascending, one a view
    template <class S, class C> static void describe(S& s, C& c) { c(s.pins); }
};

// Works on the caller's copy of the volume record, which the caller saves. `volume.head` must already be the new one.
class lineage {
public:
    lineage(transition& in, volume_record& volume) : m_in(in), m_volume(volume) {}

    result<void> add(const std::vector<segment_record>& segments);
    result<void> kill(const std::vector<segment_death>& deaths);
    [[nodiscard]] std::size_t views() { return pins().size(); }
    void pin_view(const view_record& view);
    void unpin_view(const view_record& view);
    // Each settles at most `limit` waiting segments and answers how many.
    std::uint64_t settle_pending(std::uint64_t limit);
    std::uint64_t settle_unpinned(std::uint64_t limit);
    // Of a volume being deleted; 0 = no trace of its segments is left.
    std::uint64_t destroy(std::uint64_t limit);

private:
    result<void> add_one(const segment_record& segment);
    result<void> check(const segment_record& segment);
    result<void> kill_one(segment_record segment, sequence_number death);
    void retire(const segment_record& segment);
    void free(const segment_record& segment);
    std::optional<sequence_number> pinned_by(const segment_record& segment);
    std::vector<pin>& pins();
    void save_pins();
    [[nodiscard]] bool is_head_manifest(segment_number number) const;

    transition& m_in;
    volume_record& m_volume;
    std::optional<std::vector<pin>> m_pins;
};

// Whether `at` may be a root of the volume (or of a view of it): its manifest is a segment that lives at its sequence.
result<void> check_manifest(transition& in, const volume_record& volume, const root& at);

}  // namespace cess::ledger
