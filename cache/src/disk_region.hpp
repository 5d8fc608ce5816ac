// A region of the disk tier: a header, blocks that came sealed, and a sealed table of what they are. Pure;
// docs/formats/cache.md.
//
// Every region is written once, as a whole. Its table has a key of its own: HKDF(the tier's key, a fresh salt), and
// repeats the header as additional data: a table under another header does not open.
#pragma once

#include "disk_index.hpp"

#include <core/crypto/crypto.hpp>

namespace cess::cache {

enum class queue_kind : std::uint8_t { small = 0, main = 1 };

struct region_header {
    static constexpr std::size_t size = 64;
    std::uint64_t sequence = 0;  // of regions written; newer ones win
    std::uint32_t region_size = 0;
    queue_kind queue = queue_kind::small;
    std::uint32_t table_offset = 0, table_size = 0;  // sealed
    salt256 salt;
};
[[nodiscard]] result<region_header> parse_region_header(byte_view raw, std::uint64_t region_size);  // errc::corrupt

struct region_entry {
    block_key key;
    std::uint32_t offset = 0;  // of the sealed block in the region
    std::uint32_t length = 0;  // sealed
};

[[nodiscard]] result<std::vector<region_entry>> open_table(const crypto::secret_key& tier, const salt256& salt, byte_view header, byte_view sealed,
                                                           std::uint64_t region_size);

// One region on its way to the disk. Not thread-safe.
class region_builder {
public:
    region_builder(const crypto::secret_key& tier, std::uint64_t region_size, random_source& random);
    [[nodiscard]] bool fits(std::size_t sealed) const noexcept;
    void add(const block_key& which, byte_view sealed);  // REQUIRES: fits(sealed.size())
    [[nodiscard]] const std::vector<region_entry>& entries() const noexcept { return m_entries; }
    // The bytes to be written at the region's start. REQUIRES: nothing is added afterwards
    [[nodiscard]] byte_view finish(std::uint64_t sequence, queue_kind queue);

private:
    bytes m_raw;
    std::uint64_t m_used;
    salt256 m_salt;
    crypto::aead m_table;
    std::vector<region_entry> m_entries;
};

}  // namespace cess::cache
