#include "container.hpp"

#include <core/net/blocking.hpp>

#include <algorithm>

namespace cess::volume {
namespace {

constexpr std::uint64_t first_read = 16 * KiB;  // most tables end before
constexpr std::uint64_t block = container_padding_max;
constexpr std::size_t pieces_aligned = 64;  // of fewer, the padding would be a part of what it wins

error damaged(const ledger::segment_record& container, const char* why) {
    return {errc::corrupt, "container segment " + std::to_string(container.number.value) + ": " + why};
}

result<bytes> read_front(layer::layer& on, const layer::keyring& keys, const ledger::segment_record& of, std::uint64_t length) {
    bytes out(length);
    std::vector<layer::piece> pieces{{&of, 0, out}};
    CHECK_OK(on.read(keys, pieces));
    return out;
}

template <class Record>
result<std::optional<Record>> read_record(layer::layer& on, const bytes& key) {
    const auto deadline = on.world().now() + on.limits().request;
    TRY(auto read, net::wait(on.world(), on.ledger().read(key, deadline)));
    if (!read.value) return std::optional<Record>();
    TRY(auto record, wire::decode<Record>(*read.value));
    return std::optional<Record>(std::move(record));
}

}  // namespace

std::uint64_t container_table::data_at() const noexcept {
    const auto end = size_of(pieces.size());
    const bool blocks = std::all_of(pieces.begin(), pieces.end(), [](const container_piece& p) { return p.offset % block == 0 && p.length % block == 0; });
    return blocks && pieces.size() >= pieces_aligned ? (end + block - 1) / block * block : end;
}

result<piece_index> piece_index::make(container_table table, std::uint64_t length) {
    piece_index out;
    auto at = table.data_at();
    const container_piece* before = nullptr;
    for (const auto& piece : table.pieces) {
        if (piece.length == 0 || std::uint64_t{piece.offset} + piece.length > segment_length_max) return error(errc::corrupt, "container with an impossible piece");
        if (before && (piece.number < before->number || (piece.number == before->number && piece.offset < before->offset + before->length)))
            return error(errc::corrupt, "container whose pieces are out of order");
        out.m_at.push_back(at);
        at += piece.length;
        before = &piece;
    }
    if (at != length) return error(errc::corrupt, "container of another length than its table says");
    out.m_pieces = std::move(table.pieces);
    return out;
}

piece_index::run piece_index::find(segment_number number, std::uint64_t offset) const {
    const auto past = std::upper_bound(m_pieces.begin(), m_pieces.end(), std::pair(number, offset),
                                       [](const auto& key, const container_piece& p) { return key < std::pair(p.number, std::uint64_t{p.offset}); });
    if (past == m_pieces.begin()) return {};
    const auto& piece = *std::prev(past);
    if (piece.number != number || offset >= std::uint64_t{piece.offset} + piece.length) return {};
    const auto inside = offset - piece.offset;
    return {m_at[static_cast<std::size_t>(std::prev(past) - m_pieces.begin())] + inside, piece.length - inside};
}

result<void> locator::expand(const layer::keyring& keys, const segment_table::location& container, segment_number number, std::uint64_t offset,
                             byte_span out, std::vector<layer::piece>& to) {
    TRY(const auto table, table_of(keys, *container));
    while (!out.empty()) {
        const auto found = table->find(number, offset);
        if (found.length == 0) return damaged(*container, ("has nothing at " + std::to_string(offset) + " of segment " + std::to_string(number.value)).c_str());
        const auto part = out.first(std::min<std::uint64_t>(found.length, out.size()));
        to.push_back({container.get(), found.at, part});
        out = out.subspan(part.size());
        offset += part.size();
    }
    return {};
}

void locator::expand_known(const segment_table::location& container, segment_number number, std::uint64_t offset, std::uint64_t length,
                           std::vector<layer::coming>& to) {
    const auto table = known(container->id);
    while (table && length > 0) {
        const auto found = table->find(number, offset);
        if (found.length == 0) return;  // the read itself will say so
        const auto part = std::min(found.length, length);
        to.push_back({container.get(), found.at, part});
        offset += part;
        length -= part;
    }
}

std::shared_ptr<const piece_index> locator::known(const segment_id& container) {
    const std::lock_guard lock(m_mutex);
    const auto it = m_tables.find(container);
    if (it == m_tables.end()) return nullptr;
    m_uses.splice(m_uses.begin(), m_uses, it->second.use);
    return it->second.index;
}

result<std::shared_ptr<const piece_index>> locator::table_of(const layer::keyring& keys, const ledger::segment_record& container) {
    if (auto here = known(container.id)) return here;
    TRY(auto front, read_front(m_layer, keys, container, std::min(container.length, first_read)));
    if (front.size() < container_head_size || front[0] != std::byte{container_table::wire_version}) return damaged(container, "has no table that we know");
    std::uint64_t count = 0;
    for (std::size_t i = 4; i > 0; --i) count = count << 8 | std::to_integer<std::uint64_t>(front[i]);
    const auto size = container_table::size_of(count);
    if (count > container_pieces_max || size > container.length) return damaged(container, "its table is longer than it may be");
    if (size > front.size()) {
        TRY(front, read_front(m_layer, keys, container, size));
    }
    front.resize(size);
    auto table = wire::decode<container_table>(front);
    if (!table) return damaged(container, table.error().what.c_str());
    auto index = piece_index::make(std::move(*table), container.length);
    if (!index) return damaged(container, index.error().what.c_str());
    const auto made = std::make_shared<const piece_index>(std::move(*index));
    learn(container.id, made);
    return made;
}

void locator::learn(const segment_id& container, std::shared_ptr<const piece_index> index) {
    const std::lock_guard lock(m_mutex);
    if (m_tables.contains(container)) return;
    m_uses.push_front(container);
    m_held += index->memory();
    m_tables[container] = {std::move(index), m_uses.begin()};
    while (m_held > m_memory && m_tables.size() > 1) {
        const auto oldest = m_tables.find(m_uses.back());
        m_held -= oldest->second.index->memory();
        m_tables.erase(oldest);
        m_uses.pop_back();
    }
}

result<bool> locator::look_up(const segment_ref& ref) {
    const auto known = m_segments.is_own(ref) ? nullptr : m_segments.record_of(ref);
    if (!known) return false;
    TRY(const auto still, read_record<ledger::segment_record>(m_layer, ledger::key::segment(known->lineage, known->number)));
    if (still) return false;
    // A container may move on between two questions; then the forward names the next one. The same answer twice: freed.
    const auto give_up = m_layer.world().now() + m_layer.limits().read;
    segment_number gone;
    do {
        TRY(const auto leads, read_record<ledger::forward_record>(m_layer, ledger::key::forward(known->lineage, known->number)));
        if (!leads || leads->to == gone) return false;
        TRY(auto to, read_record<ledger::segment_record>(m_layer, ledger::key::segment(known->lineage, leads->to)));
        if (to && (to->lineage != known->lineage || to->number != leads->to)) return damaged(*to, "is not where the ledger keeps it");
        if (to) return m_segments.forward(ref, std::move(*to));
        gone = leads->to;
    } while (m_layer.world().now() < give_up);
    return error(errc::timeout, "segment " + std::to_string(known->number.value) + " moves on faster than it can be followed");
}

}  // namespace cess::volume
