// One fragment in one file: a header of a fixed size, the data, the hashes of its leaves.
#pragma once

#include "store_files.hpp"

namespace cess::storage {

inline constexpr std::uint64_t fragment_data_at = 4096;

struct fragment_tag {
    volume_id volume;
    term_number term;
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term); }
    friend auto operator<=>(const fragment_tag&, const fragment_tag&) = default;
};

struct fragment_header {
    static constexpr std::uint8_t wire_version = 2;
    std::string magic = "cess fragment";
    segment_identity identity;
    std::uint8_t index = 0;
    fragment_tag tag;  // as it was first put; the file's name has the one that counts
    template <class S, class C> static void describe(S& s, C& c) { c(s.magic, s.identity, s.index, s.tag); }
};

// Everything about an identity that a stranger can get wrong.
result<void> check_identity(const segment_identity& identity, unsigned index, std::uint64_t fragment_size_max);
// The same of what is known before there are roots.
result<void> check_shape(const ledger::shape& geometry, std::uint64_t stored_length, unsigned index, std::uint64_t fragment_size_max);
// Bytes of the file of a fragment of this length, and back; nothing if no fragment makes such a file.
[[nodiscard]] std::uint64_t fragment_file_size(std::uint64_t length) noexcept;
[[nodiscard]] std::optional<std::uint64_t> fragment_length_of_file(std::uint64_t size) noexcept;
[[nodiscard]] result<bytes> encode_header(const fragment_header& header);  // fragment_data_at bytes

// An open fragment: immutable once it is shared, thread-safe.
class fragment_file {
public:
    // Header and leaf hashes, checked against each other and the segment's id: errc::corrupt.
    static result<std::shared_ptr<fragment_file>> open(os::file_system& disk, const std::string& path, const fragment_ref& expected);
    static result<std::shared_ptr<fragment_file>> open_medium(os::file_system& disk, const std::string& path, const fragment_ref& expected);

    [[nodiscard]] const fragment_proof& proof() const noexcept { return m_proof; }
    [[nodiscard]] std::uint64_t length() const noexcept { return m_length; }
    result<bytes> read(std::uint64_t offset, std::uint32_t length) const;  // errc::corrupt where a leaf is known to be bad
    bool read_at_once(std::uint64_t offset, byte_span out) const;  // false, and nothing is known, if that would take long
    // Reads up to `count` leaves from `first` on, adds those that do not match (or cannot be read) to `bad`. Bytes read.
    result<std::uint64_t> check(std::uint32_t first, std::uint32_t count, std::vector<std::uint32_t>& bad) const;
    [[nodiscard]] std::uint32_t leaves() const noexcept { return static_cast<std::uint32_t>(m_proof.leaves.size()); }
    void refuse(std::vector<std::uint32_t> leaves) { m_bad = std::move(leaves); }  // ascending; before it is shared

private:
    static result<std::shared_ptr<fragment_file>> parse(std::unique_ptr<os::file> from, const std::string& path, const fragment_ref& expected);

    [[nodiscard]] std::optional<std::uint32_t> known_bad(std::uint64_t offset, std::uint64_t length) const;

    std::string m_path;
    std::unique_ptr<os::file> m_file;
    fragment_proof m_proof;
    std::uint64_t m_length = 0;
    std::vector<std::uint32_t> m_bad;
};

}  // namespace cess::storage
