#include <objectstore/layer/miners.hpp>

#include <algorithm>
#include <tuple>

namespace cess::layer {

using namespace std::chrono_literals;

namespace {
constexpr unsigned moved_after = 3;  // failures in a row
}

net::duration patience_with(net::duration usual, net::duration hedge) noexcept { return std::clamp<net::duration>(4 * usual, hedge / 4, hedge); }

bool is_miners_fault(errc code) noexcept {
    switch (code) {
        case errc::unavailable:
        case errc::timeout:
        case errc::protocol:
        case errc::io:
        case errc::corrupt:
        case errc::exhausted: return true;
        default: return false;
    }
}

net::awaitable<result<void>> miner_directory::refresh(net::duration age, net::time_point deadline) {
    {
        const std::lock_guard hold(m_mutex);
        if (m_fetched && m_world.now() - m_fetched_at < age) co_return result<void>();
    }
    auto listed = co_await m_ledger.nodes(deadline);
    const std::lock_guard hold(m_mutex);
    if (!listed) {
        m_fetched_at = m_world.now();  // a known list serves on while consensus is down, and is not asked for at every turn
        co_return std::move(listed).error().with_context("list of nodes");
    }
    for (auto& record : *listed)
        if (record.role == ledger::node_role::storage) m_records.insert_or_assign(record.id, record);
    m_fetched = true;
    m_fetched_at = m_world.now();
    co_return result<void>();
}

bool miner_directory::may_have_moved(const node_id& miner) const {
    const std::lock_guard hold(m_mutex);
    const auto found = m_histories.find(miner);
    return found != m_histories.end() && found->second.failures >= moved_after;
}

net::awaitable<result<net::peer>> miner_directory::find(node_id miner, net::time_point deadline) {
    // It may have come back elsewhere: who only reads or journals asks for the list at no other time.
    if (may_have_moved(miner)) {
        const net::duration age = 10s;
        (void)co_await refresh(age, std::min(deadline, m_world.now() + net::duration(1s)));
    }
    for (int attempt = 0; attempt < 2; ++attempt) {
        {
            const std::lock_guard hold(m_mutex);
            if (const auto found = m_records.find(miner); found != m_records.end()) {
                net::peer out;
                out.id = miner;
                out.address = found->second.address;
                co_return out;
            }
        }
        if (attempt == 0) {
            const net::duration age = 1s;
            CO_CHECK_OK(co_await refresh(age, deadline));
        }
    }
    co_return error(errc::not_found, "the ledger lists no miner " + miner.brief());
}

std::vector<ledger::node_record> miner_directory::miners() const {
    const std::lock_guard hold(m_mutex);
    std::vector<ledger::node_record> out;
    for (const auto& [id, record] : m_records) out.push_back(record);
    return out;
}

void miner_directory::succeeded(const node_id& miner, net::duration took) {
    const std::lock_guard hold(m_mutex);
    auto& of = m_histories[miner];
    of.failures = 0;
    of.avoid_until = {};
    of.mean = of.mean.count() == 0 ? took : of.mean + (took - of.mean) / 8;
}

void miner_directory::late(const node_id& miner, net::duration waited) {
    const std::lock_guard hold(m_mutex);
    auto& of = m_histories[miner];
    if (waited > of.mean) of.mean += (waited - of.mean) / 8;
}

void miner_directory::failed(const node_id& miner) {
    const std::lock_guard hold(m_mutex);
    auto& of = m_histories[miner];
    of.failures = std::min(of.failures + 1, 8u);
    const net::duration wait = std::min<net::duration>(10s, 100ms * (1u << of.failures));
    of.avoid_until = m_world.now() + wait;
}

bool miner_directory::avoided(const node_id& miner) const {
    const std::lock_guard hold(m_mutex);
    const auto found = m_histories.find(miner);
    return found != m_histories.end() && found->second.avoid_until > m_world.now();
}

void miner_directory::distrust(const node_id& miner) {
    const std::lock_guard hold(m_mutex);
    m_histories[miner].distrust_until = m_world.now() + 60s;
}

bool miner_directory::distrusted(const node_id& miner) const {
    const std::lock_guard hold(m_mutex);
    const auto found = m_histories.find(miner);
    return found != m_histories.end() && found->second.distrust_until > m_world.now();
}

net::duration miner_directory::latency(const node_id& miner) const {
    const std::lock_guard hold(m_mutex);
    const auto found = m_histories.find(miner);
    return found == m_histories.end() ? net::duration{0} : found->second.mean;
}

std::optional<miner_directory::choice> miner_directory::first_choice(const std::vector<node_id>& holders, std::optional<unsigned> wanted,
                                                                     net::duration hedge) const {
    const std::lock_guard hold(m_mutex);
    const auto now = m_world.now();
    std::optional<choice> out;
    net::duration least{0};
    for (unsigned i = 0; i < holders.size(); ++i) {
        const auto found = m_histories.find(holders[i]);
        const auto known = found == m_histories.end() ? history() : found->second;
        if (known.distrust_until > now) return std::nullopt;
        if (wanted.value_or(i) != i || known.avoid_until > now || known.mean > hedge / 2) continue;
        if (out && known.mean >= least) continue;
        least = known.mean;
        out = choice{i, patience_with(known.mean, hedge)};
    }
    return out;
}

std::vector<unsigned> miner_directory::quickest_first(const std::vector<node_id>& miners) const {
    std::vector<std::tuple<bool, net::duration, unsigned>> ranked;
    {
        const std::lock_guard hold(m_mutex);
        const auto now = m_world.now();
        for (unsigned i = 0; i < miners.size(); ++i) {
            const auto found = m_histories.find(miners[i]);
            if (found == m_histories.end())
                ranked.emplace_back(false, net::duration{0}, i);
            else
                ranked.emplace_back(found->second.avoid_until > now, found->second.mean, i);
        }
    }
    std::sort(ranked.begin(), ranked.end());
    std::vector<unsigned> out;
    for (const auto& each : ranked) out.push_back(std::get<2>(each));
    return out;
}

void miner_link::set_lease(std::shared_ptr<const ledger::proved_record> certificate) {
    const std::lock_guard hold(m_mutex);
    m_lease = std::move(certificate);
}

std::shared_ptr<const ledger::proved_record> miner_link::lease() const {
    const std::lock_guard hold(m_mutex);
    return m_lease;
}

net::awaitable<result<void>> miner_link::present(node_id miner, net::time_point deadline) {
    const auto certificate = lease();
    if (!certificate) co_return error(errc::lease_required, "miner " + miner.brief());
    CO_TRY(auto to, co_await m_directory.find(miner, deadline));
    storage::present_request message;
    message.volume = *certificate;
    net::request what;
    what.method = storage::method::present;
    what.head = wire::encode(message);
    auto answer = co_await m_network.call(std::move(to), std::move(what), deadline, net::lane::control);
    if (!answer) co_return std::move(answer).error().with_context("present the lease to miner " + miner.brief());
    const std::lock_guard hold(m_mutex);
    m_seen[miner] = certificate;
    co_return result<void>();
}

net::awaitable<result<void>> miner_link::keep_informed(node_id miner, net::time_point deadline) {
    {
        const std::lock_guard hold(m_mutex);
        const auto found = m_seen.find(miner);
        if (!m_lease || (found != m_seen.end() && found->second == m_lease)) co_return result<void>();
    }
    co_return co_await present(miner, deadline);
}

net::awaitable<result<net::reply>> miner_link::ask_raw(node_id miner, net::method_id method, bytes head, net::request_body body,
                                                       net::time_point deadline, net::lane on, judging success) {
    CO_TRY(auto to, co_await m_directory.find(miner, deadline));
    for (bool presented = false;;) {
        net::request what;
        what.method = method;
        what.head = head;
        what.body = body;
        const auto sent = m_world.now();
        auto answer = co_await m_network.call(to, std::move(what), deadline, on);
        if (answer) {
            if (success == judging::by_link) m_directory.succeeded(miner, m_world.now() - sent);
            co_return std::move(*answer);
        }
        if (answer.error().code == errc::lease_required && !presented && lease()) {
            presented = true;
            CO_CHECK_OK(co_await present(miner, deadline));
            continue;
        }
        if (is_miners_fault(answer.error().code)) m_directory.failed(miner);
        co_return std::move(answer).error().with_context("miner " + miner.brief());
    }
}

}  // namespace cess::layer
