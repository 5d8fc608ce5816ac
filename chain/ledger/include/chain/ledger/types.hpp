// The records of the ledger and the transactions that change them: what consensus agrees on.
//
// Keys and values are canonical (core/wire/codec.hpp); the state's authentication tree is over hash(key) and
// hash(value) (tree.hpp). Everything here is pure data: no Asio, no RocksDB, no clock.
#pragma once

#include <core/base/ids.hpp>
#include <core/crypto/crypto.hpp>
#include <core/wire/codec.hpp>

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace cess::ledger {

// ---- nodes -----------------------------------------------------------------------------------------------

enum class node_role : std::uint8_t { storage, consensus, cache };
inline node_role wire_enum_max(node_role) { return node_role::cache; }

struct node_record {
    static constexpr std::uint8_t wire_version = 1;
    node_id id;
    node_role role = node_role::storage;
    account_id owner;
    std::string address;         // host:port
    std::string failure_domain;  // miners of one domain never hold two fragments of one segment
    std::uint64_t offered = 0;   // bytes offered to the network
    std::uint64_t committed = 0; // bytes of committed fragments it holds, kept by the ledger
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) {
        codec(self.id, self.role, self.owner, self.address, self.failure_domain, self.offered, self.committed);
    }
    friend bool operator==(const node_record&, const node_record&) = default;
};

// ---- volumes ---------------------------------------------------------------------------------------------

enum class volume_type : std::uint8_t { filesystem, block, bucket };
inline volume_type wire_enum_max(volume_type) { return volume_type::bucket; }
[[nodiscard]] std::string_view to_string(volume_type type) noexcept;  // "fs", "block", "bucket"

struct shape {  // k+m
    std::uint8_t k = 2;
    std::uint8_t m = 1;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.k, self.m); }
    friend bool operator==(const shape&, const shape&) = default;
};

struct journal_member {
    node_id miner;
    incarnation_id incarnation;  // of its store when it was chosen: a wiped store is not that member any more
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.miner, self.incarnation); }
    friend bool operator==(const journal_member&, const journal_member&) = default;
};

// What the ledger granted: this process owns the volume in this term. With its proof (proof.hpp) it is the lease
// certificate that miners follow.
struct lease {
    static constexpr std::uint8_t wire_version = 1;
    volume_id volume;
    term_number term;
    public_key session;                   // signs journal groups and is the owner's TLS identity
    std::string endpoint;                 // where the owner can be asked; empty after a clean release
    std::vector<journal_member> members;  // N of them, spares included
    std::uint8_t tolerated = 1;           // m: an append is acknowledged by tolerated+1 members
    std::uint64_t reservation = 0;        // bytes of provisional fragments miners may take in this term, in all
    salt256 journal_salt;                 // the journal's key is derived from the volume key and this
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) {
        codec(self.volume, self.term, self.session, self.endpoint, self.members, self.tolerated, self.reservation, self.journal_salt);
    }
    friend bool operator==(const lease&, const lease&) = default;
};

// Where a segment is and how it is sealed. `number` is unique in its lineage for ever.
struct segment_record {
    static constexpr std::uint8_t wire_version = 1;
    volume_id lineage;
    segment_number number;
    segment_id id;
    shape geometry;
    std::uint64_t length = 0;      // plain bytes
    std::uint32_t block_size = 0;  // plain bytes an AEAD block
    std::uint32_t key_generation = 0;
    salt256 salt;
    std::vector<node_id> holders;  // [i] holds fragment i
    sequence_number birth;         // first change that used it
    sequence_number death;         // first change after which the head no longer did; 0 = alive
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) {
        codec(self.lineage, self.number, self.id, self.geometry, self.length, self.block_size, self.key_generation, self.salt,
              self.holders, self.birth, self.death);
    }
    friend bool operator==(const segment_record&, const segment_record&) = default;
};

