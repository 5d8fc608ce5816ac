// What a journal's entries are: their plain form, their seal, their chain. Pure; docs/formats/journal.md has the layout
// and the argument why nothing acknowledged is lost.
//
// One append of the engine is one or more *entries*: what does not fit one entry goes in parts, and counts only when
// all of them are there. Entry 0 of every journal is a *seal*: it says where the predecessor ended and how many entries
// of it were copied behind the seal; a journal whose seal is not complete never served anybody.
#pragma once

#include <chain/ledger/types.hpp>
#include <core/crypto/crypto.hpp>
#include <node/storage/protocol.hpp>

#include <optional>
#include <vector>

namespace cess::layer {

enum class entry_kind : std::uint8_t { seal, whole, first, middle, last };

// Plain bytes of an entry, so that one entry is always one group's body and one request.
inline constexpr std::size_t entry_payload_max = net::body_size_max - 64 * KiB;
inline constexpr std::size_t group_payload_max = net::body_size_max;
inline constexpr std::size_t group_entries_max = 1024;
inline constexpr std::size_t entry_overhead = 1 + crypto::aead_tag_size;

struct journal_seal {
    static constexpr std::uint8_t wire_version = 1;
    term_number predecessor;    // whose journal the copies come from; 0 = none
    entry_index sealed_length;  // entries of it from here on are void for ever
    hash256 sealed_chain;       // its chain hash there
    std::uint32_t copied = 0;   // entries 1..copied of this journal are its tail
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.predecessor, self.sealed_length, self.sealed_chain, self.copied); }
    friend bool operator==(const journal_seal&, const journal_seal&) = default;
};

[[nodiscard]] crypto::secret_key journal_key(const crypto::secret_key& volume_key, const salt256& salt);

struct plain_entry {
    entry_kind kind = entry_kind::whole;
    bytes payload;
};

// As it travels and is stored.
struct sealed_entry {
    entry_index index;
    hash256 previous;  // chain hash before it
    hash256 chain;     // and behind it
    bytes payload;     // ciphertext
};

// Gives entries their index, nonce and place in the chain: one a journal, so that no nonce repeats. Not thread-safe.
class entry_sealer {
public:
    entry_sealer(storage::journal_ref journal, const crypto::secret_key& key, std::size_t payload_max = entry_payload_max);
    [[nodiscard]] sealed_entry seal(entry_kind kind, byte_view payload);
    // One append as one or more entries.
    [[nodiscard]] std::vector<sealed_entry> seal_split(byte_view payload);
    [[nodiscard]] entry_index next() const noexcept { return m_next; }

private:
    storage::journal_ref m_journal;
    crypto::aead m_aead;
    std::size_t m_payload_max;
    entry_index m_next;
    hash256 m_chain;
};

// Opens entries with the one key of the ring that fits (a lease does not say which generation it used). Not thread-safe.
class entry_opener {
public:
    entry_opener(storage::journal_ref journal, std::vector<crypto::secret_key> candidates);
    [[nodiscard]] result<plain_entry> open(entry_index index, byte_view sealed);

private:
    storage::journal_ref m_journal;
    std::vector<crypto::secret_key> m_candidates;
    std::optional<crypto::aead> m_aead;  // of the key that fitted
};

// A member's journal, read page by page and believed only where it chains, opens, and ends in a signature.
struct journal_chain {
    entry_index base;                  // index of entries[0]
    entry_index end;
    hash256 chain;                     // before `end`
    std::vector<plain_entry> entries;
};
class chain_reader {
public:
    // Reads from the group that holds `from` on.
    chain_reader(storage::journal_ref journal, public_key session, std::vector<crypto::secret_key> candidates, entry_index from);
    // errc::corrupt at the first byte that does not fit. Page and body come from a stranger.
    [[nodiscard]] result<void> add(const storage::journal_read_reply& page, byte_view body);
    [[nodiscard]] entry_index next() const noexcept { return m_chain.end; }
    // Checks the last group's signature, which covers all before it through the chain.
    [[nodiscard]] result<journal_chain> finish() &&;

private:
    result<void> add_group(const storage::stored_group& group, byte_view body);

    storage::journal_ref m_journal;
    public_key m_session;
    entry_opener m_opener;
    journal_chain m_chain;
    bool m_started = false;
    signature m_last_signature;
};

// The seal, if entry 0 and all the copies it announces are there.
[[nodiscard]] std::optional<journal_seal> complete_seal(const journal_chain& chain);

// Entries from `from` on that count: without the seal, without parts whose append is not complete.
[[nodiscard]] std::vector<plain_entry> countable(std::vector<plain_entry> entries);
// And put together again as the engine appended them.
[[nodiscard]] std::vector<bytes> assemble(const std::vector<plain_entry>& entries);

}  // namespace cess::layer
