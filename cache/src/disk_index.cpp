#include "disk_index.hpp"

#include <algorithm>

namespace cess::cache {

block_tag tag_of(const block_key& key) noexcept {
    // Segment ids are hashes; the multiplication spreads a segment's blocks, the shift brings them to the high bits too.
    std::uint64_t x = id_hash()(key.segment) ^ (std::uint64_t{key.block} + 1) * 0x9e3779b97f4a7c15U;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93U;
    x ^= x >> 32;
    return x == 0 ? 1 : x;
}

disk_index::disk_index(std::uint64_t blocks_max)
    : m_slots(blocks_max * 8 / 7 + 2), m_ghosts(std::max<std::uint64_t>(blocks_max, 1)), m_size_max(std::max<std::uint64_t>(blocks_max, 1)) {}

std::uint64_t disk_index::pack(const place& at) noexcept {
    return std::uint64_t{at.region} << 40 | std::uint64_t{at.offset / region_align} << 24 | std::uint64_t{at.length} << 2 | at.asked;
}

disk_index::place disk_index::unpack(std::uint64_t at) noexcept {
    place out;
    out.region = static_cast<std::uint32_t>(at >> 40);
    out.offset = static_cast<std::uint32_t>((at >> 24 & 0xffff) * region_align);
    out.length = static_cast<std::uint32_t>(at >> 2 & 0xfffff);
    out.asked = static_cast<std::uint8_t>(at & 3);
    return out;
}

std::size_t disk_index::home(block_tag tag, std::size_t of) noexcept {
    return static_cast<std::size_t>(static_cast<unsigned __int128>(tag) * of >> 64);
}

std::size_t disk_index::slot_of(block_tag tag) const noexcept {
    auto i = home(tag, m_slots.size());
    while (m_slots[i].tag != 0 && m_slots[i].tag != tag) i = next(i);
    return i;
}

void disk_index::prefetch(block_tag tag) const noexcept {
    __builtin_prefetch(&m_slots[home(tag, m_slots.size())]);
    __builtin_prefetch(&m_ghosts[home(tag, m_ghosts.size())]);
}

std::optional<disk_index::place> disk_index::find(block_tag tag) const {
    const auto& s = m_slots[slot_of(tag)];
    if (s.tag == 0) return std::nullopt;
    return unpack(s.at);
}

std::optional<disk_index::place> disk_index::ask(block_tag tag) {
    auto& s = m_slots[slot_of(tag)];
    if (s.tag == 0) return std::nullopt;
    if ((s.at & 3) < 3) ++s.at;
    return unpack(s.at);
}

bool disk_index::insert(block_tag tag, const place& at) {
    auto& s = m_slots[slot_of(tag)];
    if (s.tag == 0) {
        if (m_size >= m_size_max) return false;
        s.tag = tag;
        ++m_size;
    }
    s.at = pack(at);
    return true;
}

bool disk_index::erase(block_tag tag, std::uint32_t region) {
    const auto i = slot_of(tag);
    if (m_slots[i].tag == 0 || unpack(m_slots[i].at).region != region) return false;
    erase_slot(i);
    return true;
}

// What follows in the run moves up, unless that would put it before its home.
void disk_index::erase_slot(std::size_t i) noexcept {
    for (auto j = next(i); m_slots[j].tag != 0; j = next(j)) {
        const auto wants = home(m_slots[j].tag, m_slots.size());
        const bool between = i <= j ? i < wants && wants <= j : i < wants || wants <= j;
        if (between) continue;
        m_slots[i] = m_slots[j];
        i = j;
    }
    m_slots[i] = {};
    --m_size;
}

void disk_index::erase_region(std::uint32_t region) {
    std::vector<block_tag> found;
    for (const auto& s : m_slots)
        if (s.tag != 0 && unpack(s.at).region == region) found.push_back(s.tag);
    for (const auto tag : found) erase(tag, region);
}

}  // namespace cess::cache