// A volume's state at a checkpoint.
struct root {
    static constexpr std::uint8_t wire_version = 1;
    sequence_number sequence;  // of the last change it contains; 0 = the empty volume
    term_number term;          // that committed it
    entry_index journal_base;  // first entry of that term's journal that is not contained; older ones may be trimmed
    std::optional<segment_record> manifest;  // none = the empty volume
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.sequence, self.term, self.journal_base, self.manifest); }
    friend bool operator==(const root&, const root&) = default;
};

struct wrapped_key {  // a volume key, sealed for the owner's account
    volume_id lineage;
    std::uint32_t generation = 0;
    bytes box;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.lineage, self.generation, self.box); }
    friend bool operator==(const wrapped_key&, const wrapped_key&) = default;
};

struct view_ref {
    volume_id volume;
    std::string name;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.volume, self.name); }
    friend bool operator==(const view_ref&, const view_ref&) = default;
};

struct volume_record {
    static constexpr std::uint8_t wire_version = 1;
    volume_id id;
    account_id owner;
    std::string name;
    volume_type type = volume_type::filesystem;
    std::uint64_t size = 0;        // bytes; a limit for fs and bucket (0 = none), the device's size for block
    std::uint32_t block_size = 0;  // AEAD block
    shape geometry;
    std::vector<wrapped_key> keyring;  // the last entry seals new data
    term_number term;                  // of the newest lease; 0 = never opened
    // The leases whose journals may still hold changes that no final root contains, oldest first; the last is the current one.
    std::vector<lease> leases;
    root head;
    std::optional<view_ref> base;  // a clone's parent view
    std::uint64_t used = 0;        // plain bytes of live committed segments
    std::uint64_t reserved = 0;    // of the newest lease's reservation, what is not committed yet; in the network's totals
    sequence_number freed_upto;    // the latest death among its freed segments: no view older than this can be made
    std::uint64_t created_unix = 0;  // seconds, as the creator said
    bool deleting = false;         // deleted, its segments not all freed yet: nobody may open it, nothing of it is needed
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) {
        codec(self.id, self.owner, self.name, self.type, self.size, self.block_size, self.geometry, self.keyring, self.term,
              self.leases, self.head, self.base, self.used, self.reserved, self.freed_upto, self.created_unix, self.deleting);
    }
    friend bool operator==(const volume_record&, const volume_record&) = default;
};

enum class view_kind : std::uint8_t { snapshot, clone_base };
inline view_kind wire_enum_max(view_kind) { return view_kind::clone_base; }

struct view_record {
    static constexpr std::uint8_t wire_version = 1;
    volume_id volume;
    std::string name;
    view_kind kind = view_kind::snapshot;
    root at;
    std::uint64_t size = 0;          // of the volume when taken
    std::uint64_t created_unix = 0;  // seconds, as the owner said
    std::vector<wrapped_key> keyring;
    std::uint32_t clones = 0;        // clones that stand on it; it cannot be deleted while there are any
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) {
        codec(self.volume, self.name, self.kind, self.at, self.size, self.created_unix, self.keyring, self.clones);
    }
    friend bool operator==(const view_record&, const view_record&) = default;
};

// Value of key::segment_by_id.
struct segment_ref {
    volume_id lineage;
    segment_number number;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.lineage, self.number); }
    friend auto operator<=>(const segment_ref&, const segment_ref&) = default;
};

// A segment that nothing needs any more: with its proof, the order that lets its holders delete the fragments that were
// put for `lineage`. (Only those: anybody may name any id in a volume of his own, and free it there.)
struct freed_record {
    static constexpr std::uint8_t wire_version = 1;
    volume_id lineage;
    segment_id id;
    block_height since;
    std::vector<node_id> holders;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.lineage, self.id, self.since, self.holders); }
    friend bool operator==(const freed_record&, const freed_record&) = default;
};
// A freed segment whose bytes that anybody still needs were moved to another of its lineage: `to` says in itself where
// they are. Kept until `to` is freed.
struct forward_record {
    static constexpr std::uint8_t wire_version = 1;
    segment_number to;
    sequence_number birth;  // of the one that was moved
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.to, self.birth); }
    friend bool operator==(const forward_record&, const forward_record&) = default;
};

