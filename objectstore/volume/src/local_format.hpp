// The files of a local journal: what `durability=local` acknowledges from this machine's own disk. docs/formats/local.md
// has the layout. Pure; what is parsed may be torn, rotten or not ours.
//
// A record is on stable storage before the next one is begun, so that only the last one can be torn. Whatever follows a
// record that does not open is therefore either nothing, or proof of damage.
#pragma once

#include "entry_name.hpp"

#include <core/base/bytes.hpp>
#include <core/crypto/crypto.hpp>

#include <functional>
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

// One record, padded. Not thread-safe.
class record_sealer {
public:
    record_sealer(const crypto::secret_key& key, const salt256& salt) : m_aead(key), m_salt(salt) {}
    [[nodiscard]] bytes seal(std::uint64_t number, byte_view entry);

private:
    crypto::aead m_aead;
    salt256 m_salt;
};

// Reads a file an entry at a time, so that no more than one is in memory. Movable, not thread-safe.
class record_reader {
public:
    struct source {
        std::uint64_t size = 0;  // of the file
        std::function<result<std::size_t>(std::uint64_t offset, byte_span out)> read;  // fewer bytes only at its end
    };
    struct record {
        std::uint64_t number = 0;
        std::uint64_t at = 0;  // in the file
        bytes entry;
    };
    // errc::corrupt; errc::not_found if nothing was ever written behind the header: a file that was begun when the power went.
    [[nodiscard]] static result<record_reader> open(const crypto::secret_key& account_wrapping, source from);
    [[nodiscard]] const file_header& header() const noexcept { return m_header; }
    // Numbers header().first and on; none: no more can be had. Errors are the source's.
    [[nodiscard]] result<std::optional<record>> next();
    // Once next() told of the end: records follow that cannot be had, so that what was acknowledged is missing.
    [[nodiscard]] bool damaged() const noexcept { return m_damaged; }
    // One that next() told of, once more. errc::corrupt if it does not open any more.
    [[nodiscard]] result<bytes> read(std::uint64_t at, std::uint64_t number);

private:
    record_reader(source from, file_header header, const crypto::secret_key& key);
    [[nodiscard]] result<std::optional<bytes>> open_record(std::uint64_t at, std::uint64_t number);
    [[nodiscard]] result<bool> anything_after(std::uint64_t missing);

    source m_from;
    file_header m_header;
    crypto::aead m_aead;
    std::uint64_t m_at = records_at;
    std::uint64_t m_next = 0;  // number
    bool m_damaged = false;
};

struct parsed_file {
    file_header header;
    std::vector<bytes> entries;  // numbers header.first and on
    bool damaged = false;        // as record_reader tells it
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
