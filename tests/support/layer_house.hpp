// A whole network in this process for the object layer: a validator, storage miners, and owners with their layers.
#pragma once

#include <support/chain_network.hpp>
#include <support/faulty_disk.hpp>

#include <core/kv/store.hpp>
#include <core/net/blocking.hpp>
#include <core/net/real_env.hpp>
#include <node/storage/miner.hpp>
#include <objectstore/layer/layer.hpp>

namespace cess::test {

class layer_house {
public:
    // On disks in memory, or below `directory`.
    explicit layer_house(unsigned miners = 4, std::string directory = {});
    ~layer_house();

    struct storage_miner {
        node_id id;
        std::string directory;
        std::unique_ptr<faulty_disk> memory;
        metrics count;
        std::unique_ptr<net::worker_pool> workers;
        std::unique_ptr<storage::miner> service;
        [[nodiscard]] os::file_system& disk() { return memory ? static_cast<os::file_system&>(*memory) : os::posix_file_system(); }
    };
    // A process: a session key that is its identity, and its own layer.
    struct owner {
        explicit owner(layer_house& in, layer::deadlines limits);
        crypto::signing_key session;
        std::unique_ptr<net::caller> network;
        std::unique_ptr<chain::client> ledger;
        metrics count;
        cache::tiered_cache blocks;
        std::unique_ptr<layer::layer> layer;
    };
    [[nodiscard]] std::unique_ptr<owner> new_owner(layer::deadlines limits = quick());
    [[nodiscard]] static layer::deadlines quick();

    [[nodiscard]] net::real_env& world() noexcept { return m_world; }
    [[nodiscard]] net::local_network& network() noexcept { return *m_network; }
    [[nodiscard]] storage_miner& miner(std::size_t i) { return *m_miners.at(i); }
    [[nodiscard]] std::size_t miners() const noexcept { return m_miners.size(); }
    [[nodiscard]] storage_miner& holder(const node_id& id);
    [[nodiscard]] const chain::account& account() const noexcept { return m_account; }
    [[nodiscard]] const volume_id& volume() const noexcept { return m_volume; }
    [[nodiscard]] const layer::keyring& keys() const noexcept { return m_keys; }
    void down(const node_id& id) { m_network->set_fate(id, dead()); }
    void set_fate(const node_id& id, net::local_network::fate what) { m_network->set_fate(id, std::move(what)); }
    void stop_ledger() { down(m_validator_id); }
    void start_ledger() { set_fate(m_validator_id, {}); }
    [[nodiscard]] layer::segment_spec spec(std::uint64_t number, ledger::shape geometry = {2, 1}) const;

private:
    static net::local_network::fate dead();
    void add_miner(unsigned number, const std::string& directory);
    void create_volume();

    net::real_env m_world;
    std::unique_ptr<net::local_network> m_network;
    faulty_disk m_disk;
    kv::memory_store m_state;
    net::worker_pool m_workers{1};
    metrics m_count;
    crypto::signing_key m_validator_key;
    node_id m_validator_id;
    chain::network_config m_config;
    std::unique_ptr<chain::validator> m_validator;
    std::unique_ptr<net::caller> m_admin_network;
    std::unique_ptr<chain::client> m_admin;
    chain::account m_account;
    volume_id m_volume;
    layer::keyring m_keys;
    std::vector<std::unique_ptr<storage_miner>> m_miners;
};

}  // namespace cess::test
