#include "squeezing.hpp"

#include <algorithm>

namespace cess::volume {
namespace {

// What is left between them, in order.
std::vector<container_piece> left_of(segment_number number, std::uint64_t used, std::vector<overwritten_range> overwritten) {
    std::sort(overwritten.begin(), overwritten.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
    std::vector<container_piece> out;
    std::uint64_t at = 0;
    const auto keep = [&](std::uint64_t until) {
        if (until > at) out.push_back({number, static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(until - at)});
    };
    for (const auto& each : overwritten) {
        keep(each.offset);
        at = std::max(at, std::uint64_t{each.offset} + each.length);
    }
    keep(used);
    return out;
}

}  // namespace

result<std::optional<squeezed_buffer>> squeeze(const segment_buffer& of, std::uint64_t used, std::vector<overwritten_range> overwritten) {
    std::uint64_t dead = 0;
    std::optional<squeezed_buffer> out(std::in_place);
    for (const auto& each : overwritten) {
        dead += each.length;
        out->complete_from = std::max(out->complete_from, each.death);
    }
    if (dead == 0 || dead >= used || !pays_to_pack(used - dead, used)) return std::optional<squeezed_buffer>();
    container_table table;
    table.pieces = left_of(of.number(), used, std::move(overwritten));
    const auto begin = table.data_at();
    auto size = begin;
    const auto head = wire::encode(table);
    for (const auto& piece : table.pieces) size += piece.length;
    if (table.pieces.size() > container_pieces_max || !pays_to_pack(size, used)) return std::optional<squeezed_buffer>();
    out->content.resize(size);
    std::memcpy(out->content.data(), head.data(), head.size());
    std::memset(out->content.data() + head.size(), 0, begin - head.size());
    auto* to = out->content.data() + begin;
    for (const auto& piece : table.pieces) {
        std::memcpy(to, of.view(piece.offset, piece.length).data(), piece.length);
        to += piece.length;
    }
    TRY(auto index, piece_index::make(std::move(table), size));
    out->index = std::make_shared<const piece_index>(std::move(index));
    out->left_out = used - size;
    return out;
}

}  // namespace cess::volume
