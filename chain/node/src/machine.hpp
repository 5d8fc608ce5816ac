// The replicated state machine over a store: applies blocks in order, and serves what is certified.
//
// Writing (apply, certify, spill, flush): one thread at a time. Applying runs ahead of certification: what blocks change is
// held back in memory, in layers that end where members sign, until certify() puts the layers up to its height into the store
// together with the certificate, in one batch. So the store stands at a certified height, and reading (prove, list, …; any
// thread, beside the writer) sees one height with its own proofs. What is held back too long is put there without
// (spill()); then nothing is proved before the next certificate.
#pragma once

#include <chain/ledger/ledger.hpp>
#include <chain/ledger/tree.hpp>
#include <chain/node/ordering.hpp>
#include <chain/node/records.hpp>
#include <core/kv/store.hpp>

#include <atomic>
#include <shared_mutex>

namespace cess::chain {

// Whose epoch it is, and what it began with.
struct epoch_place {
    static constexpr std::uint8_t wire_version = 1;
    ledger::committee members;  // with its number
    hash256 genesis;            // of the DAG
    block_height before;        // the last height of the epochs before
    template <class S, class C> static void describe(S& s, C& c) { c(s.members, s.genesis, s.before); }
    friend bool operator==(const epoch_place&, const epoch_place&) = default;
};

// Where the machine stands; stored beside the state.
struct position {
    static constexpr std::uint8_t wire_version = 2;
    network_id network;
    block_height height;
    std::uint64_t round = 0;
    hash256 block_digest;
    hash256 commit_digest;
    hash256 state_root;  // of the last layer's end
    std::uint64_t transactions = 0;
    epoch_place epoch;
    std::optional<ledger::committee> next;  // the epoch has ended, which is not certified yet
    template <class S, class C> static void describe(S& s, C& c) {
        c(s.network, s.height, s.round, s.block_digest, s.commit_digest, s.state_root, s.transactions, s.epoch, s.next);
    }
};

struct applied_transaction {
    hash256 digest;
    ledger::outcome what;
};

class machine {
public:
    // `indexed`: with the index (index.hpp), which goes into the same batches.
    static result<std::unique_ptr<machine>> open(kv::store& on, const ledger::genesis& origin, bool indexed = false);
    ~machine();

    // errc::corrupt when the store fails it, after which nothing more may be applied.
    result<std::vector<applied_transaction>> apply(const committed_block& next);
    [[nodiscard]] const position& applied() const noexcept;
    [[nodiscard]] ledger::certificate_body to_certify() const;  // of the newest layer's end
    // Of a layer's end, or of where the store stands; an older one changes nothing. The last one of an epoch begins the next, before
    // which nothing more is applied.
    result<void> certify(ledger::state_certificate certificate);
    [[nodiscard]] std::uint64_t held_back() const noexcept;  // bytes, of ended layers
    result<void> spill();
    result<void> flush();

    // The state of others instead of blocks (restore.hpp): begin, then nodes and records in pieces, finish. What is broken off in between
    // leaves restoring(), also after a crash, and is begun anew.
    [[nodiscard]] bool restoring() const noexcept { return m_restoring; }
    // `given_up`: the epoch in which this node was; again, after a crash too, the highest counts. It may have spoken in that one and those before.
    result<void> begin_restore(std::uint64_t given_up);
    [[nodiscard]] std::uint64_t given_up() const noexcept { return m_given_up; }
    result<void> restore_nodes(const std::vector<ledger::state_entry>& by_place);
    result<void> restore_records(const std::vector<ledger::state_entry>& ascending);  // errc::corrupt for what the nodes do not have
    // `lasts`: the last certificates of all epochs up to the one at whose end that state stands. REQUIRES: all its records came
    result<void> finish_restore(const std::vector<ledger::state_certificate>& lasts);
    // The first epoch in which this node may make blocks: it may have made some before of which it does not know.
    [[nodiscard]] std::uint64_t silent_before() const noexcept { return m_silent_before; }
    result<void> be_silent_before(std::uint64_t epoch);  // durable

    [[nodiscard]] std::optional<ledger::state_certificate> certificate() const;
    [[nodiscard]] bool certified_here() const;  // the certificate is of where the store stands
    [[nodiscard]] std::uint64_t transactions() const;
    result<ledger::proved_record> prove(const bytes& key) const;
    result<block_place> block_at(block_height height) const;
    // The last certificates of this epoch and those after it, in order, so many at most.
    result<std::vector<ledger::state_certificate>> handovers(std::uint64_t from, std::size_t limit) const;
    [[nodiscard]] std::optional<indexed_range> indexed() const;  // as stored; none without an index
    // The index has what it lacked: it begins at 1.
    result<void> index_completed();
    // The state, and the certificate of that very state.
    result<ledger::state_certificate> look_certified(const std::function<void(ledger::state&)>& f) const;
    // Runs f(ledger::state&) on the stored state; f must not write. errc::io when the store fails.
    template <class F>
    auto look(F f) const -> result<std::invoke_result_t<F, ledger::state&>> {
        std::shared_lock lock(m_mutex);
        if (m_restoring) return error(errc::unavailable, "this node fetches the state from the others");
        try {
            return f(stored_state());
        } catch (const std::runtime_error& broken) {
            return error(errc::io, broken.what());
        }
    }

private:
    struct parts;
    struct layer;
    machine(kv::store& on, bool indexed);
    ledger::state& stored_state() const;
    [[nodiscard]] ledger::certificate_body body_of(const position& at) const;
    void apply_transactions(const committed_block& block, ledger::state& to, std::vector<applied_transaction>& outcomes);
    result<void> drop_family(char family);
    void end_layer();
    result<void> store_layers(block_height upto, std::optional<ledger::state_certificate> certificate);

    kv::store& m_store;
    mutable std::shared_mutex m_mutex;
    std::unique_ptr<parts> m_parts;
    position m_stored;
    std::optional<ledger::state_certificate> m_certificate;
    std::optional<indexed_range> m_index;
    bool m_broken = false;
    std::atomic<bool> m_restoring = false;
    std::uint64_t m_given_up = 0;
    std::atomic<std::uint64_t> m_silent_before = 0;
};

}  // namespace cess::chain
