// Other names for snapshots, and holding writes so that several volumes are cut at one instant.
#include "engine.hpp"

#include <core/net/blocking.hpp>

namespace cess::volume {
namespace {

using clock = std::chrono::steady_clock;

constexpr auto hold_max = std::chrono::seconds(30);  // whatever is asked for: nobody may be there to release it

}  // namespace

// The name is promised before the ledger is asked, so that no snapshot takes it meanwhile: it would be durable, and
// refused when it is anchored.
result<void> engine::rename_snapshot(const std::string& name, const std::string& to) {
    CHECK_OK(check_writable());
    if (name == to) return {};
    CHECK_OK(check_snapshot_name(to));
    {
        const std::lock_guard lock(m_state_mutex);
        if (m_pending.contains(name)) return error(errc::busy, "snapshot " + record().name + "@" + name + " is not in the ledger yet");
        if (!m_names.insert(to).second) return error(errc::exists, "snapshot " + record().name + "@" + to);
        m_promised.insert(to);
    }
    ledger::rename_view what;
    what.volume = record().id;
    what.term = m_holder->term();
    what.name = name;
    what.to = to;
    const auto deadline = m_layer.world().now() + m_layer.limits().ledger;
    auto done = net::wait(m_layer.world(), m_layer.ledger().submit(m_who, std::move(what), deadline));
    const std::lock_guard lock(m_state_mutex);
    ++m_renames;
    m_promised.erase(to);
    const bool unknown = !done && (done.error().code == errc::timeout || done.error().code == errc::unavailable || done.error().code == errc::canceled);
    if (!done && !unknown) m_names.erase(to);  // else it may be taken, until the ledger says otherwise
    if (!done) return std::move(done).error();
    m_names.erase(name);
    if (auto moved = m_anchored.extract(name)) {
        moved.key() = to;
        moved.mapped().name = to;
        m_anchored.insert_or_assign(to, moved.mapped());
    }
    return {};
}

// ---- one instant -----------------------------------------------------------------------------------------

void engine::wait_while_held(std::unique_lock<std::mutex>& apply) {
    while (m_hold) {
        const auto until = m_hold->until;
        if (clock::now() >= until) return;
        m_released.wait_until(apply, until);
    }
}

result<void> engine::hold_writes(std::uint64_t id, net::duration at_most) {
    CHECK_OK(check_writable());
    const std::lock_guard lock(m_apply);
    const auto now = clock::now();
    if (m_hold && m_hold->id != id && now < m_hold->until)
        return error(errc::conflict, "volume " + record().name + " is part of another group of snapshots that is being made; try again");
    m_hold = hold{id, now + std::min<net::duration>(at_most, hold_max)};
    return {};
}

result<void> engine::release_writes(std::uint64_t id) {
    bool lasted = false;
    {
        const std::lock_guard lock(m_apply);
        if (m_hold && m_hold->id == id) {
            lasted = clock::now() < m_hold->until;
            m_hold.reset();
        }
    }
    m_released.notify_all();
    if (!lasted) return error(errc::timeout, "volume " + record().name + ": its writes could not be held until all were cut");
    return {};
}

}  // namespace cess::volume
