// What chain/explorer reads of a node: the machine's certified state, the log's blocks, the index.
#pragma once

#include "machine.hpp"

namespace cess::chain {

class node_records final : public records {
public:
    struct sources {
        const machine& state;
        kv::store& store;  // the machine's
        const ledger::genesis& origin;
        std::function<result<bytes>(block_height)> read_block;
        std::function<progress()> now;
    };
    explicit node_records(sources from) : m_from(std::move(from)) {}

    [[nodiscard]] const ledger::genesis& origin() const override { return m_from.origin; }
    [[nodiscard]] std::optional<ledger::state_certificate> certificate() const override { return m_from.state.certificate(); }
    result<ledger::proved_record> prove(const bytes& key) const override { return m_from.state.prove(key); }
    result<ledger::state_certificate> look(const std::function<void(ledger::state&)>& f) const override { return m_from.state.look_certified(f); }
    result<bytes> encoded_block(block_height height) const override;
    result<indexed_range> indexed() const override;
    result<block_entry> block(block_height height) const override;
    result<std::vector<transaction_entry>> transactions(block_height height, std::uint32_t from, std::size_t limit) const override;
    result<std::pair<transaction_place, transaction_entry>> find(const hash256& transaction) const override;
    result<std::vector<transaction_place>> of_account(const account_id& account, const std::optional<transaction_place>& before, std::size_t limit) const override;
    result<std::vector<volume_id>> lineages_of(const segment_id& segment, const std::optional<volume_id>& after, std::size_t limit) const override;
    progress now() const override { return m_from.now(); }

private:
    result<void> check_indexed(block_height height) const;

    const sources m_from;
};

}  // namespace cess::chain