// The views of a lineage, as its segments' lives see them.
struct pin {
    sequence_number sequence;
    segment_number manifest;  // of the view, 0 if it is not of this lineage
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.sequence, self.manifest); }
    friend auto operator<=>(const pin&, const pin&) = default;
};
struct pin_list {
    static constexpr std::uint8_t wire_version = 1;
    std::vector<pin> pins;  // ascending, one a view
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.pins); }
};

// A place in the order in which segments were freed; miners page by it. 0 = from the first.
using freed_cursor = strong_number<struct freed_cursor_tag>;

// Network-wide sums, bytes of fragments. What is offered and neither committed nor reserved may be reserved.
struct totals_record {
    static constexpr std::uint8_t wire_version = 1;
    std::uint64_t offered = 0;
    std::uint64_t committed = 0;
    std::uint64_t reserved = 0;
    [[nodiscard]] std::uint64_t available() const noexcept {
        const auto taken = committed + reserved;
        return offered > taken ? offered - taken : 0;
    }
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.offered, self.committed, self.reserved); }
    friend bool operator==(const totals_record&, const totals_record&) = default;
};

// ---- transactions ----------------------------------------------------------------------------------------

// The account becomes, or stays, the node's owner; the node's key must agree. `committed` is the ledger's, not the caller's.
struct register_node {
    node_record node;
    signature consent;  // by the node's key: consent_of()
    template <class S, class C> static void describe(S& s, C& c) { c(s.node, s.consent); }
};
struct create_volume {
    volume_id id;  // chosen at random by the client
    std::string name;
    volume_type type = volume_type::filesystem;
    std::uint64_t size = 0;
    std::uint32_t block_size = 0;
    shape geometry;
    std::vector<wrapped_key> keyring;
    std::optional<view_ref> base;  // a clone; the view's volume must belong to the same account
    std::uint64_t created_unix = 0;
    template <class S, class C> static void describe(S& s, C& c) {
        c(s.id, s.name, s.type, s.size, s.block_size, s.geometry, s.keyring, s.base, s.created_unix);
    }
};
struct rename_volume { volume_id volume; std::string name; template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.name); } };
struct resize_volume { volume_id volume; std::uint64_t size = 0; template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.size); } };
// Refused while it has views (and so while clones stand on it). Its name is free at once. Frees its segments in bounded steps (`reap`).
struct delete_volume { volume_id volume; template <class S, class C> static void describe(S& s, C& c) { c(s.volume); } };
// Compare-and-swap on the term: granted as term `expected`+1.
struct take_lease {
    volume_id volume;
    term_number expected;
    public_key session;
    std::string endpoint;
    std::vector<journal_member> members;
    std::uint64_t reservation = 0;
    salt256 journal_salt;
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.expected, s.session, s.endpoint, s.members, s.reservation, s.journal_salt); }
};
struct release_lease { volume_id volume; term_number term; template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term); } };
struct extend_reservation { volume_id volume; term_number term; std::uint64_t reservation = 0; template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term, s.reservation); } };
// Registers finished segments without moving the root: large checkpoints go in bounded steps.
struct add_segments {
    volume_id volume;
    term_number term;
    std::vector<segment_record> segments;
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term, s.segments); }
};
struct segment_death {
    segment_number number;
    sequence_number death;
    template <class S, class C> static void describe(S& s, C& c) { c(s.number, s.death); }
};
// The owner copied what is needed of `from` into `to`, which is freed at once, whatever views pin it; or, with `to` = 0,
// nothing of it is needed though views were taken in its time. A `from` that is a container takes those that led to it along.
struct segment_move {
    segment_number from, to;
    template <class S, class C> static void describe(S& s, C& c) { c(s.from, s.to); }
};
// Moves the head. Older leases than `term` are dropped from the volume's list: the root contains all of them.
struct commit_root {
    volume_id volume;
    term_number term;
    root head;
    std::vector<segment_record> added;  // the manifest's own segment among them
    std::vector<segment_move> moved;    // in this order: added, moved, dead
    std::vector<segment_death> dead;    // freed at once where no view pins birth..death
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term, s.head, s.added, s.moved, s.dead); }
};
struct create_view {
    volume_id volume;
    term_number term;
    std::string name;
    root at;
    std::uint64_t size = 0;
    std::uint64_t created_unix = 0;
    std::vector<segment_record> added;
    std::vector<wrapped_key> rotated;  // the volume's new keys, if the snapshot rotated them
    view_kind kind = view_kind::snapshot;  // a clone_base goes with its last clone
    template <class S, class C> static void describe(S& s, C& c) {
        c(s.volume, s.term, s.name, s.at, s.size, s.created_unix, s.added, s.rotated, s.kind);
    }
};
struct delete_view { volume_id volume; std::string name; template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.name); } };
// A snapshot only, and while no clone stands on it: clones name it. Compare-and-swap on the volume's newest term, so that
// who owns it, and gives names to snapshots that the ledger does not have yet, knows of it.
struct rename_view {
    volume_id volume;
    term_number term;
    std::string name, to;
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term, s.name, s.to); }
};
// Looks again at up to `limit` segments whose deletion waits (pinned by views that are gone, or of a deleted volume) and
// frees those that nothing needs. Result: how many it settled, u64; 0 = nothing left.
struct reap { volume_id volume; std::uint32_t limit = 1024; template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.limit); } };
// The owner of `term` says that its journal holds all that older ones held (recovered and sealed): they leave the list.
struct seal_leases { volume_id volume; term_number term; template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term); } };
// The clone's owner copied what the volume inherited: the head, and every state since the change `at`, names its own lineage
// alone. The volume stands alone from then on.
struct drop_base { volume_id volume; term_number term; sequence_number at; template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term, s.at); } };
// The owner stored a view's state once more, in other segments, which the ledger has by now: `at` is of the same sequence, and
// the view takes it and the volume's keys of today. Not while clones stand on it, which name what it named, nor past the head.
struct rewrite_view {
    volume_id volume;
    term_number term;
    std::string name;
    root at;
    template <class S, class C> static void describe(S& s, C& c) { c(s.volume, s.term, s.name, s.at); }
};

