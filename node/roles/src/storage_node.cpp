#include "registration.hpp"
#include "running_node.hpp"

#include <core/base/log.hpp>
#include <core/net/blocking.hpp>
#include <core/net/task_group.hpp>
#include <node/storage/miner.hpp>

#include <atomic>

namespace cess::roles {
namespace {

class storage_node final : public running_node {
public:
    storage_node(shared_resources& on, std::unique_ptr<foundation> base, chain::network_config network)
        : m_on(on),
          m_base(std::move(base)),
          m_caller(net::make_tls_caller(on.world, m_base->key, net::tls_limits(), m_base->count)),
          m_ledger(chain::make_client(on.world, *m_caller, std::move(network))),
          m_tasks(on.world.executor()) {}

    result<void> start(const node_config& how) {
        storage::miner_dependencies needs{m_on.world,       os::posix_file_system(), m_ledger->trust(),
                                          m_base->count,    m_ledger.get(),          &m_on.workers,
                                          &m_on.journal_workers};
        storage::miner_options options;
        options.directory = m_base->data_directory;
        options.self = m_base->id();
        options.capacity = how.capacity;
        options.disk_reserve = how.disk_reserve;
        options.free_horizon = how.free_horizon;
        options.scrub_period = how.scrub_period;
        options.scrub_bandwidth = how.scrub_bandwidth;
        TRY(m_miner, storage::open_miner(std::move(needs), std::move(options)));
        net::tls_server::options serve;
        serve.listen = how.listen;
        TRY(m_server, net::tls_server::start(m_on.world, m_base->key, std::move(serve), *m_miner, m_base->count));
        m_address = how.address.empty() ? m_server->address() : how.address;
        m_tasks.spawn(keep_registered(registration{m_on.world, *m_ledger, m_base->owner, m_base->key, record(how), m_registered}));
        log::info("node", "storage miner id={} listens={} offers={}", m_base->id().brief(), m_server->address(), how.capacity);
        return {};
    }

    [[nodiscard]] host::node_status status() const override { return {role::storage, m_base->id(), m_address, m_registered}; }

    net::awaitable<result<void>> stop(net::duration grace) override {
        co_await m_tasks.stop();
        if (m_server) co_await m_server->stop(grace);
        if (m_miner) co_await m_miner->stop();
        co_return result<void>();
    }

private:
    [[nodiscard]] ledger::node_record record(const node_config& how) const {
        ledger::node_record r;
        r.id = m_base->id();
        r.role = ledger::node_role::storage;
        r.owner = m_base->owner.id();
        r.address = m_address;
        r.failure_domain = how.failure_domain.empty() ? m_base->id().hex() : how.failure_domain;
        r.offered = how.capacity;
        return r;
    }

    shared_resources& m_on;
    std::unique_ptr<foundation> m_base;
    std::unique_ptr<net::caller> m_caller;
    std::unique_ptr<chain::client> m_ledger;
    std::unique_ptr<storage::miner> m_miner;
    std::unique_ptr<net::tls_server> m_server;
    std::atomic<bool> m_registered = false;
    std::string m_address;
    net::task_group m_tasks;
};

}  // namespace

result<std::unique_ptr<running_node>> start_storage(shared_resources& on, const node_config& how) {
    TRY(auto network, network_of(how));
    TRY(auto base, foundation::make(on, how));
    auto made = std::make_unique<storage_node>(on, std::move(base), std::move(network));
    if (auto started = made->start(how); !started) {
        (void)net::wait(on.world, made->stop(net::duration::zero()));
        return std::move(started).error();
    }
    return std::unique_ptr<running_node>(std::move(made));
}

}  // namespace cess::roles
