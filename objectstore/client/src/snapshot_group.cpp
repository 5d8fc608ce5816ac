// Snapshots of several volumes at one instant: all writes are held, all volumes cut, all writes released. If every hold
// lasted until the last cut was made, nothing that a snapshot holds was written after something that another one misses:
// whoever wrote that saw it done, and so after all were released.
#include "runtime.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::client {
namespace {

constexpr std::size_t volumes_max = 32;
constexpr auto hold_for = std::chrono::seconds(10);  // a writer waits no longer for us, whatever becomes of us

}  // namespace

class snapshot_group {
public:
    snapshot_group(runtime_implementation& on, const std::vector<volume::target>& what) : m_on(on), m_id(on.m_world.random().next()) {
        for (const auto& each : what) m_members.push_back({each, {}, nullptr, false, false});
    }

    result<void> run() {
        auto done = prepare();
        if (done) done = hold();
        if (done) done = cut();
        auto released = release();
        if (done) done = std::move(released);
        auto left = detach();
        if (done) done = std::move(left);
        if (!done) return take_back(std::move(done).error());
        return {};
    }

private:
    struct member {
        volume::target what;
        ledger::volume_record record;
        std::unique_ptr<attachment> ours;  // nobody had it attached
        bool held = false;
        bool made = false;                 // or may be
    };

    result<void> prepare() {
        for (auto& each : m_members) {
            TRY(each.record, m_on.volume(each.what.name));
            if (m_on.view(each.record, each.what.snapshot)) return error(errc::exists, "snapshot " + name_of(each));
        }
        // In one order, so that of two groups one gets all.
        std::sort(m_members.begin(), m_members.end(), [](const member& a, const member& b) { return a.record.id < b.record.id; });
        const auto same = [](const member& a, const member& b) { return a.record.id == b.record.id; };
        if (const auto twice = std::adjacent_find(m_members.begin(), m_members.end(), same); twice != m_members.end())
            return error(errc::invalid, "volume " + twice->what.name + " is named twice; one snapshot of each is made");
        for (auto& each : m_members) {
            TRY(const auto owned, m_on.through_owner(each.record, tell_usage()));
            if (owned) continue;
            TRY(each.ours, m_on.attach_head(each.record, {}));
        }
        return {};
    }

    result<void> hold() {
        const auto ms = static_cast<std::uint32_t>(std::chrono::milliseconds(hold_for).count());
        for (auto& each : m_members) {
            if (each.ours) continue;  // nobody else can write it
            each.held = true;
            CHECK_OK(ask(each, hold_writes{m_id, ms}));
        }
        return {};
    }

    result<void> cut() {
        for (auto& each : m_members) {
            each.made = true;
            CHECK_OK(each.ours ? each.ours->head()->create_snapshot(each.what.snapshot) : ask(each, make_snapshot{each.what.snapshot}));
        }
        return {};
    }

    // Always all of them.
    result<void> release() {
        result<void> out;
        for (auto& each : m_members) {
            if (!each.held) continue;
            auto done = ask(each, release_writes{m_id});
            if (out && !done) out = std::move(done);
        }
        return out;
    }

    result<void> detach() {
        result<void> out;
        for (auto& each : m_members) {
            if (!each.ours) continue;
            auto done = each.ours->detach();
            each.ours.reset();
            if (out && !done) out = std::move(done);
        }
        return out;
    }

    // All or none.
    error take_back(error why) {
        std::string left;
        for (const auto& each : m_members) {
            if (!each.made) continue;
            const auto gone = m_on.delete_snapshot(each.what);
            if (!gone && gone.error().code != errc::not_found) left += (left.empty() ? "" : " ") + name_of(each);
        }
        if (left.empty()) return {why.code, "no snapshot of the group was made: " + why.what};
        return {why.code, "the group of snapshots is not complete, delete what there is of it (" + left + "): " + why.what};
    }

    result<void> ask(const member& of, owner_action what) {
        auto done = m_on.through_owner(of.record, std::move(what));
        if (!done) return std::move(done).error().with_context(name_of(of));
        if (!*done) return error(errc::busy, name_of(of) + ": the volume was detached meanwhile; try again");
        return {};
    }

    static std::string name_of(const member& of) { return of.what.name + "@" + of.what.snapshot; }

    runtime_implementation& m_on;
    const std::uint64_t m_id;
    std::vector<member> m_members;
};

result<void> runtime_implementation::create_snapshots(const std::vector<::cess::volume::target>& what) {
    if (what.empty()) return error(errc::invalid, "no snapshot is named");
    if (what.size() == 1) return create_snapshot(what.front());
    if (what.size() > volumes_max) return error(errc::invalid, "a group has at most " + std::to_string(volumes_max) + " snapshots");
    for (const auto& each : what) {
        CHECK_OK(ledger::check_name(each.name));
        if (each.snapshot.empty()) return error(errc::invalid, "\"" + each.name + "\" names no snapshot; say " + each.name + "@NAME");
        CHECK_OK(ledger::check_name(each.snapshot));
    }
    return snapshot_group(*this, what).run();
}

}  // namespace cess::client