using action = std::variant<register_node, create_volume, rename_volume, resize_volume, delete_volume, take_lease, release_lease,
                            extend_reservation, add_segments, commit_root, create_view, delete_view, reap, seal_leases, rename_view,
                            drop_base, rewrite_view>;

struct transaction {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    account_id account;        // whose key signs
    client_id client;          // random, one a process
    std::uint64_t number = 0;  // rises with each transaction of a client: the same (client, number) is applied exactly once
    block_height expires;      // refused in higher blocks; at most limits::lifetime_max ahead. The ledger remembers a client until then
    action what;
    template <class S, class C> static void describe(S& s, C& c) { c(s.network, s.account, s.client, s.number, s.expires, s.what); }
};
struct signed_transaction {
    static constexpr std::uint8_t wire_version = 1;
    transaction body;
    signature sig;  // over "cess transaction v1" ‖ encode(body)
    template <class S, class C> static void describe(S& s, C& c) { c(s.body, s.sig); }
};
struct outcome {
    static constexpr std::uint8_t wire_version = 1;
    errc code = errc::ok;
    std::string what;
    bytes value;  // the action's result, where it has one: take_lease → lease, reap → u64
    template <class S, class C> static void describe(S& s, C& c) { c(s.code, s.what, s.value); }
};

// What the ledger remembers of a client, so that nothing is applied twice; with its proof, a transaction's certified
// outcome. Kept until no transaction of that client can still be valid (all have expired), then dropped, a few at a
// time, by later transactions.
struct client_record {
    static constexpr std::uint8_t wire_version = 1;
    std::uint64_t number = 0;  // the last
    hash256 digest;            // of that transaction's body
    outcome result;
    block_height height;       // that it was applied at
    block_height expires;      // the latest of all of the client's
    template <class S, class C> static void describe(S& s, C& c) { c(s.number, s.digest, s.result, s.height, s.expires); }
};

