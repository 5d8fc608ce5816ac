#include "placing.hpp"

#include <charconv>

namespace cess::fs {
namespace {

constexpr std::size_t batch = 1024;             // extents looked at
constexpr std::size_t encoded_max = 48 * KiB;   // of an attribute's 64

placement::part part_of(const volume::located_range& range) {
    placement::part out;
    out.offset = range.place.offset;
    out.length = range.place.length;
    if (!range.in) return out;
    out.segment = range.in->id;
    out.k = range.in->geometry.k;
    out.m = range.in->geometry.m;
    out.holders = range.in->holders;
    return out;
}

bool continues(const placement::part& before, const placement::part& with) {
    return before.offset + before.length == with.offset && before.segment == with.segment && before.holders.empty() == with.holders.empty();
}

std::size_t cost(const placement::part& of) { return 64 + of.holders.size() * node_id::size; }

}  // namespace

std::optional<std::uint64_t> placement_offset(std::string_view name) {
    if (!name.starts_with(placement_attribute)) return std::nullopt;
    name.remove_prefix(placement_attribute.size());
    if (name.empty()) return 0;
    std::uint64_t offset = 0;
    const auto [end, failed] = std::from_chars(name.data() + 1, name.data() + name.size(), offset);
    if (name.front() != '@' || failed != std::errc() || end != name.data() + name.size()) return std::nullopt;
    return offset;
}

answer<placement> place(context& in, const inode& node, std::uint64_t offset) {
    placement out;
    auto& data = in.volume.data();
    out.volume = data.record().name;
    if (!node.record.is_regular()) return out;
    FS_TRY(const auto ranges, data.locate(node.ino.value, offset, node.record.data_end, batch));
    std::size_t size = 0;
    for (const auto& range : ranges) {
        auto next = part_of(range);
        if (!out.parts.empty() && continues(out.parts.back(), next)) {
            out.parts.back().length += next.length;
            continue;
        }
        size += cost(next);
        if (size > encoded_max) {
            out.next = next.offset;
            return out;
        }
        out.parts.push_back(std::move(next));
    }
    if (ranges.size() == batch) out.next = ranges.back().place.end();
    return out;
}

}  // namespace cess::fs
