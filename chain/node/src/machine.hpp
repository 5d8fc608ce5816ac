// The replicated state machine over a store: applies blocks in order, and serves what is certified.
//
// Writing (apply, certify, flush): one thread at a time. What blocks change is held back in memory until certify(),
// which puts it into the store together with its certificate, in one batch. So the store always stands at a certified
// height, and reading (prove, list, …; any thread, beside the writer) sees one height with its own proofs.
#pragma once

#include <chain/ledger/ledger.hpp>
#include <chain/ledger/tree.hpp>
#include <chain/node/ordering.hpp>
#include <core/kv/store.hpp>

#include <shared_mutex>

namespace cess::chain {

// Where the machine stands; stored beside the state.
struct position {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    block_height height;
    std::uint64_t round = 0;
    hash256 block_digest;
    hash256 commit_digest;
    hash256 state_root;
    std::uint64_t transactions = 0;
    template <class S, class C> static void describe(S& s, C& c) {
        c(s.network, s.height, s.round, s.block_digest, s.commit_digest, s.state_root, s.transactions);
    }
};

class machine {
public:
    static result<std::unique_ptr<machine>> open(kv::store& on, const ledger::genesis& origin);
    ~machine();

    // errc::corrupt when the store fails it, after which nothing more may be applied.
    result<std::vector<ledger::outcome>> apply(const committed_block& next);
    [[nodiscard]] const position& applied() const noexcept;
    [[nodiscard]] ledger::certificate_body to_certify() const;  // of what is applied
    result<void> certify(ledger::state_certificate certificate);
    result<void> flush();

    [[nodiscard]] std::optional<ledger::state_certificate> certificate() const;
    [[nodiscard]] std::uint64_t transactions() const;
    result<ledger::proved_record> prove(const bytes& key) const;
    // Runs f(ledger::state&) on the certified state; f must not write. errc::io when the store fails.
    template <class F>
    auto look(F f) const -> result<std::invoke_result_t<F, ledger::state&>> {
        std::shared_lock lock(m_mutex);
        try {
            return f(certified_state());
        } catch (const std::runtime_error& broken) {
            return error(errc::io, broken.what());
        }
    }

private:
    struct parts;
    machine(kv::store& on, const ledger::genesis& origin);
    ledger::state& certified_state() const;

    kv::store& m_store;
    const ledger::genesis m_origin;
    mutable std::shared_mutex m_mutex;
    std::unique_ptr<parts> m_parts;
    std::optional<ledger::state_certificate> m_certificate;
    std::uint64_t m_certified_transactions = 0;
    bool m_broken = false;
};

}  // namespace cess::chain
