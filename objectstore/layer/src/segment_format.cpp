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

namespace {

// Passes over all fragments side by side, a leaf of each at a time: what was sealed is coded and hashed while the
// processor has it in its cache, and the parity while it is there as well.
class encoder {
public:
    encoder(encoded_segment& out, block_cipher cipher, byte_view content, std::shared_ptr<const erasure::codec> code)
        : m_out(out), m_layout(out.layout), m_cipher(std::move(cipher)), m_content(content), m_code(std::move(code)),
          m_distinct(m_layout.geometry.k + (m_code ? m_layout.geometry.m : 0U)), m_leaves(m_distinct) {
        for (unsigned i = 0; i <= m_layout.geometry.k; ++i) m_first.push_back(first_block(i));
        m_next = m_first;
    }

    void run() {
        const auto size = m_layout.fragment();
        for (std::uint64_t at = 0; at < size; at += storage::leaf_size) pass(at, std::min<std::uint64_t>(storage::leaf_size, size - at));
        auto& named = m_out.identity;
        named.geometry = m_layout.geometry;
        named.stored_length = m_layout.stored();
        for (const auto& leaves : m_leaves) named.roots.push_back(storage::merkle_root(leaves));
        named.roots.resize(m_layout.fragments(), named.roots.front());  // copies
    }

private:
    // The block that holds the first byte of data fragment i; the end of all for i = k.
    [[nodiscard]] std::uint64_t first_block(unsigned i) const noexcept {
        return i == m_layout.geometry.k ? m_layout.blocks() : std::min(i * m_layout.fragment() / m_layout.sealed_block(), m_layout.blocks());
    }

    void pass(std::uint64_t at, std::uint64_t size) {
        // A block that begins in one fragment and ends in the next is the first of the next: the first pass seals it.
        for (unsigned i = 0; i < m_layout.geometry.k; ++i) seal(i, i * m_layout.fragment() + at + size);
        if (m_code) code(at, size);
        for (unsigned i = 0; i < m_distinct; ++i) m_leaves[i].push_back(storage::leaf_hash(m_out.fragment(i).subspan(at, size)));
    }
    void seal(unsigned fragment, std::uint64_t sealed_end) {
        for (auto& block = m_next[fragment]; block < m_first[fragment + 1] && m_layout.sealed_offset(block) < sealed_end; ++block)
            m_cipher.seal(block, m_content.subspan(m_layout.plain_offset(block), m_layout.plain_size(block)),
                          byte_span(m_out.data).subspan(m_layout.sealed_offset(block), m_layout.sealed_size(block)));
    }
    void code(std::uint64_t at, std::uint64_t size) {
        m_data.clear();
        m_parity.clear();
        for (unsigned i = 0; i < m_layout.geometry.k; ++i) m_data.push_back(m_out.fragment(i).subspan(at, size));
        for (unsigned i = 0; i < m_layout.geometry.m; ++i) m_parity.push_back(byte_span(m_out.parity).subspan(i * m_layout.fragment() + at, size));
        m_code->encode(m_data, m_parity);
    }

    encoded_segment& m_out;
    const segment_layout& m_layout;
    block_cipher m_cipher;
    const byte_view m_content;
    const std::shared_ptr<const erasure::codec> m_code;  // none: no parity
    const unsigned m_distinct;                           // fragments; copies are one
    std::vector<std::vector<hash256>> m_leaves;
    std::vector<std::uint64_t> m_first, m_next;  // blocks, by data fragment
    std::vector<byte_view> m_data;
    std::vector<byte_span> m_parity;
};

}  // namespace

result<std::shared_ptr<encoded_segment>> encode_segment(const segment_layout& layout, const crypto::secret_key& key, const volume_id& lineage,
                                                        segment_number number, byte_view content, std::shared_ptr<buffer_recycler> memory) {
    auto out = std::make_shared<encoded_segment>(std::move(memory));
    out->layout = layout;
    const auto size = layout.fragment();
    const unsigned k = layout.geometry.k, m = layout.geometry.m;
    out->data = out->memory->take(size * k);
    std::fill(out->data.begin() + static_cast<std::ptrdiff_t>(layout.stored()), out->data.end(), std::byte{0});
    std::shared_ptr<const erasure::codec> code;
    if (k > 1 && m > 0) {
        erasure::geometry shape;
        shape.k = layout.geometry.k;
        shape.m = layout.geometry.m;
        TRY(code, erasure::codec::make(shape));
        out->parity = out->memory->take(size * m);
    }
    encoder(*out, block_cipher(key, lineage, number), content, std::move(code)).run();
    return out;
}

}  // namespace cess::layer
