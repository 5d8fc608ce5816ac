// The files of a local journal: what `durability=local` acknowledges from this machine's own disk. docs/formats/local.md
// has the layout. Pure; what is parsed may be torn, rotten or not ours.
//
// A record is on stable storage before the next one is begun, so that only the last one can be torn. Whatever follows a
// record that does not open is therefore either nothing, or proof of damage.
#pragma once

#include "entry_name.hpp"

#include <core/base/bytes.hpp>
#include <core/crypto/crypto.hpp>

#include <optional>
#include <string>
#include <vector>

namespace cess::volume::local {

inline constexpr std::size_t records_at = 4096;        // the header has the room before
inline constexpr std::size_t entry_max = 128 * MiB;    // no entry is as large

struct file_header {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    volume_id volume;
    term_number term;
    entry_name after;         // the last entry of the history that the term began with
    std::uint64_t first = 1;  // number of the first record's entry
    salt256 salt;             // of the file's key
    template <class S, class C> static void describe(S& s, C& c) { c(s.network, s.volume, s.term, s.after, s.first, s.salt); }
};

[[nodiscard]] crypto::secret_key file_key(const crypto::secret_key& account_wrapping, const salt256& salt);

// records_at bytes.
[[nodiscard]] bytes encode_header(const file_header& of);
// errc::corrupt; errc::not_found if nothing was ever written behind it: a file that was begun when the power went.
[[nodiscard]] result<file_header> parse_header(byte_view file);

// One record, padded. Not thread-safe.
class record_sealer {
public:
    record_sealer(const crypto::secret_key& key, const salt256& salt) : m_aead(key), m_salt(salt) {}
    [[nodiscard]] bytes seal(std::uint64_t number, byte_view entry);

private:
    crypto::aead m_aead;
    salt256 m_salt;
};

struct parsed_file {
    file_header header;
    std::vector<bytes> entries;  // numbers header.first and on
    bool damaged = false;        // records follow that cannot be had: what was acknowledged is missing
};
[[nodiscard]] result<parsed_file> parse_file(const crypto::secret_key& account_wrapping, byte_view file);

// TERM-FIRST.journal, both 16 hexadecimal digits, so that names sort as the history does.
[[nodiscard]] std::string file_name(term_number term, std::uint64_t first);
struct file_place {
    term_number term;
    std::uint64_t first = 0;
};
[[nodiscard]] std::optional<file_place> parse_file_name(std::string_view name) noexcept;
[[nodiscard]] inline bool is_file_name(std::string_view name) noexcept { return parse_file_name(name).has_value(); }

}  // namespace cess::volume::local
