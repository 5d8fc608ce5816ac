#include "registration.hpp"

#include <core/base/log.hpp>
#include <core/net/retry.hpp>

namespace cess::roles {
namespace {

constexpr net::duration attempt_time = std::chrono::seconds(10);
constexpr net::duration look_again_after = std::chrono::minutes(10);
constexpr net::retry_policy patience{std::chrono::milliseconds(100), std::chrono::seconds(5), 0};

// `committed` is the ledger's own.
bool says_the_same(ledger::node_record a, const ledger::node_record& b) {
    a.committed = b.committed;
    return a == b;
}

net::awaitable<result<void>> register_once(const registration& how) {
    const auto deadline = how.world.now() + attempt_time;
    CO_TRY(const auto found, co_await how.ledger.read(ledger::key::node(how.record.id), deadline));
    if (found.value) {
        CO_TRY(auto known, wire::decode<ledger::node_record>(*found.value));
        if (says_the_same(std::move(known), how.record)) co_return result<void>();
    }
    ledger::register_node what;
    what.node = how.record;
    what.consent = ledger::consent_of(how.node, how.ledger.trust().network(), how.record);
    ledger::action action = what;
    CO_CHECK_OK(co_await how.ledger.submit(how.owner, std::move(action), deadline));
    log::info("node", "registered id={} address={} offered={}", how.record.id.brief(), how.record.address, how.record.offered);
    co_return result<void>();
}

}  // namespace

net::awaitable<void> keep_registered(registration how) {
    unsigned failures = 0;
    for (;;) {
        const auto done = co_await register_once(how);
        if (done) {
            failures = 0;
            how.registered = true;
        } else {
            ++failures;
            // The first failures are those of a network that is still starting.
            if (failures == 5 || failures % 100 == 0)
                log::warn("node", "cannot register id={}: {}", how.record.id.brief(), done.error().message());
        }
        const auto pause = done ? look_again_after : net::pause_after(patience, failures, how.world.random());
        const auto slept = co_await how.world.sleep_for(pause);
        if (!slept) co_return;
    }
}

}  // namespace cess::roles
