#include "row_cursor.hpp"

#include "format.hpp"

namespace cess::fs {
namespace {

constexpr std::size_t owner_end = 1 + sizeof(std::uint64_t);

}  // namespace

std::optional<std::uint64_t> owner_of(byte_view key) {
    if (key.size() < owner_end) return std::nullopt;
    return format::last_number(key.first(owner_end)).value();
}

result<const volume::key_value*> row_cursor::peek() {
    if (m_at < m_batch.size()) return &m_batch[m_at];
    if (m_complete) return nullptr;
    TRY(m_batch, m_of.scan(m_prefix, m_from, m_batch_max));
    m_at = 0;
    m_complete = m_batch.size() < m_batch_max;
    if (m_batch.empty()) return nullptr;
    m_from = m_batch.back().key;
    m_from.push_back(std::byte{0});
    return &m_batch.front();
}

result<std::optional<volume::blob_id>> blob_cursor::peek() {
    constexpr std::size_t batch_max = 1024;
    if (m_at == m_batch.size() && !m_complete) {
        TRY(m_batch, m_of.blobs(m_from, batch_max));
        m_at = 0;
        m_complete = m_batch.size() < batch_max || m_batch.back() == ~volume::blob_id{0};
        if (!m_batch.empty()) m_from = m_batch.back() + 1;
    }
    if (m_at == m_batch.size()) return std::optional<volume::blob_id>();
    return std::optional(m_batch[m_at]);
}

}  // namespace cess::fs
