#include <blockdev/exports.hpp>
#include <core/base/log.hpp>
#include <objectstore/client/history.hpp>

#include "rehearsal.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>

namespace cess::blockdev {

static_assert(device_blob == client::device_blob);

struct exports::slot {
    explicit slot(std::string of) : name(std::move(of)) {}
    const std::string name;
    unsigned users = 0;  // connections, and those that wait to become one; under exports::m_mutex
    std::mutex attaching;  // held while attaching and detaching, so that a reconnect waits for the detach before it
    std::unique_ptr<client::attachment> attached;
    std::optional<limiter> limits;
    std::unique_ptr<client::attachment> base;  // of a change map
    std::optional<device> disk;

    result<void> detach() {  // REQUIRES: `attaching`
        result<void> done;
        if (attached) done = attached->detach();
        attached.reset();  // first: it may call the device until then
        base.reset();
        disk.reset();
        return done;
    }
};

namespace {

error wrong_choice(const std::string& name, const std::string& volume) {
    if (volume.empty())
        return {errc::invalid, "no export name given: connect to .../NAME, or start nbdkit with volume=NAME"};
    return {errc::not_found, "export \"" + name + "\": this server has only \"" + volume + "\""};
}

result<void> look_up(client::runtime& on, const std::string& name) {
    TRY(const auto named, parse_export(name));
    const auto& what = named.what;
    TRY(const auto record, on.volume(what.name));
    if (record.type != ledger::volume_type::block)
        return error(errc::unsupported, "volume \"" + what.name + "\" is of type " + std::string(ledger::to_string(record.type)) +
                                            ": only block volumes can be served as a block device");
    if (what.snapshot.empty()) return {};
    TRY(const auto all, on.snapshots(what.name));
    for (const auto& wanted : {what.snapshot, named.since.empty() ? what.snapshot : named.since})
        if (std::none_of(all.begin(), all.end(), [&](const auto& s) { return s.name == wanted; }))
            return error(errc::not_found, "volume \"" + what.name + "\" has no snapshot \"" + wanted + "\"");
    return {};
}

}  // namespace

result<export_name> parse_export(std::string_view text) {
    export_name out;
    const auto at = text.find('@');
    const auto dots = at == std::string_view::npos ? at : text.find("..", at);
    if (dots == std::string_view::npos) {
        TRY(out.what, volume::parse_target(text));
        return out;
    }
    const std::string volume(text.substr(0, at));
    if (dots + 2 == text.size())
        return error(errc::invalid, "\"" + std::string(text) + "\": a change map ends at a snapshot, VOLUME@OLD..NEW; make one of the volume as it is now");
    TRY(const auto older, volume::parse_target(text.substr(0, dots)));
    TRY(out.what, volume::parse_target(volume + "@" + std::string(text.substr(dots + 2))));
    out.since = older.snapshot;
    return out;
}

exports::exports(export_options with) : m_options(std::move(with)) {}

exports::~exports() = default;

result<void> exports::rehearse(const export_options& with) {
    return in_child([&]() -> result<void> {
        TRY(auto configuration, client::load_config(with.conf));
        TRY(const auto runtime, client::runtime::start(std::move(configuration)));
        if (!with.volume.empty()) return look_up(*runtime, with.volume);
        CHECK_OK(runtime->volumes());
        return {};
    });
}

result<std::unique_ptr<exports>> exports::start(export_options with) {
    std::unique_ptr<exports> made(new exports(std::move(with)));
    TRY(auto configuration, client::load_config(made->m_options.conf));
    TRY(made->m_runtime, client::runtime::start(std::move(configuration)));
    if (!made->m_options.volume.empty()) {
        TRY(made->m_kept, made->acquire(made->m_options.volume));
    }
    return made;
}

result<void> exports::attach(slot& what) {
    TRY(const auto named, parse_export(what.name));
    const auto& target = named.what;
    client::attach_options how;
    how.expected = ledger::volume_type::block;
    how.read_only = !target.snapshot.empty();
    how.force = m_options.force;
    how.durability = m_options.durability;
    TRY(what.attached, m_runtime->attach(target, how));
    if (!named.since.empty()) {
        TRY(what.base, m_runtime->attach({target.name, named.since}, how));
        what.disk.emplace(what.attached->data(), what.base->data());
        return {};
    }
    what.limits.emplace(m_options.time);
    what.disk.emplace(what.attached->data(), what.attached->head(), &*what.limits);
    what.attached->on_resize([&disk = *what.disk](std::uint64_t size) { disk.resize(size); });
    return what.attached->on_limits([&limits = *what.limits](const client::io_limits& to) { limits.set(to); });
}

result<std::shared_ptr<exports::slot>> exports::acquire(const std::string& name) {
    std::shared_ptr<slot> found;
    {
        const std::lock_guard hold(m_mutex);
        auto& place = m_slots[name];
        if (!place) place = std::make_shared<slot>(name);
        ++place->users;
        found = place;
    }
    result<void> attached;
    {
        const std::lock_guard hold(found->attaching);
        if (!found->attached) attached = attach(*found);
        if (!attached) {
            found->attached.reset();
            found->base.reset();
            found->disk.reset();
        }
    }
    if (attached) return found;
    (void)release(found);
    return std::move(attached).error();
}

result<void> exports::release(const std::shared_ptr<slot>& what) {
    const std::lock_guard attaching(what->attaching);
    {
        const std::lock_guard hold(m_mutex);
        if (what->users > 1) {
            --what->users;
            return {};
        }
    }
    // The last one, as far as anybody can know: whoever comes now waits for `attaching` and attaches anew.
    auto detached = what->detach();
    const std::lock_guard hold(m_mutex);
    if (--what->users == 0) m_slots.erase(what->name);
    return detached;
}

result<std::unique_ptr<exports::connection>> exports::connect(std::string name, bool read_only) {
    if (name.empty()) name = m_options.volume;
    if (name.empty() || (!m_options.volume.empty() && name != m_options.volume)) return wrong_choice(name, m_options.volume);
    TRY(auto held, acquire(name));
    return std::unique_ptr<connection>(new connection(*this, std::move(held), read_only));
}

result<std::vector<exports::listed>> exports::list() {
    std::vector<listed> out;
    if (!m_options.volume.empty()) {
        out.push_back({m_options.volume, "block volume"});
        return out;
    }
    TRY(const auto volumes, m_runtime->volumes());
    for (const auto& v : volumes) {
        if (v.type != ledger::volume_type::block) continue;
        out.push_back({v.name, "block volume, " + format_size(v.size)});
        TRY(const auto snapshots, m_runtime->snapshots(v.name));
        for (const auto& s : snapshots) out.push_back({v.name + "@" + s.name, "snapshot, read-only"});
    }
    return out;
}

result<void> exports::stop() {
    result<void> done;
    m_kept.reset();
    for (const auto& [name, held] : std::exchange(m_slots, {})) {
        const std::lock_guard attaching(held->attaching);
        if (auto detached = held->detach(); !detached && done) done = std::move(detached);
    }
    return done;
}

exports::connection::~connection() {
    if (const auto released = m_of.release(m_slot); !released)
        log::error("blockdev", "detaching {}: {}", m_slot->name, released.error().message());
}

device& exports::connection::disk() noexcept { return *m_slot->disk; }
bool exports::connection::writable() noexcept { return !m_read_only && m_slot->disk->writable(); }
const std::string& exports::connection::name() const noexcept { return m_slot->name; }

int to_nbd_errno(const error& e) noexcept {
    switch (e.code) {
        case errc::invalid:
        case errc::out_of_range: return EINVAL;
        case errc::no_space:
        case errc::quota: return ENOSPC;
        case errc::read_only: return EROFS;
        case errc::unsupported: return EOPNOTSUPP;
        case errc::canceled: return ESHUTDOWN;
        default: return EIO;
    }
}

}  // namespace cess::blockdev