[[nodiscard]] signed_transaction sign(const crypto::signing_key& account, transaction body);
[[nodiscard]] bool signature_holds(const signed_transaction& what);  // by body.account's key
[[nodiscard]] hash256 digest_of(const transaction& body);            // what makes two transactions the same
// "cess node v1" ‖ network ‖ encode(node with committed = 0), signed by the node's key.
[[nodiscard]] bytes consent_message(const network_id& network, node_record record);
[[nodiscard]] signature consent_of(const crypto::signing_key& node, const network_id& network, node_record record);

// ---- bounds ----------------------------------------------------------------------------------------------

namespace limits {
inline constexpr std::size_t transaction_size_max = 2 * MiB;  // encoded and signed
inline constexpr std::size_t segments_max = 4096;             // added, dead, and moved, a transaction
inline constexpr std::size_t members_max = 64;                // of a journal
inline constexpr std::size_t leases_max = 64;                 // listed in a volume
inline constexpr std::size_t keys_max = 256;                  // of a keyring
inline constexpr std::size_t key_box_max = 256;               // bytes
inline constexpr std::size_t views_max = 1024;                // of a volume
inline constexpr std::size_t text_max = 256;                  // addresses, endpoints, failure domains
inline constexpr std::uint64_t segment_length_max = 32 * MiB; // plain
inline constexpr std::uint32_t block_size_min = 4 * KiB;
inline constexpr std::uint32_t block_size_max = 64 * KiB;
inline constexpr std::uint8_t data_fragments_max = 32;
inline constexpr std::uint8_t parity_fragments_max = 16;
inline constexpr std::uint64_t volume_size_max = std::uint64_t{1} << 56;
inline constexpr std::uint64_t offer_max = std::uint64_t{1} << 50;  // of one node
inline constexpr std::uint64_t term_max = (1U << 24) - 1;           // segment numbers carry it in 24 bits
inline constexpr std::uint32_t reap_max = 4096;
inline constexpr std::uint64_t lifetime_max = 100'000;        // blocks from now that a transaction may ask to stay valid
}  // namespace limits

// `[a-z0-9][a-z0-9.-]{0,62}` without "..": volumes and views. errc::invalid says what is wrong with it.
[[nodiscard]] result<void> check_name(std::string_view name);
// Bytes of one fragment of it, as the network counts them: sealed blocks (16 bytes more each) over k.
[[nodiscard]] std::uint64_t fragment_length(const segment_record& segment) noexcept;

// ---- keys of the state -----------------------------------------------------------------------------------

// docs/formats/chain.md lists all; these are the ones that others ask for.
namespace key {
[[nodiscard]] bytes node(const node_id& id);
[[nodiscard]] bytes volume(const volume_id& id);
[[nodiscard]] bytes volume_name(const account_id& owner, std::string_view name);  // → volume_id
[[nodiscard]] bytes view(const volume_id& volume, std::string_view name);
[[nodiscard]] bytes segment(const volume_id& lineage, segment_number number);
[[nodiscard]] bytes segment_by_id(const volume_id& lineage, const segment_id& id);  // → segment_ref; there while the record is
[[nodiscard]] bytes freed(const volume_id& lineage, const segment_id& id);
[[nodiscard]] bytes forward(const volume_id& lineage, segment_number from);        // → forward_record
[[nodiscard]] bytes pins(const volume_id& lineage);                                // → pin_list; absent = no views
// → sequence_number: the latest past the head at which a view was deleted or renamed. The owner's journal may still tell
// of that view, and of those before it, which were made first: none is made up to there again. Absent = none such.
[[nodiscard]] bytes withdrawn(const volume_id& volume);
[[nodiscard]] bytes totals();
[[nodiscard]] bytes epoch();  // → epoch_record (proof.hpp)
[[nodiscard]] bytes client(const account_id& account, const client_id& client);
}  // namespace key

}  // namespace cess::ledger
