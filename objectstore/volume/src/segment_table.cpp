#include "segment_table.hpp"

namespace cess::volume {

segment_row segment_table::row_of(const state& s, segment_number number) {
    segment_row row;
    if (s.at) row.at = *s.at;
    row.at.number = number;
    row.at.birth = s.birth;
    row.at.death = {};
    row.live = s.live;
    row.emptied = s.emptied;
    row.container = s.squeezed && s.container.value == 0 ? number : s.container;
    row.declared = s.declared;
    return row;
}

segment_table::found segment_table::find(const segment_ref& ref) const {
    const std::lock_guard lock(m_mutex);
    const auto it = m_segments.find(ref);
    if (it == m_segments.end()) return {};
    const auto& s = it->second;
    if (s.forwarded) return {nullptr, s.forwarded, true};
    if (s.container.value == 0) return {s.at ? nullptr : s.buffer, s.at, s.squeezed};
    const auto in = m_segments.find({ref.lineage, s.container});
    if (in == m_segments.end()) return {};
    return {nullptr, in->second.at, true};
}

segment_table::location segment_table::record_of(const segment_ref& ref) const {
    const std::lock_guard lock(m_mutex);
    const auto it = m_segments.find(ref);
    return it == m_segments.end() ? nullptr : it->second.at;
}

bool segment_table::is_squeezed(const segment_ref& ref) const {
    const std::lock_guard lock(m_mutex);
    const auto it = m_segments.find(ref);
    return it != m_segments.end() && it->second.squeezed;
}

bool segment_table::forward(const segment_ref& ref, ledger::segment_record container) {
    const std::lock_guard lock(m_mutex);
    const auto it = m_segments.find(ref);
    if (it == m_segments.end()) return false;
    auto& to = it->second.forwarded;
    if (to && to->id == container.id) return false;
    to = std::make_shared<const ledger::segment_record>(std::move(container));
    return true;
}

void segment_table::load(std::uint32_t lineage, segment_row row, bool in_store) {
    const std::lock_guard lock(m_mutex);
    auto& s = m_segments[{lineage, row.at.number}];
    m_logical += row.live - s.live;
    s.live = row.live;
    s.birth = row.at.birth;
    s.emptied = row.emptied;
    s.added = row.at.birth.value != 0;
    s.declared = row.declared;
    s.squeezed = row.container == row.at.number;
    if (!s.squeezed && row.container.value != 0 && s.container != row.container) {
        s.container = row.container;
        m_segments[{lineage, row.container}].members.push_back(row.at.number);
    }
    s.in_store |= in_store;
    s.dirty = !in_store;
    s.sealed = true;
    s.length = row.at.length;
    s.at = std::make_shared<const ledger::segment_record>(std::move(row.at));
}

void segment_table::add(const std::shared_ptr<segment_buffer>& buffer) {
    const std::lock_guard lock(m_mutex);
    auto& s = m_segments[{m_own, buffer->number()}];
    s.buffer = buffer;
    s.dirty = s.remembers = true;
    m_buffered.insert(buffer->number());
    m_first_buffered = m_buffered.begin()->value;
}

void segment_table::pin(segment_number number) {
    const std::lock_guard lock(m_mutex);
    ++m_segments[{m_own, number}].pins;
}

void segment_table::unpin(segment_number number) {
    const std::lock_guard lock(m_mutex);
    const auto it = m_segments.find({m_own, number});
    if (it != m_segments.end()) --it->second.pins;
}

void segment_table::seal(segment_number number, std::uint64_t length) {
    const std::lock_guard lock(m_mutex);
    auto& s = m_segments[{m_own, number}];
    s.sealed = true;
    s.length = length;
    s.sealed_after = m_committed;
}

bool segment_table::stored(const ledger::segment_record& at, bool squeezed, sequence_number complete_from) {
    const std::lock_guard lock(m_mutex);
    auto& s = m_segments[{m_own, at.number}];
    if (s.at) return false;
    forget_overwritten(at.number, s);
    s.squeezed = squeezed;
    s.complete_from = complete_from;
    s.at = std::make_shared<const ledger::segment_record>(at);
    s.buffer = nullptr;
    s.sealed = true;
    s.length = at.length;
    s.dirty = true;
    return true;
}

bool segment_table::drop_if_unneeded(segment_number number, sequence_number durable) {
    const std::lock_guard lock(m_mutex);
    const auto it = m_segments.find({m_own, number});
    if (it == m_segments.end()) return true;
    auto& s = it->second;
    // Undurable changes may still name it, and a recovery that ends between them would need its payload.
    if (!s.sealed || s.at || s.pins || s.live || s.cuts || s.emptied > durable) return false;
    forget_overwritten(number, s);
    m_segments.erase(it);
    return true;
}

std::shared_ptr<segment_buffer> segment_table::replay_buffer(segment_number number, std::uint64_t capacity) {
    const std::lock_guard lock(m_mutex);
    auto& s = m_segments[{m_own, number}];
    if (s.at) return nullptr;
    if (!s.buffer) {
        s.buffer = std::make_shared<segment_buffer>(number, capacity, std::make_shared<buffer_recycler>(0));
        s.dirty = true;
    }
    return s.buffer;
}

std::vector<std::shared_ptr<segment_buffer>> segment_table::end_replay() {
    const std::lock_guard lock(m_mutex);
    std::vector<std::shared_ptr<segment_buffer>> out;
    for (auto it = m_segments.begin(); it != m_segments.end();) {
        const auto& s = it->second;
        if (it->first.lineage == m_own && s.birth.value == 0) {
            it = m_segments.erase(it);
            continue;
        }
        if (!s.sealed && s.buffer) out.push_back(s.buffer);
        ++it;
    }
    return out;
}

void segment_table::commit(const live_deltas& deltas, sequence_number at, const std::vector<overwritten_range>& overwritten) {
    const std::lock_guard lock(m_mutex);
    m_committed = std::max(m_committed, at);
    for (const auto& [ref, delta] : deltas) {
        auto& s = m_segments[ref];
        s.live += static_cast<std::uint64_t>(delta.net);
        m_logical += static_cast<std::uint64_t>(delta.net);
        if (delta.used && s.birth.value == 0) s.birth = at;
        if (s.live == 0) s.emptied = at;
        s.dirty = true;
        if (delta.shared && s.remembers) forget_overwritten(ref.number, s);
    }
    if (!overwritten.empty()) remember(overwritten, at);
}

segment_table::cut segment_table::take_cut(sequence_number at, std::size_t dead_max) {
    const std::lock_guard lock(m_mutex);
    cut out;
    std::vector<segment_number> gone;
    for (auto it = m_segments.begin(); it != m_segments.end();) {
        const auto& ref = it->first;
        auto& s = it->second;
        const bool own = ref.lineage == m_own;
        // What a clone inherits and uses no more leaves its store; the segment itself belongs to the base.
        if (!own && live_of(ref, s) == 0) {
            if (s.in_store) out.gone.push_back(ref);
            it = m_segments.erase(it);
            continue;
        }
        if (own && s.declared && s.container.value == 0 && !viewed(s.birth, emptied_of(ref, s))) gone.push_back(ref.number);
        ++it;
    }
    for (const auto number : gone) forget(number);
    for (auto& [ref, s] : m_segments) {
        if (s.birth.value == 0) continue;  // nothing applied names it: unused_at() has it if it is stored
        if (ref.lineage == m_own) {
            take_rows(ref.number, s, at, dead_max, out);
        } else if (s.dirty) {
            out.dirty.emplace_back(ref, row_of(s, ref.number));
            s.dirty = false;
            s.in_store = true;
        }
    }
    out.gone.insert(out.gone.end(), m_forgotten.begin(), m_forgotten.end());
    m_forgotten.clear();
    out.moved.swap(m_moved);
    if (!out.moved.empty()) ++m_moving;
    return out;
}

// What a cut needs of one own segment.
void segment_table::take_rows(segment_number number, state& s, sequence_number at, std::size_t dead_max, cut& out) {
    const segment_ref ref{m_own, number};
    const auto emptied = emptied_of(ref, s);
    const bool lives_elsewhere = s.container.value != 0;
    const bool dead = !lives_elsewhere && live_of(ref, s) == 0 && s.pins == 0 && s.sealed && emptied <= at;
    if (!s.at && dead) return;  // never stored, never needed at the cut: it just vanishes
    auto row = row_of(s, number);
    if (s.at && s.dirty) {
        out.dirty.emplace_back(ref, row);
        s.dirty = false;
        s.in_store = true;
    } else if (!s.at) {
        out.late.emplace_back(ref, row);
        ++s.cuts;
        if (s.first_cut.value == 0) s.first_cut = at;
    }
    if (lives_elsewhere) return;
    if (!s.added) out.add.push_back({number, row.at.birth});
    if (dead && !s.declaring && !s.declared && out.dead.size() < dead_max) {
        out.dead.push_back({number, emptied});
        s.declaring = true;
    }
}

// Its rows leave the store with the next cut, and those of what lives in it.
void segment_table::forget(segment_number number) {
    const auto it = m_segments.find({m_own, number});
    if (it == m_segments.end()) return;
    const auto members = std::move(it->second.members);
    if (it->second.in_store) m_forgotten.push_back(it->first);
    m_segments.erase(it);
    for (const auto each : members) forget(each);
}

std::uint64_t segment_table::live_of(const segment_ref& ref, const state& s) const {
    auto sum = s.live;
    for (const auto number : s.members)
        if (const auto it = m_segments.find({ref.lineage, number}); it != m_segments.end()) sum += it->second.live;
    return sum;
}

sequence_number segment_table::emptied_of(const segment_ref& ref, const state& s) const {
    auto last = s.emptied;
    for (const auto number : s.members)
        if (const auto it = m_segments.find({ref.lineage, number}); it != m_segments.end()) last = std::max(last, it->second.emptied);
    return last;
}

void segment_table::release_cut(const cut& what) {
    const std::lock_guard lock(m_mutex);
    for (const auto& [ref, row] : what.late)
        if (const auto it = m_segments.find(ref); it != m_segments.end() && it->second.cuts) --it->second.cuts;
    if (!what.moved.empty()) --m_moving;
}

std::vector<segment_row> segment_table::unused_at(sequence_number at) const {
    const std::lock_guard lock(m_mutex);
    std::vector<segment_row> out;
    for (const auto& [ref, s] : m_segments) {
        if (ref.lineage != m_own || !s.at || (s.birth.value != 0 && s.birth <= at) || s.complete_from > at) continue;
        auto row = row_of(s, ref.number);
        row.at.birth = {};
        row.live = 0;
        row.emptied = {};
        row.container = s.squeezed ? ref.number : segment_number();
        row.declared = false;
        out.push_back(std::move(row));
    }
    return out;
}

void segment_table::mark_added(const std::vector<segment_number>& numbers) {
    const std::lock_guard lock(m_mutex);
    for (const auto number : numbers)
        if (const auto it = m_segments.find({m_own, number}); it != m_segments.end()) it->second.added = true;
}

void segment_table::mark_declared(const std::vector<ledger::segment_death>& dead) {
    std::vector<segment_number> numbers;
    for (const auto& each : dead) numbers.push_back(each.number);
    mark_declared(numbers);
}

void segment_table::mark_declared(const std::vector<segment_number>& numbers) {
    const std::lock_guard lock(m_mutex);
    for (const auto number : numbers) {
        const auto it = m_segments.find({m_own, number});
        if (it == m_segments.end()) continue;
        it->second.declared = true;
        it->second.dirty = true;
    }
}

bool segment_table::is_added(segment_number number) const {
    const std::lock_guard lock(m_mutex);
    const auto it = m_segments.find({m_own, number});
    return it == m_segments.end() || it->second.added;
}

bool segment_table::waits_for_store(segment_number number) const {
    const std::lock_guard lock(m_mutex);
    const auto it = m_segments.find({m_own, number});
    return it != m_segments.end() && !it->second.at;
}

std::uint64_t segment_table::inherited_bytes() const {
    const std::lock_guard lock(m_mutex);
    std::uint64_t sum = 0;
    for (const auto& [ref, s] : m_segments)
        if (ref.lineage != m_own) sum += s.live;
    return sum;
}

std::uint64_t segment_table::logical() const {
    const std::lock_guard lock(m_mutex);
    return m_logical;
}

std::uint64_t segment_table::stored_bytes() const {
    const std::lock_guard lock(m_mutex);
    std::uint64_t sum = 0;
    for (const auto& [ref, s] : m_segments)
        if (ref.lineage == m_own && s.at && s.container.value == 0 && !(s.declared && !viewed(s.birth, emptied_of(ref, s)))) sum += s.length;
    return sum;
}

}  // namespace cess::volume
