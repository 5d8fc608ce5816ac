// How a segment's plain bytes become fragments: sealed in blocks, laid back to back, split in k, coded to k+m.
// docs/formats/segment.md has the bytes. Pure; what takes long is called on worker threads.
#pragma once

#include <chain/ledger/types.hpp>
#include <core/base/memory.hpp>
#include <core/crypto/crypto.hpp>
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

// All fragments of a segment, in memory, with what names them.
struct encoded_segment {
    explicit encoded_segment(std::shared_ptr<buffer_recycler> of) : memory(std::move(of)) {}
    ~encoded_segment();
    encoded_segment(const encoded_segment&) = delete;
    encoded_segment& operator=(const encoded_segment&) = delete;

    std::shared_ptr<buffer_recycler> memory;  // of data and parity
    segment_layout layout;
    bytes data;                      // k fragments back to back, padded with zeros
    bytes parity;                    // m fragments back to back; empty for copies
    storage::segment_identity identity;
    [[nodiscard]] byte_view fragment(unsigned index) const noexcept;
};
// Seals, codes, hashes and names.
[[nodiscard]] result<std::shared_ptr<encoded_segment>> encode_segment(const segment_layout& layout, const crypto::secret_key& key, const volume_id& lineage,
                                                                      segment_number number, byte_view content, std::shared_ptr<buffer_recycler> memory);

}  // namespace cess::layer
