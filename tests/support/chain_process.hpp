// A validator as a program runs it (threads, RocksDB, a real disk), with a client in the same process.
#pragma once

#include <chain/client/client.hpp>
#include <chain/node/validator.hpp>
#include <core/net/blocking.hpp>
#include <core/net/local_network.hpp>
#include <core/net/real_env.hpp>

#include <filesystem>

namespace cess::test {

class chain_process {
public:
    explicit chain_process(std::string directory)
        : m_directory(std::move(directory)), m_key(crypto::secret_key(bytes(32, std::byte{5}))), account{crypto::signing_key(crypto::secret_key(bytes(32, std::byte{6}))), {}} {
        m_config.origin.name = "test";
        m_config.origin.first.members = {m_key.pub()};
        m_config.validators = {{crypto::id_of<node_id>(m_key.pub()), "here"}};
        m_caller = m_network.caller_as(crypto::id_of<node_id>(account.key.pub()));
        client = chain::make_client(world, *m_caller, m_config);
    }
    ~chain_process() {
        if (node) stop();
        (void)net::wait(world, ended(m_network.stop()));
    }

    result<void> start() {
        CHECK_OK(os::posix_file_system().make_directories(m_directory));
        TRY(m_state, kv::open_rocks_store(m_directory + "/state", {}));
        chain::validator_dependencies needs{world, os::posix_file_system(), m_directory + "/blocks", *m_state, m_key, m_config.origin, m_workers, m_count, {}};
        const auto scratch = m_directory + "/index";
        if (indexed)
            needs.index = {[scratch] { return kv::open_rocks_store(scratch, {}); }, [scratch] { std::filesystem::remove_all(scratch); }};
        TRY(node, chain::make_validator(std::move(needs)));
        m_network.add(m_config.validators[0].id, *node);
        return {};
    }
    void stop() {
        m_network.remove(m_config.validators[0].id);
        (void)net::wait(world, ended(node->stop()));
        node.reset();
        m_state.reset();
    }
    result<bytes> submit(ledger::action what) {
        return net::wait(world, client->submit(account, std::move(what), world.now() + std::chrono::seconds(30)));
    }
    static ledger::create_volume creation(const std::string& name) {
        ledger::create_volume what;
        what.name = name;
        what.id = volume_id::from(crypto::sha256(as_view(name)).view());
        what.block_size = 4096;
        what.geometry = {2, 1};
        return what;
    }

private:
    static net::awaitable<result<void>> ended(net::awaitable<void> op) {
        co_await std::move(op);
        co_return result<void>();
    }

    const std::string m_directory;
    const crypto::signing_key m_key;
    metrics m_count;
    net::worker_pool m_workers{2};
    chain::network_config m_config;
    std::unique_ptr<kv::store> m_state;
    std::unique_ptr<net::caller> m_caller;

public:
    const chain::account account;
    bool indexed = false;  // with the index that chain/explorer reads
    std::unique_ptr<chain::validator> node;
    net::real_env world;

private:
    net::local_network m_network{world};

public:
    std::unique_ptr<chain::client> client;
};

}  // namespace cess::test
