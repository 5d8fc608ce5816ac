#include "life.hpp"

#include <algorithm>
#include <bit>
#include <set>

namespace cess::ledger {
namespace {

constexpr std::uint64_t committed_max = std::uint64_t{1} << 62;

std::string label(const segment_record& segment) { return "segment " + std::to_string(segment.number.value); }

segment_record immutable_part(segment_record segment) {
    segment.death = {};
    return segment;
}

// The last 8 bytes of keys that end in a number.
std::uint64_t number_at_end(const bytes& key) {
    std::uint64_t value = 0;
    for (std::size_t i = key.size() - 8; i < key.size(); ++i) value = value << 8 | std::to_integer<std::uint64_t>(key[i]);
    return value;
}

}  // namespace

std::vector<pin>& lineage::pins() {
    if (!m_pins) m_pins = m_in.find<pin_list>(key::pins(m_volume.id)).value_or(pin_list{}).pins;
    return *m_pins;
}

void lineage::save_pins() {
    if (pins().empty()) return m_in.erase(key::pins(m_volume.id));
    m_in.save(key::pins(m_volume.id), pin_list{pins()});
}

bool lineage::is_head_manifest(segment_number number) const {
    const auto& manifest = m_volume.head.manifest;
    return manifest && manifest->lineage == m_volume.id && manifest->number == number;
}

result<void> lineage::add(const std::vector<segment_record>& segments) {
    for (const auto& segment : segments) CHECK_OK(add_one(segment));
    return {};
}

result<void> lineage::check(const segment_record& segment) {
    const auto wrong = [&](const std::string& why) { return error(errc::invalid, label(segment) + ": " + why); };
    if (segment.lineage != m_volume.id) return wrong("of another lineage");
    const auto term = segment.number.value >> 40;
    if (term == 0 || term > m_volume.term.value) return wrong("its number names a term that was never granted");
    if (segment.id.is_zero()) return wrong("has no id");
    const auto [k, m] = segment.geometry;
    if (k == 0 || k > limits::data_fragments_max || m > limits::parity_fragments_max) return wrong("geometry out of range");
    if (segment.length == 0 || segment.length > limits::segment_length_max) return wrong("length out of range");
    if (segment.block_size < limits::block_size_min || segment.block_size > limits::block_size_max || !std::has_single_bit(segment.block_size))
        return wrong("block size must be a power of two from 4 KiB to 64 KiB");
    if (segment.death.value != 0 && segment.death < segment.birth) return wrong("dies before its birth");
    if (segment.holders.size() != static_cast<std::size_t>(k) + m) return wrong("needs one holder a fragment");
    if (std::set(segment.holders.begin(), segment.holders.end()).size() != segment.holders.size()) return wrong("one miner holds two fragments");
    for (const auto& holder : segment.holders) {
        const auto* node = m_in.node(holder);
        if (!node || node->role != node_role::storage) return error(errc::not_found, label(segment) + ": storage miner " + holder.brief());
    }
    return {};
}

result<void> lineage::add_one(const segment_record& segment) {
    CHECK_OK(check(segment));
    if (const auto known = m_in.find<segment_record>(key::segment(m_volume.id, segment.number))) {
        if (immutable_part(*known) != immutable_part(segment)) return error(errc::exists, label(segment) + ": its number is used");
        if (segment.death.value == 0) return {};
        return kill_one(*known, segment.death);
    }
    if (m_in.has(key::freed(m_volume.id, segment.id))) {
        if (segment.death.value != 0) return {};  // a repetition: it was added dead, and freed
        return error(errc::conflict, label(segment) + ": was freed");
    }
    if (m_in.has(key::segment_by_id(m_volume.id, segment.id))) return error(errc::exists, label(segment) + ": its content has another number");
    if (segment.death.value != 0 && is_head_manifest(segment.number)) return error(errc::invalid, label(segment) + ": the head's manifest cannot be dead");
    const auto length = fragment_length(segment);
    const auto all = length * segment.holders.size();
    if (m_in.totals().committed > committed_max - all) return error(errc::no_space, "network");
    m_in.totals().committed += all;
    for (const auto& holder : segment.holders) m_in.add_committed(holder, length);
    m_in.unreserve(m_volume, all);
    m_in.save(key::segment(m_volume.id, segment.number), segment);
    m_in.save(key::segment_by_id(m_volume.id, segment.id), segment_ref{m_volume.id, segment.number});
    if (segment.death.value == 0) m_volume.used += segment.length;
    else retire(segment);
    return {};
}

result<void> lineage::kill(const std::vector<segment_death>& deaths) {
    for (const auto& [number, death] : deaths) {
        auto segment = m_in.find<segment_record>(key::segment(m_volume.id, number));
        if (segment) CHECK_OK(kill_one(std::move(*segment), death));  // none: freed before, by the same words
    }
    return {};
}

result<void> lineage::kill_one(segment_record segment, sequence_number death) {
    if (segment.death == death && death.value != 0) return {};
    if (segment.death.value != 0) return error(errc::invalid, label(segment) + ": died at " + std::to_string(segment.death.value));
    if (death.value == 0 || death < segment.birth) return error(errc::invalid, label(segment) + ": dies before its birth");
    if (is_head_manifest(segment.number)) return error(errc::invalid, label(segment) + ": the head's manifest cannot be dead");
    segment.death = death;
    m_in.save(key::segment(m_volume.id, segment.number), segment);
    m_volume.used -= std::min(m_volume.used, segment.length);
    retire(segment);
    return {};
}

std::optional<sequence_number> lineage::pinned_by(const segment_record& segment) {
    const auto& all = pins();
    const auto past = std::lower_bound(all.begin(), all.end(), pin{segment.death, {}});
    if (past != all.begin() && std::prev(past)->sequence >= segment.birth) return std::prev(past)->sequence;
    for (const auto& p : all)
        if (p.manifest == segment.number) return p.sequence;
    return std::nullopt;
}

void lineage::retire(const segment_record& segment) {
    if (const auto by = pinned_by(segment)) return m_in.mark(key::pinned(m_volume.id, *by, segment.number));
    if (segment.death > m_volume.head.sequence) return m_in.mark(key::pending(m_volume.id, segment.death, segment.number));
    free(segment);
}

void lineage::free(const segment_record& segment) {
    take_away(segment);
    m_volume.freed_upto = std::max(m_volume.freed_upto, segment.death);
}

void lineage::take_away(const segment_record& segment) {
    const auto length = fragment_length(segment);
    for (const auto& holder : segment.holders) m_in.drop_committed(holder, length);
    auto& committed = m_in.totals().committed;
    committed -= std::min<std::uint64_t>(committed, length * segment.holders.size());
    m_in.erase(key::segment(m_volume.id, segment.number));
    m_in.erase(key::segment_by_id(m_volume.id, segment.id));
    m_in.save(key::freed(m_volume.id, segment.id), freed_record{m_volume.id, segment.id, m_in.at().height, segment.holders});
    const auto place = m_in.next_freed();
    for (const auto& holder : segment.holders) m_in.save(key::freed_order(holder, place), std::pair(m_volume.id, segment.id));
    if (!m_in.scan(key::led_prefix(m_volume.id, segment.number), {}, 1).empty()) m_in.mark(key::astray(m_volume.id, segment.number));
}

std::optional<sequence_number> lineage::oldest_view() {
    if (pins().empty()) return std::nullopt;
    return pins().front().sequence;
}

pin lineage::pin_of(const view_record& view) const {
    pin out{view.at.sequence, {}};
    if (view.at.manifest && view.at.manifest->lineage == m_volume.id) out.manifest = view.at.manifest->number;
    return out;
}

void lineage::pin_view(const view_record& view) {
    const auto made = pin_of(view);
    auto& all = pins();
    all.insert(std::upper_bound(all.begin(), all.end(), made), made);
    save_pins();
}

void lineage::remove_pin(const view_record& view) {
    const auto gone = pin_of(view);
    auto& all = pins();
    const auto found = std::lower_bound(all.begin(), all.end(), gone);
    if (found == all.end() || *found != gone) throw std::runtime_error("ledger state: a view without its pin");
    all.erase(found);
    save_pins();
}

void lineage::unpin_view(const view_record& view) {
    remove_pin(view);
    m_in.save(key::unpinned(m_volume.id, view.at.sequence), segment_number{});
}

// What waits for the view still does: it is of the same sequence.
void lineage::repin_view(const view_record& before, const view_record& now) {
    remove_pin(before);
    pin_view(now);
}

std::uint64_t lineage::settle_unpinned(std::uint64_t limit) {
    std::uint64_t done = 0;
    while (done < limit) {
        const auto marks = m_in.scan(key::unpinned_prefix(m_volume.id), {}, 1);
        if (marks.empty()) break;
        const sequence_number by{number_at_end(marks[0].key)};
        const auto from = transition::decoded<segment_number>(marks[0].value);
        const auto want = limit - done;
        const auto after = from.value == 0 ? bytes{} : key::pinned(m_volume.id, by, from);
        const auto group = m_in.scan(key::pinned_prefix(m_volume.id, by), after, want);
        for (const auto& entry : group) {
            m_in.erase(entry.key);
            const auto segment = m_in.find<segment_record>(key::segment(m_volume.id, {number_at_end(entry.key)}));
            if (segment) retire(*segment);  // none: it was moved
        }
        done += group.size();
        if (group.size() < want) {
            m_in.erase(marks[0].key);
            ++done;  // 0 must mean that nothing is left
        } else {
            m_in.save(marks[0].key, segment_number{number_at_end(group.back().key)});
        }
    }
    return done;
}

std::uint64_t lineage::settle_pending(std::uint64_t limit) {
    const auto waiting = m_in.scan(key::pending_prefix(m_volume.id), {}, limit);
    std::uint64_t done = 0;
    for (const auto& entry : waiting) {
        const auto segment = m_in.find<segment_record>(key::segment(m_volume.id, {number_at_end(entry.key)}));
        if (!segment) throw std::runtime_error("ledger state: a pending segment without its record");
        if (segment->death > m_volume.head.sequence) break;
        m_in.erase(entry.key);
        retire(*segment);
        ++done;
    }
    return done;
}

std::uint64_t lineage::destroy(std::uint64_t limit) {
    std::uint64_t done = 0;
    for (const auto& entry : m_in.scan(key::segment_prefix(m_volume.id), {}, limit)) {
        free(transition::decoded<segment_record>(entry.value));
        ++done;
    }
    for (const auto& prefix : {key::pinned_prefix(m_volume.id), key::pending_prefix(m_volume.id), key::unpinned_prefix(m_volume.id),
                               key::forward_prefix(m_volume.id), key::led_prefix(m_volume.id), key::astray_prefix(m_volume.id)}) {
        if (done >= limit) break;
        for (const auto& entry : m_in.scan(prefix, {}, limit - done)) {
            m_in.erase(entry.key);
            ++done;
        }
    }
    return done;
}

}  // namespace cess::ledger
