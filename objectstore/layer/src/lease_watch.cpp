#include "lease_watch.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::layer {
namespace {

error deposed_error() { return error(errc::fenced, "another owner took the volume"); }

}  // namespace

lease_watch::lease_watch(setup how) : m_how(std::move(how)), m_looked(m_how.world.now()), m_confirmed(m_looked.time_since_epoch().count()) {}

bool lease_watch::confirmed() const noexcept {
    const net::duration now = m_how.world.now().time_since_epoch();
    return now.count() - m_confirmed.load() <= net::duration(m_how.limits.owner_silence).count();
}

void lease_watch::on_deposed(std::function<void(const error&)> tell) {
    const std::lock_guard hold(m_mutex);
    m_tell = std::move(tell);
    if (m_deposed && m_tell) m_tell(deposed_error());
}

void lease_watch::depose() {
    const std::lock_guard hold(m_mutex);
    m_deposed = true;
    if (m_tell) m_tell(deposed_error());
}

net::awaitable<void> lease_watch::run(std::shared_ptr<lease_watch> self) {
    for (;;) {
        auto slept = co_await self->m_how.world.sleep_for(self->m_how.limits.owner_silence / 4);
        if (!slept) co_return;
        const bool ours = co_await self->look();
        if (!ours) co_return self->depose();
    }
}

net::awaitable<bool> lease_watch::look() {
    const auto before = std::exchange(m_looked, m_how.world.now());
    // Members that take our entries have heard of nobody newer.
    const auto acknowledged = m_how.journal->acknowledged();
    if (std::exchange(m_acknowledged, acknowledged) != acknowledged) {
        confirm(before);
        co_return true;
    }
    auto executor = co_await boost::asio::this_coro::executor;
    answers got{m_looked, 0, 0, net::task_group(std::move(executor))};
    for (std::size_t i = 0; i < m_how.lease.members.size(); ++i) got.all.spawn(ask(i, got));
    co_await got.all.join();
    if (got.denying == 0) co_return true;
    const auto agrees = co_await ledger_agrees();
    // Without the ledger: more than m of them cannot all be lying.
    co_return agrees ? *agrees : got.denying <= m_how.lease.tolerated;
}

net::awaitable<void> lease_watch::ask(std::size_t member, answers& to) {
    storage::journal_ref ours;
    ours.volume = m_how.lease.volume;
    ours.term = m_how.lease.term;
    const auto& asked = m_how.lease.members[member];
    const auto deadline = to.asked + std::min(m_how.limits.request, m_how.limits.owner_silence);
    auto said = co_await m_how.link->ask<storage::journal_state>(asked.miner, storage::method::journal_state, ours, net::request_body(), deadline, net::lane::control);
    if (!said) {
        // Once a newer owner's root is final, our lease is none that they know.
        const auto code = said.error().code;
        to.denying += code == errc::fenced || code == errc::permission;
        co_return;
    }
    if (said->message.fence > m_how.lease.term) {
        ++to.denying;
        co_return;
    }
    if (said->message.incarnation != asked.incarnation) co_return;  // a wiped store knows of no fence
    if (++to.confirming + m_how.lease.tolerated < m_how.lease.members.size()) co_return;
    confirm(to.asked);
    if (to.denying == 0) to.all.cancel();  // who is silent now is not waited for
}

net::awaitable<std::optional<bool>> lease_watch::ledger_agrees() {
    auto proved = co_await m_how.ledger.read(ledger::key::volume(m_how.lease.volume), m_how.world.now() + m_how.limits.request);
    if (!proved) co_return std::nullopt;
    const auto record = m_how.ledger.trust().value_of<ledger::volume_record>(*proved);
    if (!record && record.error().code != errc::not_found) co_return std::nullopt;
    co_return record && !record->deleting && record->term == m_how.lease.term;
}

}  // namespace cess::layer
