#include "owner_service.hpp"

#include "block_volume.hpp"

#include <core/base/log.hpp>

namespace cess::client {
namespace {

constexpr std::size_t spent_max = 4096;
constexpr std::size_t commands_waiting_max = 32;

// These must not wait behind a command whose own change waits until the writes are released.
bool makes_snapshots(const owner_action& what) {
    return std::holds_alternative<make_snapshot>(what) || std::holds_alternative<hold_writes>(what) || std::holds_alternative<release_writes>(what);
}

template <class Message>
net::reply answer(const Message& message) {
    net::reply out;
    out.head = wire::encode(message);
    return out;
}

}  // namespace

// ---- one volume ------------------------------------------------------------------------------------------------

void owned_volume::close() {
    {
        std::unique_lock lock(m_mutex);
        m_on = nullptr;
    }
    m_closed = true;
    if (m_flattener.joinable()) m_flattener.join();
}

bool owned_volume::alive() const {
    // A close that is under way holds the lock for as long as a command runs, and has not given the volume up.
    std::shared_lock lock(m_mutex, std::try_to_lock);
    return !lock || (m_on != nullptr && m_on->writable());
}

void owned_volume::on_resize(std::function<void(std::uint64_t)> tell) {
    std::lock_guard lock(m_telling);
    m_resized = std::move(tell);
}

result<void> owned_volume::resize(std::uint64_t size) {
    std::function<void(std::uint64_t)> tell;
    {
        std::lock_guard lock(m_telling);
        tell = m_resized;
    }
    return resize_head(*m_on, size, tell);
}

result<void> owned_volume::on_limits(std::function<void(const io_limits&)> tell) {
    std::shared_lock lock(m_mutex);
    if (m_on == nullptr) return error(errc::canceled, "the volume is being detached");
    std::lock_guard limiting(m_limiting);
    TRY(const auto now, read_limits(*m_on));
    m_limited = std::move(tell);
    if (m_limited) m_limited(now);
    return {};
}

result<void> owned_volume::limit(const io_limits& to) {
    std::lock_guard limiting(m_limiting);
    CHECK_OK(write_limits(*m_on, to));
    if (m_limited) m_limited(to);
    return {};
}

// On a thread of its own: it takes as long as copying does. It ends before close() does, and so before the engine.
result<told_flattening> owned_volume::flatten() {
    std::unique_lock lock(m_flattening);
    if (m_flattened.running) return m_flattened;
    if (m_flattener.joinable()) {  // it has ended, and nobody was told how
        lock.unlock();
        m_flattener.join();
        if (m_flatten_failed) return *std::exchange(m_flatten_failed, std::nullopt);
        return m_flattened;
    }
    m_flattened = {true, 0, 0};
    m_flattener = std::thread([this, on = m_on] {
        const auto done = on->flatten([this](std::uint64_t copied, std::uint64_t total) {
            const std::lock_guard here(m_flattening);
            m_flattened = {true, copied, total};
            return !m_closed;
        });
        const std::lock_guard here(m_flattening);
        m_flattened.running = false;
        if (!done) m_flatten_failed = done.error();
    });
    return m_flattened;
}

result<owner_result> owned_volume::execute(const owner_action& what) {
    std::shared_lock lock(m_mutex);
    if (m_on == nullptr) return error(errc::busy, "the volume is being detached");
    if (!m_obeys) return error(errc::busy, "the volume is being rolled back to a snapshot; wait until that has ended");
    owner_result out;
    if (const auto* make = std::get_if<make_snapshot>(&what)) CHECK_OK(m_on->create_snapshot(make->name));
    if (const auto* rename = std::get_if<rename_snapshot>(&what)) CHECK_OK(m_on->rename_snapshot(rename->name, rename->to));
    if (const auto* hold = std::get_if<hold_writes>(&what)) CHECK_OK(m_on->hold_writes(hold->id, std::chrono::milliseconds(hold->at_most_ms)));
    if (const auto* release = std::get_if<release_writes>(&what)) CHECK_OK(m_on->release_writes(release->id));
    if (const auto* set = std::get_if<set_size>(&what)) CHECK_OK(resize(set->size));
    if (const auto* set = std::get_if<set_limits>(&what)) CHECK_OK(limit(set->to));
    if (std::holds_alternative<get_limits>(what)) {
        TRY(out.limits, read_limits(*m_on));
    }
    if (std::holds_alternative<list_snapshots>(what)) {
        TRY(const auto all, m_on->snapshots());
        for (const auto& s : all) out.snapshots.push_back({s.name, s.created_unix, s.at, s.pending, s.size});
    }
    if (std::holds_alternative<flatten_volume>(what)) {
        TRY(out.flattening, flatten());
    }
    if (std::holds_alternative<tell_usage>(what)) {
        const auto now = m_on->usage_now();
        out.usage = told_usage{now.logical, now.stored, now.needed};
    }
    return out;
}

// ---- the service -----------------------------------------------------------------------------------------------

owner_service::owner_service(net::env& world, chain::client& ledger, owner_identity self, net::duration ledger_patience, metrics& count)
    : m_world(world), m_ledger(ledger), m_self(self), m_patience(ledger_patience), m_secret(crypto::secret_key::generate(world.random())),
      m_refused(count.make_counter("cess_owner_refused_total", "Owner commands refused for want of authority.")),
      m_workers(1, commands_waiting_max), m_cutters(1, commands_waiting_max) {}

result<void> owner_service::claim(volume_id which) {
    std::lock_guard lock(m_mutex);
    if (!m_volumes.emplace(which, nullptr).second) return error(errc::busy, "the volume is attached by this process already");
    return {};
}

void owner_service::opened(volume_id which, std::shared_ptr<owned_volume> as) {
    std::lock_guard lock(m_mutex);
    m_volumes[which] = std::move(as);
}

void owner_service::gone(volume_id which) {
    std::lock_guard lock(m_mutex);
    m_volumes.erase(which);
}

std::optional<std::shared_ptr<owned_volume>> owner_service::find(const volume_id& which) const {
    std::lock_guard lock(m_mutex);
    const auto at = m_volumes.find(which);
    if (at == m_volumes.end()) return std::nullopt;
    return at->second;
}

net::awaitable<net::reply> owner_service::serve(node_id from, net::request what) {
    if (what.method == layer::method::owner_ping) return ping(std::move(what));
    if (what.method == method::owner_command) return command(from, std::move(what));
    struct at_once {
        static net::awaitable<net::reply> with(net::reply r) { co_return r; }
    };
    if (what.method == method::owner_challenge) return at_once::with(challenge(from, what));
    return at_once::with(net::reply::of(error(errc::unsupported, "method " + std::to_string(what.method) + " of an owner")));
}

net::awaitable<net::reply> owner_service::ping(net::request what) {
    const auto asked = wire::decode<layer::owner_ping_request>(what.head);
    if (!asked) co_return net::reply::of(asked.error());
    layer::owner_ping_reply out;
    const auto found = find(asked->volume);
    if (found && *found) {
        out.term = (*found)->term();
        out.alive = (*found)->alive();
    } else if (found) {
        // Being opened: if the newest lease has our key, then we have just taken it.
        auto reading = m_ledger.read(ledger::key::volume(asked->volume), m_world.now() + m_patience);
        auto proved = co_await std::move(reading);
        if (!proved) co_return net::reply::of(std::move(proved).error());
        const auto record = m_ledger.trust().value_of<ledger::volume_record>(*proved);
        const bool ours = record && !record->leases.empty() && record->leases.back().session == m_self.session;
        out.alive = ours;
        if (ours) out.term = record->leases.back().term;
    }
    co_return answer(out);
}

hash256 owner_service::mac_of(const owner_challenge& of, const node_id& asker) const {
    wire::encoder e;
    e(of.expires, of.unique, asker);
    const auto code = crypto::hmac_sha256(m_secret.view(), e.view());
    return hash256::from(code);
}

// Nothing is kept of a challenge until a rightly signed command spends it, so that strangers cannot fill anything.
net::reply owner_service::challenge(node_id from, const net::request& what) {
    const auto asked = wire::decode<owner_challenge_request>(what.head);
    if (!asked) return net::reply::of(asked.error());
    owner_challenge out;
    out.expires = now() + static_cast<std::uint64_t>(challenge_life.count());
    out.unique = m_world.random().id<salt256>();
    out.mac = mac_of(out, from);
    return answer(out);
}

result<void> owner_service::authorize(node_id from, const signed_owner_command& what, const owned_volume& on) {
    const auto& c = what.body;
    const error no(errc::permission, "the command is not signed by the volume's account for this owner, now");
    if (c.network != m_self.network || c.owner != m_self.session || c.from != from || c.term != on.term()) return no;
    if (!crypto::equal_constant_time(mac_of(c.challenge, from).view(), c.challenge.mac.view()) || now() >= c.challenge.expires) return no;
    if (!crypto::verify(crypto::key_of(m_self.account), signed_part(c), what.sig)) return no;
    std::lock_guard lock(m_mutex);
    std::erase_if(m_spent, [t = now()](const auto& spent) { return spent.second <= t; });
    if (m_spent.size() >= spent_max) return error(errc::exhausted, "too many commands at once; try again");
    if (!m_spent.emplace(c.challenge.mac, c.challenge.expires).second) return no;
    return {};
}

net::awaitable<net::reply> owner_service::command(node_id from, net::request what) {
    auto asked = wire::decode<signed_owner_command>(what.head);
    if (!asked) co_return net::reply::of(std::move(asked).error());
    const auto found = find(asked->body.volume);
    // It was when the asker looked: who is busy is asked again, and then says that nobody owns it.
    if (!found) co_return net::reply::of(error(errc::busy, "the volume was detached here"));
    if (!*found) co_return net::reply::of(error(errc::busy, "the volume is being opened"));
    if (auto allowed = authorize(from, *asked, **found); !allowed) {
        m_refused.add();
        co_return net::reply::of(std::move(allowed).error());
    }
    auto& workers = makes_snapshots(asked->body.what) ? m_cutters : m_workers;
    auto work = net::offload(workers, [on = *found, what = std::move(asked->body.what)] { return on->execute(what); });
    auto done = co_await std::move(work);
    // The engine closes: the asker waits until the lease is gone, or another's.
    const bool closing = !done && done.error().code == errc::canceled;
    if (closing) co_return net::reply::of(error(errc::busy, "the volume is being detached"));
    if (!done) co_return net::reply::of(std::move(done).error());
    co_return answer(*done);
}

}  // namespace cess::client
