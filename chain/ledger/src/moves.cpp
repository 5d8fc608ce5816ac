// Segments whose needed bytes their owner moved into others of the lineage.
#include "life.hpp"

#include <algorithm>

namespace cess::ledger {
namespace {

error wrong(segment_number from, const std::string& why) { return {errc::invalid, "move of segment " + std::to_string(from.value) + ": " + why}; }

segment_number number_at_end(const bytes& key) {
    segment_number number;
    for (std::size_t i = key.size() - 8; i < key.size(); ++i) number.value = number.value << 8 | std::to_integer<std::uint64_t>(key[i]);
    return number;
}

}  // namespace

result<void> lineage::move(const std::vector<segment_move>& moves) {
    for (const auto& each : moves) CHECK_OK(move_one(each));
    return {};
}

// What neither lives nor leads anywhere was moved or freed before, by the same words.
result<void> lineage::move_one(const segment_move& what) {
    std::optional<segment_record> to;
    if (what.to.value != 0) {
        to = m_in.find<segment_record>(key::segment(m_volume.id, what.to));
        if (!to) return wrong(what.from, "leads to one that is not there");
    }
    if (const auto from = m_in.find<segment_record>(key::segment(m_volume.id, what.from))) {
        CHECK_OK(check_move(*from, to));
        if (from->death.value == 0) {
            m_volume.used -= std::min(m_volume.used, from->length);
        } else {
            m_in.erase(key::pending(m_volume.id, from->death, from->number));
            if (const auto by = pinned_by(*from)) m_in.erase(key::pinned(m_volume.id, *by, from->number));
        }
        take_away(*from);
        if (to) forward(from->number, {to->number, from->birth});
        return {};
    }
    const auto leads = m_in.find<forward_record>(key::forward(m_volume.id, what.from));
    if (!leads || leads->to == what.to) return {};
    if (to && to->birth > leads->birth) return wrong(what.from, "to one that was born later");
    unforward(what.from, leads->to);
    if (to) forward(what.from, {to->number, leads->birth});
    return {};
}

// Whoever needs a part of `from` must pin `to`: a view between birth and death, or the head.
result<void> lineage::check_move(const segment_record& from, const std::optional<segment_record>& to) {
    const auto is_manifest = [&](const pin& p) { return p.manifest == from.number; };
    if (is_head_manifest(from.number) || std::any_of(pins().begin(), pins().end(), is_manifest)) return wrong(from.number, "it is a manifest");
    // So that no forward ever leads to a forward.
    if (!m_in.scan(key::led_prefix(m_volume.id, from.number), {}, 1).empty()) return wrong(from.number, "others lead to it");
    if (!to) {
        if (from.death.value == 0 || from.death > m_volume.head.sequence) return wrong(from.number, "to nothing, while the head needs it");
        return {};
    }
    if (to->number == from.number) return wrong(from.number, "to itself");
    if (to->birth > from.birth) return wrong(from.number, "to one that was born later");
    if (to->death.value != 0 && (from.death.value == 0 || from.death > to->death)) return wrong(from.number, "to one that dies earlier");
    return {};
}

void lineage::forward(segment_number from, const forward_record& leads) {
    m_in.save(key::forward(m_volume.id, from), leads);
    m_in.mark(key::led(m_volume.id, leads.to, from));
}

void lineage::unforward(segment_number from, segment_number to) {
    m_in.erase(key::forward(m_volume.id, from));
    m_in.erase(key::led(m_volume.id, to, from));
}

std::uint64_t lineage::settle_astray(std::uint64_t limit) {
    std::uint64_t done = 0;
    while (done < limit) {
        const auto marks = m_in.scan(key::astray_prefix(m_volume.id), {}, 1);
        if (marks.empty()) break;
        const auto to = number_at_end(marks[0].key);
        const auto want = limit - done;
        const auto group = m_in.scan(key::led_prefix(m_volume.id, to), {}, want);
        for (const auto& entry : group) unforward(number_at_end(entry.key), to);
        done += group.size();
        if (group.size() < want) {
            m_in.erase(marks[0].key);
            ++done;
        }
    }
    return done;
}

}  // namespace cess::ledger
