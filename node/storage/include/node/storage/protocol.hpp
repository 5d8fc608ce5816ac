// What a storage miner can be asked over RPC: messages and methods. docs/formats/storage.md has the rules.
//
// Authority: a request that writes names {volume, term} and comes from the session key of that term's lease (the
// TLS identity). A miner that has not seen the lease answers errc::lease_required; the caller presents it
// (`present`) and asks again. Fragments and journal entries are ciphertext to the miner.
#pragma once

#include <chain/ledger/proof.hpp>
#include <core/net/rpc.hpp>

namespace cess::storage {

namespace method {
inline constexpr net::method_id hello = 0x0100;           // hello_request → hello_reply
inline constexpr net::method_id present = 0x0101;         // present_request → empty_reply
inline constexpr net::method_id put = 0x0110;             // put_request + body (the whole fragment) → empty_reply
inline constexpr net::method_id put_begin = 0x0111;       // put_plan → put_handle; then chunks, in any order, then commit
inline constexpr net::method_id put_chunk = 0x0112;       // chunk_request + body → empty_reply
inline constexpr net::method_id put_commit = 0x0113;      // put_end → empty_reply: whole, verified and durable
inline constexpr net::method_id get = 0x0114;             // get_request → get_reply + body
inline constexpr net::method_id verify = 0x0115;          // fragment_ref → verify_reply: reads and hashes everything it holds
inline constexpr net::method_id settle = 0x0116;          // settle_request → empty_reply: committed, or freed
inline constexpr net::method_id get_ranges = 0x0117;      // get_ranges_request → get_ranges_reply + body
inline constexpr net::method_id journal_append = 0x0120;  // append_request + body → append_reply
inline constexpr net::method_id journal_fence = 0x0121;   // fence_request → journal_state
inline constexpr net::method_id journal_read = 0x0122;    // journal_read_request → journal_read_reply + body
inline constexpr net::method_id journal_trim = 0x0123;    // trim_request → empty_reply
inline constexpr net::method_id journal_state = 0x0124;   // journal_ref → journal_state (of a journal it has nothing of: base = end = 0)

[[nodiscard]] constexpr bool is_read(net::method_id method) noexcept { return method == get || method == get_ranges; }  // of fragments
}  // namespace method

struct empty_reply { template <class S, class C> static void describe(S&, C&) {} };

struct hello_request {
    static constexpr std::uint8_t wire_version = 3;  // raised with whatever client and miner must agree on
    network_id network;
    template <class S, class C> static void describe(S& s, C& c) { c(s.network); }
};
struct hello_reply {
    node_id id;
    incarnation_id incarnation;
    std::uint64_t capacity = 0;   // bytes it will hold
    std::uint64_t used = 0;       // bytes it holds
    std::uint64_t fragments = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.id, s.incarnation, s.capacity, s.used, s.fragments); }
};

// The volume's certified record: the miner takes every lease in it, checks quorum and path, and remembers durably
// the highest term it has seen.
struct present_request {
    static constexpr std::uint8_t wire_version = 1;
    ledger::proved_record volume;
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume); }
};

struct fragment_ref {
    segment_id segment;
    std::uint8_t index = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.segment, s.index); }
    friend bool operator==(const fragment_ref&, const fragment_ref&) = default;
};

// The Merkle leaf of a fragment: 64 KiB, the last one shorter. Hashes are BLAKE3's of two contexts: leaf(data) and
// node(left ‖ right); an odd node moves up unchanged; the root of an empty fragment is leaf of nothing.
inline constexpr std::size_t leaf_size = 64 * KiB;
// segment id = sha256("cess segment v2" ‖ encode(segment_identity))
struct segment_identity {
    ledger::shape geometry;
    std::uint64_t stored_length = 0;  // of the sealed segment: data fragments together, without padding
    std::vector<hash256> roots;       // of each fragment
    template <class S, class C> static void describe(S& s, C& c) { c(s.geometry, s.stored_length, s.roots); }
    friend bool operator==(const segment_identity&, const segment_identity&) = default;
};
[[nodiscard]] segment_id id_of(const segment_identity& identity);
[[nodiscard]] hash256 leaf_hash(byte_view leaf);
[[nodiscard]] std::vector<hash256> leaf_hashes(byte_view fragment);
[[nodiscard]] hash256 merkle_root(const std::vector<hash256>& leaves);
// Bytes of each fragment: ceil(stored_length / k); the last data fragment is padded with zeros. For k = 1 all are copies.
[[nodiscard]] std::uint64_t fragment_length(const ledger::shape& geometry, std::uint64_t stored_length) noexcept;
[[nodiscard]] inline std::uint64_t fragment_length(const segment_identity& identity) noexcept { return fragment_length(identity.geometry, identity.stored_length); }

