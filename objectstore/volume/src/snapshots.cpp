// Other names for snapshots.
#include "engine.hpp"

#include <core/net/blocking.hpp>

namespace cess::volume {

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

}  // namespace cess::volume
