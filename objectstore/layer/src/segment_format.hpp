// How a segment's plain bytes become fragments: sealed in blocks, laid back to back, split in k, coded to k+m.
// docs/formats/segment.md has the bytes. Pure; what takes long is called on worker threads.
#pragma once

#include <chain/ledger/types.hpp>
#include <core/base/memory.hpp>
#include <core/crypto/crypto.hpp>
#include <core/erasure/codec.hpp>
#include <node/storage/protocol.hpp>

#include <memory>
#include <vector>

namespace cess::layer {

inline constexpr std::uint64_t small_segment = 64 * KiB;  // below it, sealed: copies instead of a code

// The arithmetic of one segment. REQUIRES: block_size > 0, geometry.k > 0.
struct segment_layout {
    std::uint64_t length = 0;
    std::uint32_t block_size = 0;
    ledger::shape geometry;

    [[nodiscard]] std::uint64_t sealed_block() const noexcept { return std::uint64_t{block_size} + crypto::aead_tag_size; }
    [[nodiscard]] std::uint64_t blocks() const noexcept { return (length + block_size - 1) / block_size; }
    [[nodiscard]] std::uint64_t stored() const noexcept { return length + blocks() * crypto::aead_tag_size; }
    [[nodiscard]] std::uint64_t fragment() const noexcept { return (stored() + geometry.k - 1) / geometry.k; }
    [[nodiscard]] unsigned fragments() const noexcept { return unsigned{geometry.k} + geometry.m; }
    [[nodiscard]] std::uint64_t plain_offset(std::uint64_t block) const noexcept { return block * block_size; }
    [[nodiscard]] std::uint64_t plain_size(std::uint64_t block) const noexcept { return std::min<std::uint64_t>(block_size, length - plain_offset(block)); }
    [[nodiscard]] std::uint64_t sealed_offset(std::uint64_t block) const noexcept { return block * sealed_block(); }
    [[nodiscard]] std::uint64_t sealed_size(std::uint64_t block) const noexcept { return plain_size(block) + crypto::aead_tag_size; }
};
[[nodiscard]] segment_layout layout_of(const ledger::segment_record& record) noexcept;
// errc::corrupt for a record whose numbers make no segment (the engine's metadata is verified, but not by us).
[[nodiscard]] result<void> check(const ledger::segment_record& record);

// The code that a segment of this sealed size gets.
[[nodiscard]] ledger::shape effective_geometry(ledger::shape wanted, std::uint64_t length, std::uint32_t block_size) noexcept;

[[nodiscard]] crypto::secret_key segment_key(const crypto::secret_key& volume_key, const salt256& salt);

// Seals and opens the blocks of one segment. Not thread-safe.
class block_cipher {
public:
    block_cipher(const crypto::secret_key& key, const volume_id& lineage, segment_number number);
    void seal(std::uint64_t block, byte_view plain, byte_span out);
    [[nodiscard]] result<void> open(std::uint64_t block, byte_view sealed, byte_span out);

private:
    [[nodiscard]] byte_view additional(std::uint64_t block);
    crypto::aead m_aead;
    bytes m_additional;
};

// The same range of all fragments, which for copies are one. Its memory goes back when it dies.
class encoded_slice {
public:
    encoded_slice(std::shared_ptr<buffer_recycler> memory, unsigned distinct, std::uint64_t offset, std::uint64_t size)
        : m_memory(std::move(memory)), m_data(m_memory->take(distinct * size)), m_distinct(distinct), m_offset(offset), m_size(size) {}
    ~encoded_slice() { m_memory->give(std::move(m_data)); }
    encoded_slice(const encoded_slice&) = delete;
    encoded_slice& operator=(const encoded_slice&) = delete;
    [[nodiscard]] std::uint64_t offset() const noexcept { return m_offset; }  // within each fragment
    [[nodiscard]] byte_view fragment(unsigned index) const noexcept { return byte_view(m_data).subspan(m_distinct == 1 ? 0 : index * m_size, m_size); }
    [[nodiscard]] byte_span fragment(unsigned index) noexcept { return byte_span(m_data).subspan(m_distinct == 1 ? 0 : index * m_size, m_size); }

private:
    const std::shared_ptr<buffer_recycler> m_memory;
    bytes m_data;
    const unsigned m_distinct;
    const std::uint64_t m_offset, m_size;
};

// The sealed bytes of a segment from some place on. Not thread-safe.
class sealed_stream {
public:
    sealed_stream(const segment_layout& layout, std::uint64_t from) noexcept : m_layout(layout), m_at(from) {}
    void fill(block_cipher& cipher, byte_view content, byte_span out);  // what comes next; zeros past the end

private:
    const segment_layout& m_layout;
    std::uint64_t m_at;
    bytes m_sealed;  // the block of which a part was given
    std::uint64_t m_block = ~std::uint64_t{0};
};

// Seals, codes, hashes and names a segment from front to back, all fragments side by side, so that it can be sent while it
// is made, by who does not hold all of it. The same arguments make the same bytes again. Not thread-safe.
class segment_encoder {
public:
    // REQUIRES: `content`, of the layout's length, stays; erasure::codec can make the geometry (errc::invalid)
    [[nodiscard]] static result<std::unique_ptr<segment_encoder>> make(const segment_layout& layout, const crypto::secret_key& key, const volume_id& lineage,
                                                                       segment_number number, byte_view content);
    segment_encoder(const segment_encoder&) = delete;
    segment_encoder& operator=(const segment_encoder&) = delete;

    [[nodiscard]] bool done() const noexcept { return m_next == m_layout.fragment(); }
    // The next `size` bytes of every fragment, or what is left. REQUIRES: !done(), a multiple of storage::leaf_size
    [[nodiscard]] std::shared_ptr<const encoded_slice> next(std::uint64_t size, std::shared_ptr<buffer_recycler> memory);
    [[nodiscard]] storage::segment_identity identity() const;  // REQUIRES: done()

private:
    segment_encoder(const segment_layout& layout, block_cipher cipher, byte_view content, std::shared_ptr<const erasure::codec> code);
    void pass(encoded_slice& out, std::uint64_t at, std::uint64_t size);

    const segment_layout m_layout;
    block_cipher m_cipher;
    const byte_view m_content;
    const std::shared_ptr<const erasure::codec> m_code;  // none: no parity
    std::uint64_t m_next = 0;
    std::vector<sealed_stream> m_sealed;        // of each data fragment
    std::vector<std::vector<hash256>> m_leaves;  // of each distinct fragment
    std::vector<byte_view> m_data;
    std::vector<byte_span> m_parity;
};

}  // namespace cess::layer
