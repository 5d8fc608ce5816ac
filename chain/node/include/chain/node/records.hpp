// What a consensus node has certified, for who reads it in this process (chain/explorer).
//
// Blocking, any thread. Nothing that is not final is answered: the state is that of the newest certificate, blocks and what
// the index says end at its height.
#pragma once

#include <chain/ledger/proof.hpp>
#include <chain/ledger/state.hpp>

#include <functional>

namespace cess::chain {

// Of the index, which a node keeps if it was told to (validator_dependencies::index). docs/formats/chain.md has its form.
struct block_entry {
    static constexpr std::uint8_t wire_version = 1;
    hash256 digest;
    std::uint64_t epoch = 0;
    std::uint64_t round = 0;
    std::uint16_t author = 0;
    std::uint64_t size = 0;           // of its payload, bytes
    std::uint32_t transactions = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.digest, s.epoch, s.round, s.author, s.size, s.transactions); }
};

enum class standing : std::uint8_t {
    counted,      // the account's: applied, or refused by the ledger
    repeated,     // it had counted before; nothing happened
    passed_over,  // cannot be told to be the account's, or came too late: changed nothing
};
inline standing wire_enum_max(standing) { return standing::passed_over; }

struct transaction_entry {
    static constexpr std::uint8_t wire_version = 1;
    static constexpr std::size_t words_max = 200;
    hash256 id;  // ledger::digest_of
    account_id account;
    client_id client;
    std::uint64_t number = 0;
    std::uint8_t kind = 0;  // index of ledger::action
    standing how = standing::counted;
    errc code = errc::ok;
    std::string words;  // of a refusal, cut; not part of the state
    bytes value;        // the action's result, where it is short
    template <class S, class C> static void describe(S& s, C& c) { c(s.id, s.account, s.client, s.number, s.kind, s.how, s.code, s.words, s.value); }
};

// Where a transaction stands: in the order of the ledger.
struct transaction_place {
    block_height height;
    std::uint32_t place = 0;  // among the block's transactions, from 0
    template <class S, class C> static void describe(S& s, C& c) { c(s.height, s.place); }
    friend auto operator<=>(const transaction_place&, const transaction_place&) = default;
};

// Heights that the index has; none if from > upto.
struct indexed_range {
    static constexpr std::uint8_t wire_version = 1;
    block_height from;
    block_height upto;
    template <class S, class C> static void describe(S& s, C& c) { c(s.from, s.upto); }
};

class records {
public:
    virtual ~records() = default;
    [[nodiscard]] virtual const ledger::genesis& origin() const = 0;
    [[nodiscard]] virtual std::optional<ledger::state_certificate> certificate() const = 0;
    // errc::unavailable while this node catches up.
    virtual result<ledger::proved_record> prove(const bytes& key) const = 0;
    // Runs f on the certified state, which must be quick and must not write; with the certificate of that very state.
    virtual result<ledger::state_certificate> look(const std::function<void(ledger::state&)>& f) const = 0;
    virtual result<bytes> encoded_block(block_height height) const = 0;

    // Of the index. errc::not_found past what is certified; errc::unavailable before the index's beginning, and of what is not
    // in it while it is being built; errc::unsupported without one.
    virtual result<indexed_range> indexed() const = 0;
    virtual result<block_entry> block(block_height height) const = 0;
    // From `from` on (one past the last is where the next page begins).
    virtual result<std::vector<transaction_entry>> transactions(block_height height, std::uint32_t from, std::size_t limit) const = 0;
    // The first time that it stands in a block as the account's; if never, the first time at all.
    virtual result<std::pair<transaction_place, transaction_entry>> find(const hash256& transaction) const = 0;
    // Newest first, before `before` if it is given. What is not the account's is not among them.
    virtual result<std::vector<transaction_place>> of_account(const account_id& account, const std::optional<transaction_place>& before, std::size_t limit) const = 0;
    // The lineages in which a segment of this id was ever committed.
    virtual result<std::vector<volume_id>> lineages_of(const segment_id& segment, const std::optional<volume_id>& after, std::size_t limit) const = 0;

    struct progress {
        block_height applied;               // the newest block in this node's sequence
        std::uint64_t transactions = 0;     // in certified blocks
        std::uint64_t finality_us = 0;      // of recent transactions that came here, mean
        std::uint64_t waiting = 0;          // transactions not ordered yet
        std::vector<block_height> signed_upto;  // by member, the newest state whose signature this node has seen; 0 = none since its start
        error failure;                      // errc::ok, or why this node goes on no more
    };
    virtual progress now() const = 0;
};

}  // namespace cess::chain
