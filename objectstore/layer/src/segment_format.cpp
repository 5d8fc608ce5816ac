#include "segment_format.hpp"

#include <algorithm>

namespace cess::layer {

segment_layout layout_of(const ledger::segment_record& record) noexcept {
    segment_layout out;
    out.length = record.length;
    out.block_size = record.block_size;
    out.geometry = record.geometry;
    return out;
}

result<void> check(const ledger::segment_record& record) {
    const auto& g = record.geometry;
    const bool sane = g.k >= 1 && g.k <= 32 && g.m <= 16 && record.block_size >= 16 && record.block_size <= 1 * MiB && record.length >= 1 &&
                      record.length <= 256 * MiB && record.holders.size() == std::size_t{g.k} + g.m;
    if (!sane) return error(errc::corrupt, "segment " + record.id.brief() + " has an impossible record");
    return {};
}

ledger::shape effective_geometry(ledger::shape wanted, std::uint64_t length, std::uint32_t block_size) noexcept {
    segment_layout layout;
    layout.length = length;
    layout.block_size = block_size;
    layout.geometry = wanted;
    if (layout.stored() < small_segment) wanted.k = 1;
    return wanted;
}

crypto::secret_key segment_key(const crypto::secret_key& volume_key, const salt256& salt) {
    return crypto::hkdf(volume_key, salt.view(), "cess segment v1");
}

// ---- blocks ----------------------------------------------------------------------------------------------

block_cipher::block_cipher(const crypto::secret_key& key, const volume_id& lineage, segment_number number) : m_aead(key) {
    m_additional = to_bytes("cess segment block v1");
    append(m_additional, lineage.view());
    append(m_additional, wire::encode(number));
    append(m_additional, wire::encode(std::uint64_t{0}));
}

byte_view block_cipher::additional(std::uint64_t block) {
    const auto index = crypto::aead_nonce::from_index(block);  // little-endian in its first 8 bytes
    std::memcpy(m_additional.data() + m_additional.size() - 8, index.raw.data(), 8);
    return m_additional;
}

void block_cipher::seal(std::uint64_t block, byte_view plain, byte_span out) {
    m_aead.seal(crypto::aead_nonce::from_index(block), additional(block), plain, out);
}

result<void> block_cipher::open(std::uint64_t block, byte_view sealed, byte_span out) {
    return m_aead.open(crypto::aead_nonce::from_index(block), additional(block), sealed, out);
}

// ---- fragments -------------------------------------------------------------------------------------------

void sealed_stream::fill(block_cipher& cipher, byte_view content, byte_span out) {
    while (!out.empty()) {
        if (m_at >= m_layout.stored()) return std::fill(out.begin(), out.end(), std::byte{0});
        const auto block = m_at / m_layout.sealed_block(), from = m_at - m_layout.sealed_offset(block);
        const auto plain = content.subspan(m_layout.plain_offset(block), m_layout.plain_size(block));
        const auto size = std::min<std::uint64_t>(out.size(), m_layout.sealed_size(block) - from);
        if (size == m_layout.sealed_size(block)) {
            cipher.seal(block, plain, out.first(size));
        } else {
            if (std::exchange(m_block, block) != block) {
                m_sealed.resize(m_layout.sealed_size(block));
                cipher.seal(block, plain, m_sealed);
            }
            std::memcpy(out.data(), m_sealed.data() + from, size);
        }
        m_at += size;
        out = out.subspan(size);
    }
}

result<std::unique_ptr<segment_encoder>> segment_encoder::make(const segment_layout& layout, const crypto::secret_key& key, const volume_id& lineage,
                                                               segment_number number, byte_view content) {
    std::shared_ptr<const erasure::codec> code;
    if (layout.geometry.k > 1 && layout.geometry.m > 0) {
        erasure::geometry shape;
        shape.k = layout.geometry.k;
        shape.m = layout.geometry.m;
        TRY(code, erasure::codec::make(shape));
    }
    return std::unique_ptr<segment_encoder>(new segment_encoder(layout, block_cipher(key, lineage, number), content, std::move(code)));
}

segment_encoder::segment_encoder(const segment_layout& layout, block_cipher cipher, byte_view content, std::shared_ptr<const erasure::codec> code)
    : m_layout(layout), m_cipher(std::move(cipher)), m_content(content), m_code(std::move(code)),
      m_leaves(m_layout.geometry.k + (m_code ? m_layout.geometry.m : 0U)) {
    for (unsigned i = 0; i < m_layout.geometry.k; ++i) m_sealed.emplace_back(m_layout, i * m_layout.fragment());
}

std::shared_ptr<const encoded_slice> segment_encoder::next(std::uint64_t size, std::shared_ptr<buffer_recycler> memory) {
    size = std::min(size, m_layout.fragment() - m_next);
    auto out = std::make_shared<encoded_slice>(std::move(memory), static_cast<unsigned>(m_leaves.size()), m_next, size);
    for (std::uint64_t at = 0; at < size; at += storage::leaf_size) pass(*out, at, std::min<std::uint64_t>(storage::leaf_size, size - at));
    m_next += size;
    return out;
}

// A leaf of each fragment: what was sealed is coded and hashed while the processor has it in its cache.
void segment_encoder::pass(encoded_slice& out, std::uint64_t at, std::uint64_t size) {
    const unsigned k = m_layout.geometry.k;
    m_data.clear();
    m_parity.clear();
    for (unsigned i = 0; i < k; ++i) {
        const auto data = out.fragment(i).subspan(at, size);
        m_sealed[i].fill(m_cipher, m_content, data);
        m_data.push_back(data);
    }
    for (unsigned i = k; i < m_leaves.size(); ++i) m_parity.push_back(out.fragment(i).subspan(at, size));
    if (m_code) m_code->encode(m_data, m_parity);
    for (unsigned i = 0; i < m_leaves.size(); ++i) m_leaves[i].push_back(storage::leaf_hash(std::as_const(out).fragment(i).subspan(at, size)));
}

storage::segment_identity segment_encoder::identity() const {
    storage::segment_identity out;
    out.geometry = m_layout.geometry;
    out.stored_length = m_layout.stored();
    for (const auto& leaves : m_leaves) out.roots.push_back(storage::merkle_root(leaves));
    out.roots.resize(m_layout.fragments(), out.roots.front());  // copies
    return out;
}

}  // namespace cess::layer
