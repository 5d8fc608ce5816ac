#include <support/simulated_ledger.hpp>

#include <cstdio>
#include <cstdlib>

namespace cess::simulation {
namespace {

chain::network_config config_for(const crypto::signing_key& validator) {
    chain::network_config out;
    out.origin.name = "simulation";
    out.origin.first.members.push_back(validator.pub());
    return out;
}

}  // namespace

ledger_node::ledger_node(world& in)
    : m_world(in), m_key(crypto::signing_key::generate(in.random())), m_config(config_for(m_key)),
      m_trust(ledger::id_of(m_config.origin), m_config.origin.first) {}

ledger::outcome ledger_node::apply(const chain::account& who, client_id client, std::uint64_t number, ledger::action what) {
    m_height = m_height.next();
    ledger::signed_transaction signed_one;
    signed_one.body.network = m_trust.network();
    signed_one.body.account = who.id();
    signed_one.body.client = client;
    signed_one.body.number = number;
    signed_one.body.expires = block_height{m_height.value + 100};
    signed_one.body.what = std::move(what);
    ledger::context at;
    at.network = m_trust.network();
    at.height = m_height;
    ledger::buffered_state buffer(m_state);
    auto out = ledger::apply(buffer, signed_one, at, ledger::signature_is::verified);
    ledger::tree::changes changes;
    for (const auto& [key, value] : buffer.pending())
        changes.emplace(crypto::sha256(key), value ? std::optional(crypto::sha256(*value)) : std::nullopt);
    buffer.pass_on();
    m_tree.update(changes);
    m_world.trace("applied " + who.id().brief() + ' ' + std::to_string(static_cast<int>(out.code)));
    return out;
}

ledger::proved_record ledger_node::prove(const bytes& key) {
    if (m_certificate.body.height != m_height) {
        m_certificate.body.network = m_trust.network();
        m_certificate.body.height = m_height;
        m_certificate.body.state_root = m_tree.root();
        m_certificate.body.next = m_config.origin.first;
        m_certificate.signatures = {{0, ledger::sign(m_key, m_certificate.body)}};
    }
    ledger::proved_record out;
    out.certificate = m_certificate;
    out.key = key;
    out.value = m_state.get(key);
    out.proof = m_tree.prove(crypto::sha256(key));
    return out;
}

ledger::volume_record ledger_node::volume(const volume_id& id) {
    const auto value = m_state.get(ledger::key::volume(id));
    auto record = value ? wire::decode<ledger::volume_record>(*value) : result<ledger::volume_record>(error(errc::not_found));
    if (!record) {
        std::fprintf(stderr, "simulation: the ledger has no such volume\n");
        std::abort();
    }
    return *record;
}

net::awaitable<result<void>> ledger_client::travel(net::time_point deadline) {
    auto& in = m_of.in();
    auto slept = co_await in.sleep_for(in.between(1ms, 20ms));
    if (!slept) co_return std::move(slept).error();
    if (!dead && !m_of.down) co_return result<void>();
    slept = co_await in.sleep_until(deadline);
    if (!slept) co_return std::move(slept).error();
    co_return error(errc::unavailable, "the ledger does not answer");
}

net::awaitable<result<bytes>> ledger_client::submit(const chain::account& who, ledger::action what, net::time_point deadline) {
    const auto by = who;
    const auto number = ++m_number;
    CO_CHECK_OK(co_await travel(deadline));
    auto out = m_of.apply(by, m_self, number, std::move(what));
    if (m_of.in().chance(m_of.lost_permille)) {
        auto slept = co_await m_of.in().sleep_until(deadline);
        if (!slept) co_return std::move(slept).error();
        co_return error(errc::timeout, "the ledger's answer was lost");
    }
    CO_CHECK_OK(co_await travel(deadline));
    if (out.code != errc::ok) co_return error(out.code, out.what);
    co_return std::move(out.value);
}

net::awaitable<result<ledger::proved_record>> ledger_client::read(bytes key, net::time_point deadline) {
    CO_CHECK_OK(co_await travel(deadline));
    auto out = m_of.prove(key);
    CO_CHECK_OK(co_await travel(deadline));
    co_return out;
}

net::awaitable<result<std::vector<ledger::node_record>>> ledger_client::nodes(net::time_point deadline) {
    CO_CHECK_OK(co_await travel(deadline));
    co_return ledger::list::nodes(m_of.state(), std::nullopt, 1000);
}

net::awaitable<result<std::vector<ledger::volume_record>>> ledger_client::volumes(account_id of, net::time_point deadline) {
    CO_CHECK_OK(co_await travel(deadline));
    co_return ledger::list::volumes(m_of.state(), of, "", 1000);
}

net::awaitable<result<std::vector<ledger::view_record>>> ledger_client::views(volume_id of, net::time_point deadline) {
    CO_CHECK_OK(co_await travel(deadline));
    co_return ledger::list::views(m_of.state(), of, "", 1000);
}

net::awaitable<result<std::vector<ledger::segment_record>>> ledger_client::segments(volume_id lineage, segment_number after, std::uint32_t limit,
                                                                                    net::time_point deadline) {
    CO_CHECK_OK(co_await travel(deadline));
    co_return ledger::list::segments(m_of.state(), lineage, after, limit);
}

net::awaitable<result<chain::client::freed_page>> ledger_client::freed_for(node_id miner, ledger::freed_cursor after, net::time_point deadline) {
    CO_CHECK_OK(co_await travel(deadline));
    freed_page out;
    out.next = after;
    for (const auto& entry : ledger::list::freed(m_of.state(), miner, after, 100)) {
        out.records.push_back(m_of.prove(entry.key));
        out.next = entry.at;
    }
    co_return out;
}

net::awaitable<result<chain::client::status>> ledger_client::health(net::time_point deadline) {
    CO_CHECK_OK(co_await travel(deadline));
    co_return status{};
}

}  // namespace cess::simulation
