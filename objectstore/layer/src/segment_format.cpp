#include "segment_format.hpp"

#include <core/erasure/codec.hpp>

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

encoded_segment::~encoded_segment() {
    memory->give(std::move(data));
    memory->give(std::move(parity));
}

byte_view encoded_segment::fragment(unsigned index) const noexcept {
    const auto size = layout.fragment();
    if (layout.geometry.k == 1) return byte_view(data).first(size);
    if (index < layout.geometry.k) return byte_view(data).subspan(index * size, size);
    return byte_view(parity).subspan((index - layout.geometry.k) * size, size);
}

result<std::shared_ptr<encoded_segment>> encode_segment(const segment_layout& layout, const crypto::secret_key& key, const volume_id& lineage,
                                                        segment_number number, byte_view content, std::shared_ptr<buffer_recycler> memory) {
    auto out = std::make_shared<encoded_segment>(std::move(memory));
    out->layout = layout;
    const auto size = layout.fragment();
    const unsigned k = layout.geometry.k, m = layout.geometry.m;
    out->data = out->memory->take(size * k);
    block_cipher cipher(key, lineage, number);
    for (std::uint64_t block = 0; block < layout.blocks(); ++block)
        cipher.seal(block, content.subspan(layout.plain_offset(block), layout.plain_size(block)),
                    byte_span(out->data).subspan(layout.sealed_offset(block), layout.sealed_size(block)));
    std::fill(out->data.begin() + static_cast<std::ptrdiff_t>(layout.stored()), out->data.end(), std::byte{0});
    if (k > 1 && m > 0) {
        erasure::geometry shape;
        shape.k = layout.geometry.k;
        shape.m = layout.geometry.m;
        TRY(const auto codec, erasure::codec::make(shape));
        out->parity = out->memory->take(size * m);
        std::vector<byte_view> data;
        std::vector<byte_span> parity;
        for (unsigned i = 0; i < k; ++i) data.push_back(out->fragment(i));
        for (unsigned i = 0; i < m; ++i) parity.push_back(byte_span(out->parity).subspan(i * size, size));
        codec->encode(data, parity);
    }
    out->leaves.resize(layout.fragments());
    return out;
}

void hash_fragment(encoded_segment& of, unsigned index) { of.leaves[index] = storage::leaf_hashes(of.fragment(index)); }

void name_segment(encoded_segment& of) {
    of.identity.geometry = of.layout.geometry;
    of.identity.stored_length = of.layout.stored();
    of.identity.roots.clear();
    for (unsigned i = 0; i < of.layout.fragments(); ++i)
        of.identity.roots.push_back(storage::merkle_root(of.leaves[of.layout.geometry.k == 1 ? 0 : i]));
}

}  // namespace cess::layer
