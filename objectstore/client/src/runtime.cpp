#include "runtime.hpp"

#include <core/base/log.hpp>
#include <core/base/memory.hpp>
#include <core/net/blocking.hpp>

#include <thread>

namespace cess::client {
namespace {

constexpr unsigned network_threads = 1;  // one request passes through many hands: on one thread without waking another
constexpr unsigned large_request_threads = 2;
constexpr net::duration stop_grace = std::chrono::seconds(2);
constexpr auto owner_poll = std::chrono::milliseconds(50);

net::awaitable<result<int>> stopped(net::tls_server& server) {
    auto op = server.stop(stop_grace);
    co_await std::move(op);
    co_return 0;
}

owner_identity identity_of(const config& c, const chain::account& who, const crypto::signing_key& session) {
    return owner_identity{ledger::id_of(c.network.origin), who.id(), session.pub()};
}

::cess::layer::dependencies for_layer(net::env& world, net::caller& network, chain::client& ledger, cache::tiered_cache& blocks, metrics& count,
                                      const ::cess::layer::deadlines& limits, std::uint64_t ahead_max) {
    ::cess::layer::dependencies out{world, network, ledger, blocks, count, limits};
    out.ahead_max = ahead_max;
    return out;
}

}  // namespace

result<std::unique_ptr<runtime>> runtime::start(config with, std::uint64_t memory) {
    if (memory != 0) with.memory = memory;
    if (with.memory < 64 * MiB) return error(errc::invalid, "memory of " + format_size(with.memory) + " is too little; 64MiB is the least");
    TRY(auto who, load_account(with.account_file));
    keep_freed_memory();
    return std::unique_ptr<runtime>(std::make_unique<runtime_implementation>(std::move(with), std::move(who)));
}

runtime_implementation::runtime_implementation(config with, chain::account who)
    : m_config(std::move(with)), m_account(std::move(who)), m_world(network_threads), m_large_requests(large_request_threads), m_identity(crypto::signing_key::generate(m_world.random())),
      m_budget(m_config.memory), m_network(net::make_tls_caller(m_world, m_identity, net::tls_limits(), m_count, &m_large_requests)),
      m_ledger(chain::make_client(m_world, *m_network, m_config.network)), m_disk_tier(m_config, m_budget, m_account),
      m_cache(cache::make_memory_cache(m_budget.cache() - m_disk_tier.memory(), m_count)),
      m_layer(::cess::layer::make_layer(for_layer(m_world, *m_network, *m_ledger, m_cache, m_count, m_config.limits, m_budget.ahead()))),
      m_owner(m_world, *m_ledger, identity_of(m_config, m_account, m_identity), m_config.limits.ledger, m_count) {}

runtime_implementation::~runtime_implementation() {
    if (m_server) (void)net::wait(m_world, stopped(*m_server));
}

result<std::string> runtime_implementation::owner_endpoint() {
    std::lock_guard lock(m_starting);
    if (m_server) return m_server->address();
    sweep_working_directories(volumes_directory());
    net::tls_server::options how;
    how.listen = m_config.owner_listen;
    how.limits.connections_max = 64;
    how.limits.requests_in_flight_max = 16;
    how.limits.bytes_in_flight_max = 1 * MiB;
    how.limits.bytes_total_max = 16 * MiB;
    auto server = net::tls_server::start(m_world, m_identity, how, m_owner, m_count);
    if (!server) return std::move(server).error().with_context("owner_listen");
    m_server = std::move(*server);
    return m_server->address();
}

result<bytes> runtime_implementation::submit(ledger::action what) {
    return net::wait(m_world, m_ledger->submit(m_account, std::move(what), by(m_config.limits.ledger)));
}

asking runtime_implementation::asker() const {
    return asking{m_world, *m_network, m_account, m_ledger->trust().network(), crypto::id_of<node_id>(m_identity.pub()), m_config.limits};
}

std::uint64_t runtime_implementation::unix_now() const {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(m_world.wall_now().time_since_epoch()).count());
}

result<std::optional<owner_result>> runtime_implementation::through_owner(const ledger::volume_record& record, owner_action what) {
    const auto patience = m_world.now() + m_config.limits.owner_silence + m_config.limits.put;
    for (auto now = record;;) {
        const auto* lease = lease_of_owner(now);
        if (lease == nullptr) return std::optional<owner_result>();
        TRY(const bool alive, net::wait(m_world, owner_is_alive(asker(), *lease)));
        if (!alive) return std::optional<owner_result>();
        auto done = net::wait(m_world, ask_owner(asker(), *lease, what));
        if (done) return std::optional<owner_result>(std::move(*done));
        // It is being opened or detached there: soon somebody owns it, or nobody.
        if (done.error().code != errc::busy || m_world.now() >= patience) return std::move(done).error();
        std::this_thread::sleep_for(owner_poll);
        TRY(now, read<ledger::volume_record>(ledger::key::volume(record.id)));
    }
}

result<void> runtime_implementation::refuse_if_attached(const ledger::volume_record& record) {
    const auto* lease = lease_of_owner(record);
    if (lease == nullptr) return {};
    TRY(const bool alive, net::wait(m_world, owner_is_alive(asker(), *lease)));
    if (!alive) return {};
    return error(errc::busy, "volume " + record.name + " is attached by a process that answers at " + lease->endpoint + "; detach it there first");
}

}  // namespace cess::client
