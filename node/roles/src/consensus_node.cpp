#include "registration.hpp"
#include "running_node.hpp"

#include <chain/explorer/explorer.hpp>
#include <chain/node/validator.hpp>
#include <core/base/log.hpp>
#include <core/keys/key_file.hpp>
#include <core/kv/store.hpp>
#include <core/net/blocking.hpp>
#include <core/net/task_group.hpp>

#include <atomic>
#include <filesystem>

namespace cess::roles {
namespace {

class consensus_node final : public running_node {
public:
    consensus_node(shared_resources& on, std::unique_ptr<foundation> base, chain::network_config network)
        : m_on(on),
          m_base(std::move(base)),
          m_origin(network.origin),
          m_members(network.validators),
          m_caller(net::make_tls_caller(on.world, m_base->key, net::tls_limits(), m_base->count)),
          m_ledger(chain::make_client(on.world, *m_caller, std::move(network))),
          // A throw out of stop() would leave the validator running.
          m_tasks(on.world.executor(), [](std::exception_ptr) { log::error("node", "this node's registration failed with an exception; restart the node"); }) {}

    result<void> start(const node_config& how) {
        auto& disk = os::posix_file_system();
        const auto log_directory = m_base->data_directory + "/log";
        const auto state_directory = m_base->data_directory + "/state";
        CHECK_OK(disk.make_directories(log_directory));
        TRY(m_state, kv::open_rocks_store(state_directory, kv::rocks_options()));
        // A block's log write waits for the disk like a journal's, and must not queue behind bulk fragments.
        chain::validator_dependencies needs{m_on.world, disk,     log_directory,       *m_state, m_base->key,
                                            m_origin,   m_on.journal_workers, m_base->count, chain::validator_limits()};
        needs.limits.epoch_rounds = how.epoch_rounds;
        needs.limits.closed_epochs = how.closed_epochs;
        if (m_origin.first.members.size() > 1) CHECK_OK(join_committee(how, needs));
        if (!how.explorer.empty()) needs.index.emplace(index_in(m_base->data_directory + "/index"));
        TRY(m_validator, chain::make_validator(std::move(needs)));
        if (!how.explorer.empty()) {
            chain::explorer::options serve_json;
            serve_json.listen = how.explorer;
            TRY(m_explorer, chain::explorer::start(m_on.world, m_validator->certified(), m_base->count, std::move(serve_json)));
            log::info("node", "JSON API at http://{}/v1", m_explorer->address());
        }
        net::tls_server::options serve;
        serve.listen = how.listen;
        TRY(m_server, net::tls_server::start(m_on.world, m_base->key, std::move(serve), *m_validator, m_base->count));
        m_address = how.address.empty() ? m_server->address() : how.address;
        ledger::node_record self;
        self.id = m_base->id();
        self.role = ledger::node_role::consensus;
        self.owner = m_base->owner.id();
        self.address = m_address;
        self.failure_domain = m_base->id().hex();
        m_tasks.spawn(keep_registered(registration{m_on.world, *m_ledger, m_base->owner, m_base->key, std::move(self), m_registered}));
        log::info("node", "consensus node id={} listens={} height={}", m_base->id().brief(), m_server->address(), m_validator->height().value);
        return {};
    }

    [[nodiscard]] host::node_status status() const override {
        const bool works = m_validator && m_validator->failure().code == errc::ok;
        return {role::consensus, m_base->id(), m_address, works && m_registered, m_explorer ? m_explorer->address() : std::string()};
    }

    net::awaitable<result<void>> stop(net::duration grace) override {
        co_await m_tasks.stop();
        if (m_explorer) co_await m_explorer->stop();
        if (m_server) co_await m_server->stop(grace);
        if (m_validator) co_await m_validator->stop();
        co_return result<void>();
    }

private:
    // Beside node.key a member has coin.key, its share of what the genesis dealt.
    result<void> join_committee(const node_config& how, chain::validator_dependencies& needs) {
        TRY(const auto coin, keys::read_secret(os::posix_file_system(), how.directory + "/coin.key", keys::coin_kind));
        m_to_members = net::make_tls_caller(m_on.world, m_base->key, net::tls_limits(), m_base->count);
        needs.committee.emplace(chain::committee_dependencies{*m_to_members, m_members, coin, consensus::pacing(), m_readers});
        return {};
    }

    static chain::index_dependencies index_in(const std::string& directory) {
        chain::index_dependencies out;
        out.open_scratch = [directory]() -> result<std::unique_ptr<kv::store>> {
            CHECK_OK(os::posix_file_system().make_directories(directory));
            return kv::open_rocks_store(directory, kv::rocks_options());
        };
        out.drop_scratch = [directory] {
            std::error_code ignored;
            std::filesystem::remove_all(directory, ignored);
        };
        return out;
    }

    shared_resources& m_on;
    std::unique_ptr<foundation> m_base;
    ledger::genesis m_origin;
    const std::vector<net::peer> m_members;
    std::unique_ptr<net::caller> m_caller;
    std::unique_ptr<net::caller> m_to_members;
    std::unique_ptr<chain::client> m_ledger;
    std::unique_ptr<kv::store> m_state;
    std::unique_ptr<chain::validator> m_validator;
    std::unique_ptr<chain::explorer> m_explorer;
    std::unique_ptr<net::tls_server> m_server;
    std::atomic<bool> m_registered = false;
    std::string m_address;
    // Short: who asks for more than it can read is told to come again. Ends before what it reads from, in stop().
    net::worker_pool m_readers{1, 256};
    net::task_group m_tasks;
};

}  // namespace

result<std::unique_ptr<running_node>> start_consensus(shared_resources& on, const node_config& how) {
    TRY(auto network, network_of(how));
    TRY(auto base, foundation::make(on, how));
    auto made = std::make_unique<consensus_node>(on, std::move(base), std::move(network));
    if (auto started = made->start(how); !started) {
        (void)net::wait(on.world, made->stop(net::duration::zero()));
        return std::move(started).error();
    }
    return std::unique_ptr<running_node>(std::move(made));
}

}  // namespace cess::roles