struct put_request {
    static constexpr std::uint8_t wire_version = 2;
    volume_id volume;
    term_number term;
    segment_identity identity;
    std::uint8_t index = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term, s.identity, s.index); }
};
// A fragment that is sent while it is made: what names it is known at its end.
struct put_plan {
    static constexpr std::uint8_t wire_version = 1;
    volume_id volume;
    term_number term;
    ledger::shape geometry;
    std::uint64_t stored_length = 0;
    std::uint8_t index = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term, s.geometry, s.stored_length, s.index); }
};
[[nodiscard]] put_plan plan_of(const put_request& what);
struct put_end {
    static constexpr std::uint8_t wire_version = 1;
    std::uint64_t handle = 0;
    segment_identity identity;  // of the plan's geometry and length
    template <class S, class C> static void describe(S& s, C& c) { c(s.handle, s.identity); }
};
struct put_handle {
    std::uint64_t handle = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.handle); }
};
struct chunk_request {
    std::uint64_t handle = 0;
    std::uint64_t offset = 0;  // a multiple of leaf_size
    template <class S, class C> static void describe(S& s, C& c) { c(s.handle, s.offset); }
};
struct get_request {
    static constexpr std::uint8_t wire_version = 2;
    fragment_ref fragment;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;      // at most net::body_size_max
    bool with_proof = false;       // also the identity and all leaf hashes
    template <class S, class C> static void describe(S& s, C& c) { c(s.fragment, s.offset, s.length, s.with_proof); }
};
struct fragment_proof {
    segment_identity identity;
    std::vector<hash256> leaves;
    template <class S, class C> static void describe(S& s, C& c) { c(s.identity, s.leaves); }
};
struct get_reply {
    std::optional<fragment_proof> proof;
    template <class S, class C> static void describe(S& s, C& c) { c(s.proof); }
};
// Several small reads at once, of any fragments. Without proofs, which are as large as what they prove.
inline constexpr std::size_t ranges_max = 64;
inline constexpr std::uint64_t ranges_bytes_max = 1 * MiB;  // together
struct fragment_range {
    fragment_ref fragment;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.fragment, s.offset, s.length); }
};
struct get_ranges_request {
    static constexpr std::uint8_t wire_version = 1;
    std::vector<fragment_range> ranges;
    template <class S, class C> static void describe(S& s, C& c) { c(s.ranges); }
};
struct range_outcome {
    std::uint16_t code = 0;  // errc::ok: all of the range is in the body
    std::string why;
    template <class S, class C> static void describe(S& s, C& c) { c(s.code, s.why); }
};
struct get_ranges_reply {
    std::vector<range_outcome> outcomes;  // in the order of the request, as the bytes are in the body
    template <class S, class C> static void describe(S& s, C& c) { c(s.outcomes); }
};
struct verify_reply {
    bool sound = false;
    std::uint64_t length = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.sound, s.length); }
};
// Proof that the ledger lists a segment here (its segment record, with this miner among the holders) or freed it (its
// freed record).
struct settle_request {
    static constexpr std::uint8_t wire_version = 1;
    std::vector<ledger::proved_record> records;
    template <class S, class C> static void describe(S& s, C& c) { c(s.records); }
};

// ---- journals --------------------------------------------------------------------------------------------

struct journal_ref {
    volume_id volume;
    term_number term;
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term); }
    friend auto operator<=>(const journal_ref&, const journal_ref&) = default;
};
// chain hash of entry i = blake3("cess 2026-11 journal entry": journal ‖ index ‖ previous hash ‖ payload); before entry 0 it is zero.
[[nodiscard]] hash256 chain_hash(const journal_ref& journal, entry_index index, const hash256& previous, byte_view payload);

// A group of entries, appended together and signed once. The body holds the payloads back to back.
struct append_request {
    static constexpr std::uint8_t wire_version = 2;
    journal_ref journal;
    entry_index first;
    entry_index begin;                   // an empty journal starts only with the group that starts here
    hash256 previous;                    // chain hash before `first`
    hash256 chain;                       // and after the last entry
    std::vector<std::uint32_t> lengths;  // of the payloads
    signature sig;                       // by the session key, over group_digest() of the last entry
    template <class S, class C> static void describe(S& s, C& c) { c(s.journal, s.first, s.begin, s.previous, s.chain, s.lengths, s.sig); }
};
// What a group's signature covers: sha256("cess journal group v1" ‖ journal ‖ index of the last entry ‖ its chain hash)
[[nodiscard]] hash256 group_digest(const journal_ref& journal, entry_index last, const hash256& chain);
// Never refused for its position: what the journal already has is answered once it is durable, a gap appends nothing.
struct append_reply {
    entry_index durable;  // first index that is not on stable storage
    template <class S, class C> static void describe(S& s, C& c) { c(s.durable); }
};

struct journal_state {
    journal_ref journal;
    incarnation_id incarnation;
    term_number fence;  // appends of lower terms are refused for ever
    entry_index base;   // entries before it were trimmed
    hash256 base_chain; // chain hash before `base`
    entry_index end;    // first index it does not have
    hash256 chain;      // chain hash before `end`
    template <class S, class C> static void describe(S& s, C& c) { c(s.journal, s.incarnation, s.fence, s.base, s.base_chain, s.end, s.chain); }
};
// From the owner of a higher term, whose certified volume record comes along. The fence is on disk before the reply.
// Asks about the journal of an older term in the same breath.
struct fence_request {
    static constexpr std::uint8_t wire_version = 1;
    ledger::proved_record volume;
    term_number term;     // the caller's
    journal_ref journal;  // to report on
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term, s.journal); }
};
struct journal_read_request {
    static constexpr std::uint8_t wire_version = 1;
    journal_ref journal;
    entry_index from;
    std::uint32_t bytes_max = 1 << 20;
    template <class S, class C> static void describe(S& s, C& c) { c(s.journal, s.from, s.bytes_max); }
};
struct stored_group {
    entry_index first;
    std::vector<std::uint32_t> lengths;
    signature sig;
    template <class S, class C> static void describe(S& s, C& c) { c(s.first, s.lengths, s.sig); }
};
struct journal_read_reply {
    std::vector<stored_group> groups;  // whole groups as they were signed; the body holds their payloads back to back
    hash256 previous;                  // chain hash before the first of them
    bool more = false;
    template <class S, class C> static void describe(S& s, C& c) { c(s.groups, s.previous, s.more); }
};
// Drops entries below the certified root's journal_base, and whole journals of terms that the certified record no longer lists.
struct trim_request {
    static constexpr std::uint8_t wire_version = 1;
    ledger::proved_record volume;
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume); }
};

}  // namespace cess::storage
