// The real ledger over memory, with real certificates, behind a client whose words may be late or lost.
#pragma once

#include <support/simulation.hpp>

#include <chain/client/client.hpp>
#include <chain/ledger/ledger.hpp>
#include <chain/ledger/state.hpp>
#include <chain/ledger/tree.hpp>

namespace cess::simulation {

class ledger_node {
public:
    explicit ledger_node(world& in);

    ledger::outcome apply(const chain::account& who, client_id client, std::uint64_t number, ledger::action what);
    [[nodiscard]] ledger::proved_record prove(const bytes& key);
    [[nodiscard]] const ledger::trust& trust() const noexcept { return m_trust; }
    [[nodiscard]] const chain::network_config& config() const noexcept { return m_config; }
    [[nodiscard]] ledger::memory_state& state() noexcept { return m_state; }
    [[nodiscard]] ledger::volume_record volume(const volume_id& id);  // as it is now; aborts if there is none
    [[nodiscard]] world& in() noexcept { return m_world; }

    bool down = false;              // nobody hears it
    unsigned lost_permille = 0;     // of answers: the transaction was applied all the same

private:
    world& m_world;
    crypto::signing_key m_key;
    chain::network_config m_config;
    ledger::trust m_trust;
    ledger::memory_state m_state;
    ledger::memory_node_store m_nodes;
    ledger::tree m_tree{m_nodes};
    block_height m_height{1};
    ledger::state_certificate m_certificate;
};

class ledger_client final : public chain::client {
public:
    ledger_client(ledger_node& of, client_id self) : m_of(of), m_self(self) {}
    [[nodiscard]] const chain::network_config& network() const noexcept override { return m_of.config(); }
    [[nodiscard]] const ledger::trust& trust() const noexcept override { return m_of.trust(); }
    net::awaitable<result<bytes>> submit(const chain::account& who, ledger::action what, net::time_point deadline) override;
    net::awaitable<result<ledger::proved_record>> read(bytes key, net::time_point deadline) override;
    net::awaitable<result<std::vector<ledger::node_record>>> nodes(net::time_point deadline) override;
    net::awaitable<result<std::vector<ledger::volume_record>>> volumes(account_id of, net::time_point deadline) override;
    net::awaitable<result<std::vector<ledger::view_record>>> views(volume_id of, net::time_point deadline) override;
    net::awaitable<result<std::vector<ledger::segment_record>>> segments(volume_id lineage, segment_number after, std::uint32_t limit, net::time_point deadline) override;
    net::awaitable<result<freed_page>> freed_for(node_id miner, ledger::freed_cursor after, net::time_point deadline) override;
    net::awaitable<result<status>> health(net::time_point deadline) override;
    net::awaitable<result<void>> follow_handovers(net::time_point) override { co_return result<void>(); }
    bool dead = false;  // its process was killed

private:
    net::awaitable<result<void>> travel(net::time_point deadline);

    ledger_node& m_of;
    client_id m_self;
    std::uint64_t m_number = 0;
};

}  // namespace cess::simulation
