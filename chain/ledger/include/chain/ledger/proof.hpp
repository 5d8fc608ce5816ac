// State certificates and proofs: what lets somebody who trusts only a committee's keys believe a record.
//
// A single validator is a committee of one. Blocks are those of chain/consensus, with signed transactions as payload.
// docs/formats/chain.md has the byte layouts.
#pragma once

#include <chain/ledger/types.hpp>
#include <core/crypto/crypto.hpp>
#include <core/crypto/ristretto.hpp>

#include <memory>

namespace cess::ledger {

struct committee {
    static constexpr std::uint8_t wire_version = 1;
    std::uint64_t epoch = 0;
    std::vector<public_key> members;
    [[nodiscard]] std::size_t faulty_max() const noexcept { return members.empty() ? 0 : (members.size() - 1) / 3; }
    [[nodiscard]] std::size_t quorum() const noexcept { return members.size() - faulty_max(); }  // 2f+1 where n = 3f+1
    template <class S, class C> static void describe(S& s, C& c) { c(s.epoch, s.members); }
    friend bool operator==(const committee&, const committee&) = default;
};

struct genesis {
    static constexpr std::uint8_t wire_version = 3;
    std::string name;
    committee first;
    // By member: what its shares of the common coin are checked with (consensus/cks_coin.hpp). Empty for a single validator.
    std::vector<crypto::ristretto::point> coin;
    shape default_geometry;
    std::uint64_t created_unix = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.name, s.first, s.coin, s.default_geometry, s.created_unix); }
};
[[nodiscard]] network_id id_of(const genesis& g);  // sha256("cess genesis v1" ‖ encode)

// In the state, from the second epoch on: whose turn it is.
struct epoch_record {
    static constexpr std::uint8_t wire_version = 1;
    committee now;
    block_height since;              // the block that ended the epoch before
    std::uint64_t transactions = 0;  // applied up to there
    template <class S, class C> static void describe(S& s, C& c) { c(s.now, s.since, s.transactions); }
};

struct certificate_body {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    std::uint64_t epoch = 0;
    block_height height;
    hash256 commit_digest;  // chain of committed blocks: sha256(previous digest ‖ block digest)
    hash256 state_root;
    committee next;  // the same committee; in the last certificate of an epoch the next one's, which signs from then on
    template <class S, class C> static void describe(S& s, C& c) { c(s.network, s.epoch, s.height, s.commit_digest, s.state_root, s.next); }
    friend bool operator==(const certificate_body&, const certificate_body&) = default;
};
struct state_certificate {
    static constexpr std::uint8_t wire_version = 1;
    certificate_body body;
    std::vector<std::pair<std::uint16_t, signature>> signatures;  // (member index, over message_of(body)), ascending
    template <class S, class C> static void describe(S& s, C& c) { c(s.body, s.signatures); }
};
[[nodiscard]] bytes message_of(const certificate_body& body);  // what members sign: "cess certificate v1" ‖ encode(body)
[[nodiscard]] signature sign(const crypto::signing_key& member, const certificate_body& body);
// Height 0: nothing committed, nothing stored. Its commit digest is the network's id, its state root zero.
[[nodiscard]] certificate_body origin_of(const genesis& g);

// Of the DAG's round 0 in the epoch that begins where this certificate ends the one before: sha256("cess epoch v1" ‖ encode(body)).
[[nodiscard]] hash256 epoch_genesis(const certificate_body& last);

[[nodiscard]] hash256 next_commit_digest(const hash256& previous, const hash256& block_digest);

// Path in the 16-ary Merkle tree over sha256(key) (tree.hpp): proves a value, or that there is none.
struct tree_proof {
    static constexpr std::uint8_t wire_version = 1;
    // From the root down: for each inner node on the path the hashes of its present children.
    struct level {
        std::uint16_t present = 0;         // bit i: child i exists
        std::vector<hash256> children;     // of the present ones, ascending
        template <class S, class C> static void describe(S& s, C& c) { c(s.present, s.children); }
    };
    std::vector<level> path;
    // The leaf the path ends at, if any; for a proof of absence it is another key's.
    std::optional<std::pair<hash256, hash256>> leaf;  // (hash of key, hash of value)
    template <class S, class C> static void describe(S& s, C& c) { c(s.path, s.leaf); }
};

// A record with everything needed to believe it.
struct proved_record {
    static constexpr std::uint8_t wire_version = 1;
    state_certificate certificate;
    bytes key;
    std::optional<bytes> value;
    tree_proof proof;
    template <class S, class C> static void describe(S& s, C& c) { c(s.certificate, s.key, s.value, s.proof); }
};

// The light client's whole state: which network, and which committee signed in which epoch. Copies are one: what one of them
// follows all know. Thread-safe.
class trust {
public:
    trust(network_id network, committee now);
    // errc::permission if the certificate is not signed by a quorum of its epoch's committee of this network, or lies past its epoch's
    // end. errc::unavailable if it is of a later epoch than is known here: handovers are wanted then.
    [[nodiscard]] result<void> check(const state_certificate& certificate) const;
    // The record's value at certificate.body.height; nullopt = proved absent. Checks certificate and path.
    [[nodiscard]] result<std::optional<bytes>> check(const proved_record& record) const;
    // The value decoded; errc::not_found when proved absent.
    template <class Record>
    [[nodiscard]] result<Record> value_of(const proved_record& record) const {
        TRY(auto value, check(record));
        if (!value) return error(errc::not_found, "ledger record");
        return wire::decode<Record>(*value);
    }
    // A certificate that holds and names a next committee ends its epoch: the trust moves on, unless it has.
    result<void> follow(const state_certificate& certificate);
    [[nodiscard]] const network_id& network() const noexcept { return m_network; }
    [[nodiscard]] committee now() const;  // of the newest epoch that is known
    // A certificate of a later epoch was shown. Anybody may have made it up.
    [[nodiscard]] bool wants_handovers() const;

private:
    struct epochs;
    network_id m_network;
    std::shared_ptr<epochs> m_epochs;
};

}  // namespace cess::ledger
