#include "disk_region.hpp"

#include <cstring>

namespace cess::cache {
namespace {

constexpr char magic[8] = {'C', 'E', 'S', 'S', 'C', 'C', 'H', '2'};
constexpr std::size_t entry_size = segment_id::size + 3 * sizeof(std::uint32_t);

template <class Number>
void store(std::byte* at, Number value) {  // little-endian
    for (std::size_t i = 0; i < sizeof value; ++i) at[i] = static_cast<std::byte>(value >> 8 * i);
}
template <class Number>
Number load(const std::byte* at) {
    Number value = 0;
    for (std::size_t i = 0; i < sizeof value; ++i) value |= static_cast<Number>(static_cast<Number>(at[i]) << 8 * i);
    return value;
}

std::uint64_t aligned(std::uint64_t n) { return (n + region_align - 1) / region_align * region_align; }
std::uint64_t table_size(std::size_t entries) { return entries * entry_size + crypto::aead_tag_size; }

crypto::secret_key table_key(const crypto::secret_key& tier, const salt256& salt) { return crypto::hkdf(tier, salt.view(), "cess disk cache table v2"); }

}  // namespace

result<region_header> parse_region_header(byte_view raw, std::uint64_t region_size) {
    const error empty(errc::corrupt, "no region of the disk cache");
    if (raw.size() < region_header::size || std::memcmp(raw.data(), magic, sizeof magic) != 0) return empty;
    region_header out;
    out.sequence = load<std::uint64_t>(&raw[8]);
    out.region_size = load<std::uint32_t>(&raw[16]);
    const auto queue = load<std::uint32_t>(&raw[20]);
    out.table_offset = load<std::uint32_t>(&raw[24]);
    out.table_size = load<std::uint32_t>(&raw[28]);
    out.salt = salt256::from(raw.subspan(32));
    if (out.region_size != region_size || queue > 1) return empty;
    if (out.table_offset < region_header::size || out.table_size < crypto::aead_tag_size || std::uint64_t{out.table_offset} + out.table_size > region_size)
        return empty;
    out.queue = static_cast<queue_kind>(queue);
    return out;
}

result<std::vector<region_entry>> open_table(const crypto::secret_key& tier, const salt256& salt, byte_view header, byte_view sealed,
                                             std::uint64_t region_size) {
    bytes plain(sealed.size() - crypto::aead_tag_size);
    crypto::aead cipher(table_key(tier, salt));
    CHECK_OK(cipher.open(crypto::aead_nonce::from_index(0), header.first(region_header::size), sealed, plain));
    std::vector<region_entry> out(plain.size() / entry_size);
    const auto* at = plain.data();
    for (auto& e : out) {
        e.key.segment = segment_id::from({at, segment_id::size});
        e.key.block = load<std::uint32_t>(at + segment_id::size);
        e.offset = load<std::uint32_t>(at + segment_id::size + 4);
        e.length = load<std::uint32_t>(at + segment_id::size + 8);
        at += entry_size;
        if (e.offset % region_align != 0 || std::uint64_t{e.offset} + e.length > region_size)
            return error(errc::corrupt, "table of the disk cache");
    }
    return out;
}

region_builder::region_builder(const crypto::secret_key& tier, std::uint64_t region_size, random_source& random)
    : m_raw(region_size), m_used(aligned(region_header::size)), m_salt(random.id<salt256>()), m_table(table_key(tier, m_salt)) {}

bool region_builder::fits(std::size_t sealed) const noexcept { return m_used + aligned(sealed) + table_size(m_entries.size() + 1) <= m_raw.size(); }

void region_builder::add(const block_key& which, byte_view sealed) {
    std::memcpy(&m_raw[m_used], sealed.data(), sealed.size());
    m_entries.push_back({which, static_cast<std::uint32_t>(m_used), static_cast<std::uint32_t>(sealed.size())});
    std::memset(&m_raw[m_used + sealed.size()], 0, aligned(sealed.size()) - sealed.size());  // memory is nobody's business on a disk
    m_used += aligned(sealed.size());
}

byte_view region_builder::finish(std::uint64_t sequence, queue_kind queue) {
    const auto sealed = table_size(m_entries.size());
    std::memcpy(m_raw.data(), magic, sizeof magic);
    store(&m_raw[8], sequence);
    store(&m_raw[16], static_cast<std::uint32_t>(m_raw.size()));
    store(&m_raw[20], static_cast<std::uint32_t>(queue));
    store(&m_raw[24], static_cast<std::uint32_t>(m_used));
    store(&m_raw[28], static_cast<std::uint32_t>(sealed));
    std::memcpy(&m_raw[32], m_salt.raw.data(), salt256::size);
    bytes plain(sealed - crypto::aead_tag_size);
    auto* at = plain.data();
    for (const auto& e : m_entries) {
        std::memcpy(at, e.key.segment.raw.data(), segment_id::size);
        store(at + segment_id::size, e.key.block);
        store(at + segment_id::size + 4, e.offset);
        store(at + segment_id::size + 8, e.length);
        at += entry_size;
    }
    const auto header = byte_view(m_raw).first(region_header::size);
    m_table.seal(crypto::aead_nonce::from_index(0), header, plain, byte_span(m_raw).subspan(m_used, sealed));
    return byte_view(m_raw).first(m_used + sealed);
}

}  // namespace cess::cache
