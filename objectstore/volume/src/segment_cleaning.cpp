// The part of the segment table that cleaning is about: views, what may be cleaned, and where it went.
#include "segment_table.hpp"

#include <algorithm>

namespace cess::volume {

// ---- views -----------------------------------------------------------------------------------------------

segment_table::known_views segment_table::views_before_asking() const {
    const std::lock_guard lock(m_mutex);
    return {m_unanchored, m_views_version};
}

// What was unanchored before the ledger was asked is anchored in its answer, still unanchored, or refused.
void segment_table::set_views(const std::vector<sequence_number>& anchored, const known_views& before) {
    const std::lock_guard lock(m_mutex);
    if (before.version != m_views_version) return;
    m_views = anchored;
    m_views.insert(m_views.end(), before.unanchored.begin(), before.unanchored.end());
    std::sort(m_views.begin(), m_views.end());
    m_views.erase(std::unique(m_views.begin(), m_views.end()), m_views.end());
    m_latest_view = m_views.empty() ? 0 : m_views.back().value;
}

void segment_table::add_view(sequence_number at) {
    const std::lock_guard lock(m_mutex);
    m_views.push_back(at);
    m_unanchored.push_back(at);
    ++m_views_version;
    m_latest_view = at.value;
}

void segment_table::settle_view(sequence_number at) {
    const std::lock_guard lock(m_mutex);
    std::erase(m_unanchored, at);
}

std::vector<sequence_number> segment_table::views() const {
    const std::lock_guard lock(m_mutex);
    return m_views;
}

bool segment_table::viewed(sequence_number birth, sequence_number death) const {
    const auto first = std::lower_bound(m_views.begin(), m_views.end(), birth);
    return first != m_views.end() && *first < death;
}

std::optional<sequence_number> segment_table::birth_if_viewed(segment_number number) const {
    const sequence_number latest{m_latest_view.load()};
    if (latest.value == 0) return std::nullopt;
    const std::lock_guard lock(m_mutex);
    const auto it = m_segments.find({m_own, number});
    if (it == m_segments.end() || it->second.birth.value == 0 || it->second.birth > latest) return std::nullopt;
    return it->second.birth;
}

// ---- cleaning --------------------------------------------------------------------------------------------

// Nothing more can be placed in it, the ledger has it, and no cut waits for it.
bool segment_table::may_be_cleaned(const segment_ref& ref, const state& s) const {
    return ref.lineage == m_own && s.at && s.birth.value != 0 && s.container.value == 0 && s.sealed && s.added && s.pins == 0 && s.cuts == 0 &&
           (s.declared || !s.declaring);
}

std::vector<segment_table::unit> segment_table::units() const {
    const std::lock_guard lock(m_mutex);
    std::vector<unit> out;
    for (const auto& [ref, s] : m_segments) {
        if (!may_be_cleaned(ref, s)) continue;
        unit next;
        next.at = s.at;
        next.birth = s.birth;
        next.live = live_of(ref, s);
        next.dead = s.declared;
        next.members = s.members;
        next.squeezed = s.squeezed;
        out.push_back(std::move(next));
    }
    return out;
}

std::uint64_t segment_table::live_bytes() const {
    const std::lock_guard lock(m_mutex);
    std::uint64_t sum = 0;
    for (const auto& [ref, s] : m_segments)
        if (ref.lineage == m_own && s.at && s.container.value == 0) sum += std::min(s.length, live_of(ref, s));
    return sum;
}

void segment_table::stage(cleaning what) {
    const std::lock_guard lock(m_mutex);
    m_staged = std::move(what);
}

bool segment_table::cleaning_waits() const {
    const std::lock_guard lock(m_mutex);
    return !m_staged.made.empty() || !m_staged.unneeded.empty() || !m_moved.empty() || m_moving != 0;
}

void segment_table::switch_staged(sequence_number at) {
    const std::lock_guard lock(m_mutex);
    const auto staged = std::exchange(m_staged, {});
    for (const auto& each : staged.made) {
        auto& s = m_segments[{m_own, each.at.number}];
        s.at = std::make_shared<const ledger::segment_record>(each.at);
        s.length = each.at.length;
        s.birth = each.at.birth;
        s.emptied = at;  // unless something lives in it
        s.sealed = s.dirty = true;
        std::unordered_map<segment_number, bool, id_hash> wanted;
        for (const auto number : each.members) wanted.emplace(number, true);
        for (const auto old : each.units) move_unit(old, wanted, each.at.number);
        if (!s.members.empty()) s.emptied = {};
    }
    for (const auto old : staged.unneeded) move_unit(old, {}, {});
}

// One that is gone since needs no move: nothing needed it. What lives in a unit and is not wanted goes with it.
void segment_table::move_unit(segment_number old, const std::unordered_map<segment_number, bool, id_hash>& wanted, segment_number to) {
    const auto at = m_segments.find({m_own, old});
    if (at == m_segments.end()) return;
    const auto members = at->second.members;
    const auto move = [&](segment_number number) {
        const auto it = m_segments.find({m_own, number});
        if (it == m_segments.end()) return;
        if (to.value == 0 || !wanted.contains(number)) {
            m_moved.push_back({number, {}});
            it->second.members.clear();
            forget(number);
            return;
        }
        m_moved.push_back({number, to});
        it->second.container = to;
        it->second.dirty = true;
        m_segments[{m_own, to}].members.push_back(number);
    };
    for (const auto number : members) move(number);
    if (members.empty()) return move(old);
    m_moved.push_back({old, to});
    // No extent names a container, so nobody asks where it went. A forward of it would hold up the next move of `to`.
    if (to.value != 0) m_moved.push_back({old, {}});
    at->second.members.clear();
    forget(old);
}

}  // namespace cess::volume
