// What a consensus node can be asked over RPC. docs/formats/chain.md has the rules.
//
// Anybody may ask: reads are public, and a transaction carries its own authority. Answers that matter come with proofs.
#pragma once

#include <chain/ledger/proof.hpp>
#include <core/net/rpc.hpp>

namespace cess::chain {

namespace method {
inline constexpr net::method_id submit = 0x0200;    // signed_transaction → proved_record of its client_record, once final
inline constexpr net::method_id read = 0x0201;      // read_request → proved_record
inline constexpr net::method_id nodes = 0x0202;     // nodes_request → vector<node_record>
inline constexpr net::method_id volumes = 0x0203;   // volumes_request → vector<volume_record>
inline constexpr net::method_id views = 0x0204;     // views_request → vector<view_record>
inline constexpr net::method_id segments = 0x0205;  // segments_request → vector<segment_record>
inline constexpr net::method_id freed = 0x0206;     // freed_request → freed_reply
inline constexpr net::method_id status = 0x0207;    // status_request → status_reply
inline constexpr net::method_id block = 0x0208;     // block_request → body: the encoded block
inline constexpr net::method_id handovers = 0x0209; // handovers_request → vector<state_certificate>: the last ones of epochs, in order
}  // namespace method

inline constexpr std::size_t key_size_max = 256;
inline constexpr std::uint32_t page_max = 1000;            // entries of a list page; fewer where they are large
inline constexpr std::size_t handovers_max = 64;           // of a reply
inline constexpr std::size_t page_bytes_max = 1 * MiB;     // after which a page ends

struct read_request {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    bytes key;
    block_height at_least;  // errc::unavailable from a node that is not there yet
    template <class S, class C> static void describe(S& s, C& c) { c(s.network, s.key, s.at_least); }
};
// Lists: a page ends where the reply says `more`; the last element is the next cursor.
template <class Record>
struct page {
    std::vector<Record> records;
    bool more = false;
    template <class S, class C> static void describe(S& s, C& c) { c(s.records, s.more); }
};
struct nodes_request {
    static constexpr std::uint8_t wire_version = 1;
    std::optional<node_id> after;
    template <class S, class C> static void describe(S& s, C& c) { c(s.after); }
};
struct volumes_request {
    static constexpr std::uint8_t wire_version = 1;
    account_id of;
    std::string after;  // a name; empty: from the first
    template <class S, class C> static void describe(S& s, C& c) { c(s.of, s.after); }
};
struct views_request {
    static constexpr std::uint8_t wire_version = 1;
    volume_id of;
    std::string after;
    template <class S, class C> static void describe(S& s, C& c) { c(s.of, s.after); }
};
struct segments_request {
    static constexpr std::uint8_t wire_version = 1;
    volume_id lineage;
    segment_number after;
    std::uint32_t limit = page_max;
    template <class S, class C> static void describe(S& s, C& c) { c(s.lineage, s.after, s.limit); }
};
struct freed_request {
    static constexpr std::uint8_t wire_version = 1;
    node_id miner;
    ledger::freed_cursor after;
    template <class S, class C> static void describe(S& s, C& c) { c(s.miner, s.after); }
};
struct freed_reply {
    std::vector<ledger::proved_record> records;
    ledger::freed_cursor next;
    template <class S, class C> static void describe(S& s, C& c) { c(s.records, s.next); }
};
struct status_request {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    template <class S, class C> static void describe(S& s, C& c) { c(s.network); }
};
struct status_reply {
    ledger::state_certificate certificate;
    std::uint64_t transactions = 0;
    std::uint64_t finality_us = 0;
    std::uint64_t waiting = 0;  // transactions not ordered yet
    template <class S, class C> static void describe(S& s, C& c) { c(s.certificate, s.transactions, s.finality_us, s.waiting); }
};
struct block_request {
    static constexpr std::uint8_t wire_version = 1;
    block_height height;
    template <class S, class C> static void describe(S& s, C& c) { c(s.height); }
};

struct handovers_request {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    std::uint64_t from = 0;  // the epoch whose end is asked for, and those after it
    template <class S, class C> static void describe(S& s, C& c) { c(s.network, s.from); }
};

}  // namespace cess::chain
