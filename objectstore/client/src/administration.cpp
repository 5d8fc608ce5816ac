#include "block_volume.hpp"
#include "runtime.hpp"

#include <objectstore/volume/rollback.hpp>

#include <core/base/log.hpp>
#include <core/net/blocking.hpp>

#include <algorithm>
#include <thread>

namespace cess::client {
namespace {

constexpr std::uint32_t block_size_small = 4 * KiB;   // AEAD blocks where 4 KiB are read at a time
constexpr std::uint32_t block_size_large = 16 * KiB;  // where whole objects are
constexpr std::uint32_t reap_step = 1024;
constexpr int rename_attempts = 8;
constexpr auto flatten_poll = std::chrono::milliseconds(200);
constexpr auto anchor_poll = std::chrono::milliseconds(20);

std::string full_name(const volume::target& t) { return t.name + "@" + t.snapshot; }

result<void> require_snapshot(const volume::target& t) {
    CHECK_OK(ledger::check_name(t.name));
    if (t.snapshot.empty()) return error(errc::invalid, "\"" + t.name + "\" names no snapshot; say " + t.name + "@NAME");
    return ledger::check_name(t.snapshot);
}

result<void> require_size(ledger::volume_type type, std::uint64_t size) {
    if (type == ledger::volume_type::block && size == 0) return error(errc::invalid, "a block volume needs a size, such as 10G");
    if (size > ledger::limits::volume_size_max)
        return error(errc::invalid, "a size of " + format_size(size) + " is too much; " + format_size(ledger::limits::volume_size_max) + " is the most");
    return {};
}

}  // namespace

template <class Record>
result<Record> runtime_implementation::read(bytes key) {
    TRY(const auto proved, net::wait(m_world, m_ledger->read(std::move(key), by(m_config.limits.ledger))));
    return m_ledger->trust().value_of<Record>(proved);
}

result<std::vector<ledger::volume_record>> runtime_implementation::volumes() {
    return net::wait(m_world, m_ledger->volumes(m_account.id(), by(m_config.limits.ledger)));
}

result<ledger::volume_record> runtime_implementation::volume(const std::string& name) {
    return volume::look_up(*m_layer, m_account, name, std::nullopt);
}

result<ledger::view_record> runtime_implementation::view(const ledger::volume_record& of, const std::string& name) {
    auto found = read<ledger::view_record>(ledger::key::view(of.id, name));
    if (!found && found.error().code == errc::not_found) return error(errc::not_found, "snapshot " + of.name + "@" + name);
    return found;
}

result<ledger::view_record> runtime_implementation::anchored_view(const ledger::volume_record& of, const std::string& name) {
    const auto deadline = m_world.now() + m_config.limits.put + m_config.limits.ledger;
    for (;;) {
        auto found = view(of, name);
        if (found || found.error().code != errc::not_found) return found;
        TRY(const auto all, snapshots(of.name));
        const auto pending = std::find_if(all.begin(), all.end(), [&](const auto& s) { return s.name == name; });
        if (pending == all.end()) return found;
        if (m_world.now() >= deadline)
            return error(errc::busy, "snapshot " + of.name + "@" + name + " is not in the ledger yet; try again when consensus answers");
        std::this_thread::sleep_for(anchor_poll);
    }
}

// ---- volumes ---------------------------------------------------------------------------------------------------

result<ledger::volume_record> runtime_implementation::create_volume(const volume_spec& what) {
    CHECK_OK(ledger::check_name(what.name));
    CHECK_OK(require_size(what.type, what.size));
    ledger::create_volume make;
    make.id = m_world.random().id<volume_id>();
    make.name = what.name;
    make.type = what.type;
    make.size = what.size;
    make.block_size = what.type == ledger::volume_type::bucket ? block_size_large : block_size_small;
    make.geometry = what.geometry.value_or(m_config.network.origin.default_geometry);
    make.created_unix = unix_now();
    const auto key = crypto::secret_key::generate(m_world.random());
    make.keyring.push_back(::cess::layer::keyring::wrap(m_account, make.id, 0, key, m_world.random()));
    CHECK_OK(submit(std::move(make)));
    return volume(what.name);
}

result<std::optional<::cess::volume::usage>> runtime_implementation::usage_of(const std::string& name) {
    TRY(const auto record, volume(name));
    const auto answered = through_owner(record, tell_usage());
    if (!answered || !*answered || !(*answered)->usage) return std::optional<::cess::volume::usage>();
    const auto& told = *(*answered)->usage;
    ::cess::volume::usage out;
    out.logical = told.mapped;
    out.stored = told.stored;
    out.needed = told.needed;
    out.size = record.size;
    return std::optional(out);
}

result<void> runtime_implementation::delete_volume(const std::string& name) {
    TRY(const auto record, volume(name));
    CHECK_OK(refuse_if_attached(record));
    ledger::delete_volume what;
    what.volume = record.id;
    CHECK_OK(submit(std::move(what)));
    return reap(record);
}

// What is dead goes in bounded steps. One that does not go through leaves the rest for the next deletion.
result<void> runtime_implementation::reap(const ledger::volume_record& record) {
    for (;;) {
        ledger::reap step;
        step.volume = record.id;
        step.limit = reap_step;
        const auto done = submit(std::move(step));
        if (!done && done.error().code == errc::not_found) return {};  // the volume itself was the last of it
        if (!done) {
            log::warn("client", "volume {}: freeing its segments goes on later: {}", record.name, done.error().message());
            return {};
        }
        TRY(const auto freed, wire::decode<std::uint64_t>(*done));
        if (freed == 0) return {};
    }
}

result<void> runtime_implementation::rename_volume(const std::string& name, const std::string& to) {
    CHECK_OK(ledger::check_name(to));
    TRY(const auto record, volume(name));
    ledger::rename_volume what;
    what.volume = record.id;
    what.name = to;
    CHECK_OK(submit(std::move(what)));
    return {};
}

result<void> runtime_implementation::resize_volume(const std::string& name, std::uint64_t size, bool shrink) {
    TRY(const auto record, volume(name));
    CHECK_OK(require_size(record.type, size));
    if (record.type == ledger::volume_type::block && size < record.size && !shrink)
        return error(errc::invalid, "volume " + name + " has " + format_size(record.size) + "; to shrink it and lose what lies past " + format_size(size) + " say --force");
    set_size command;
    command.size = size;
    TRY(const auto answered, through_owner(record, command));
    if (answered) return {};
    // A device's bytes past the end must be cut off, and only an owner can do that.
    if (record.type == ledger::volume_type::block)
        return with_head(record, [&](::cess::volume::volume& head) { return resize_head(head, size, nullptr); });
    ledger::resize_volume what;
    what.volume = record.id;
    what.size = size;
    CHECK_OK(submit(std::move(what)));
    return {};
}

result<void> runtime_implementation::with_head(const ledger::volume_record& record, const std::function<result<void>(::cess::volume::volume&)>& what) {
    TRY(auto attached, attach_head(record, {}));
    auto done = what(*attached->head());
    auto left = attached->detach();
    return done ? left : done;
}

// ---- limits ----------------------------------------------------------------------------------------------------

result<std::optional<io_limits>> runtime_implementation::limits_in_force(const ledger::volume_record& of) {
    TRY(const auto answered, through_owner(of, get_limits()));
    return answered ? answered->limits : std::nullopt;
}

result<io_limits> runtime_implementation::limits(const std::string& name) {
    TRY(const auto record, volume(name));
    TRY(const auto there, limits_in_force(record));
    if (there) return *there;
    io_limits out;
    CHECK_OK(with_head(record, [&](::cess::volume::volume& head) -> result<void> {
        TRY(out, read_limits(head));
        return {};
    }));
    return out;
}

result<void> runtime_implementation::set_limits(const std::string& name, const io_limits& to) {
    CHECK_OK(check_limits(to));
    TRY(const auto record, volume(name));
    if (record.type != ledger::volume_type::block) return error(errc::unsupported, "volume " + name + " is no block device: only those have limits");
    ::cess::client::set_limits command;
    command.to = to;
    TRY(const auto answered, through_owner(record, command));
    if (answered) return {};
    return with_head(record, [&](::cess::volume::volume& head) { return write_limits(head, to); });
}

// ---- snapshots and clones --------------------------------------------------------------------------------------

result<void> runtime_implementation::create_snapshot(const ::cess::volume::target& what) {
    CHECK_OK(require_snapshot(what));
    TRY(const auto record, volume(what.name));
    if (const auto existing = view(record, what.snapshot)) return error(errc::exists, "snapshot " + full_name(what));
    make_snapshot command;
    command.name = what.snapshot;
    TRY(const auto answered, through_owner(record, command));
    if (answered) return {};
    return with_head(record, [&](::cess::volume::volume& head) { return head.create_snapshot(what.snapshot); });
}

result<std::vector<::cess::volume::snapshot_info>> runtime_implementation::snapshots(const std::string& name) {
    TRY(const auto record, volume(name));
    std::vector<::cess::volume::snapshot_info> out;
    auto answered = through_owner(record, list_snapshots());
    if (answered && *answered) {
        for (const auto& s : (*answered)->snapshots) out.push_back({s.name, s.created_unix, s.at, s.pending, s.size});
        return out;
    }
    TRY(const auto views, net::wait(m_world, m_ledger->views(record.id, by(m_config.limits.ledger))));
    for (const auto& v : views)
        if (v.kind == ledger::view_kind::snapshot) out.push_back({v.name, v.created_unix, v.at.sequence, false, v.size});
    return out;
}

result<runtime::snapshot_details> runtime_implementation::snapshot(const ::cess::volume::target& what) {
    CHECK_OK(require_snapshot(what));
    TRY(const auto record, volume(what.name));
    TRY(const auto all, snapshots(what.name));
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& s) { return s.name == what.snapshot; });
    if (found == all.end()) return error(errc::not_found, "snapshot " + full_name(what));
    snapshot_details out{*found, {}};
    TRY(const auto ours, volumes());
    for (const auto& v : ours)
        if (v.base == ledger::view_ref{record.id, what.snapshot}) out.clones.push_back(v.name);
    return out;
}

result<void> runtime_implementation::rename_snapshot(const ::cess::volume::target& what, const std::string& to) {
    CHECK_OK(require_snapshot(what));
    CHECK_OK(ledger::check_name(to));
    TRY(auto record, volume(what.name));
    TRY(const auto there, anchored_view(record, what.snapshot));
    if (there.clones != 0)
        return error(errc::busy, "snapshot " + full_name(what) + " has clones, which know it by its name; see cess snapshot info " + full_name(what));
    if (what.snapshot == to) return {};
    const auto existing = view(record, to);
    if (existing) return error(errc::exists, "snapshot " + what.name + "@" + to);
    if (existing.error().code != errc::not_found) return existing.error();
    for (int attempts = 0;; ++attempts) {
        TRY(const auto answered, through_owner(record, ::cess::client::rename_snapshot{what.snapshot, to}));
        if (answered) return {};
        ledger::rename_view rename;
        rename.volume = record.id;
        rename.term = record.term;
        rename.name = what.snapshot;
        rename.to = to;
        const auto done = submit(std::move(rename));
        if (done) return {};
        // Somebody has attached it since: whoever owns it is to do this.
        if (done.error().code != errc::conflict || attempts == rename_attempts) return done.error();
        TRY(record, read<ledger::volume_record>(ledger::key::volume(record.id)));
    }
}

result<void> runtime_implementation::roll_back(const ::cess::volume::target& to, const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    CHECK_OK(require_snapshot(to));
    TRY(const auto record, volume(to.name));
    CHECK_OK(anchored_view(record, to.snapshot));
    TRY(const auto snapshot, attach_snapshot(record, to.snapshot));
    return with_nobody_else(record, [&](::cess::volume::volume& head) { return ::cess::volume::roll_back(head, snapshot->data(), to.snapshot, progress); });
}

result<void> runtime_implementation::abandon_rollback(const std::string& name) {
    TRY(const auto record, volume(name));
    return with_nobody_else(record, [&](::cess::volume::volume& head) { return ::cess::volume::abandon_rollback(head); });
}

result<void> runtime_implementation::with_nobody_else(const ledger::volume_record& record, const std::function<result<void>(::cess::volume::volume&)>& what) {
    CHECK_OK(refuse_if_attached(record));
    attach_options how;
    how.rolling_back = true;
    TRY(auto attached, attach_head(record, how));
    auto done = what(*attached->head());
    auto left = attached->detach();
    return done ? left : done;
}

result<void> runtime_implementation::delete_snapshot(const ::cess::volume::target& what) {
    CHECK_OK(require_snapshot(what));
    TRY(const auto record, volume(what.name));
    CHECK_OK(anchored_view(record, what.snapshot));
    ledger::delete_view erase;
    erase.volume = record.id;
    erase.name = what.snapshot;
    auto done = submit(std::move(erase));
    if (!done && done.error().code == errc::not_found) return error(errc::not_found, "snapshot " + full_name(what));
    if (!done) return std::move(done).error();
    return reap(record);
}

result<ledger::volume_record> runtime_implementation::clone(const ::cess::volume::target& from, const std::string& to) {
    CHECK_OK(require_snapshot(from));
    CHECK_OK(ledger::check_name(to));
    TRY(const auto parent, volume(from.name));
    TRY(const auto base, anchored_view(parent, from.snapshot));
    ledger::create_volume make;
    make.id = m_world.random().id<volume_id>();
    make.name = to;
    make.type = parent.type;
    make.size = parent.type == ledger::volume_type::block ? base.size : parent.size;
    make.block_size = parent.block_size;
    make.geometry = parent.geometry;
    make.created_unix = unix_now();
    make.base = ledger::view_ref{parent.id, from.snapshot};
    // What it inherits stays readable; what it writes gets a key of its own.
    make.keyring = base.keyring.empty() ? parent.keyring : base.keyring;
    const auto key = crypto::secret_key::generate(m_world.random());
    make.keyring.push_back(::cess::layer::keyring::wrap(m_account, make.id, 0, key, m_world.random()));
    CHECK_OK(submit(std::move(make)));
    return volume(to);
}

result<void> runtime_implementation::flatten(const std::string& name, const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    TRY(auto record, volume(name));
    if (!record.base) return error(errc::unsupported, "volume " + name + " shares nothing with a snapshot: it is no clone");
    for (;;) {
        TRY(const auto answered, through_owner(record, flatten_volume()));
        // Nobody has it attached, or not any more.
        if (!answered || !answered->flattening) return with_head(record, [&](::cess::volume::volume& head) {
            return head.flatten([&](std::uint64_t done, std::uint64_t total) {
                progress(done, total);
                return true;
            });
        });
        progress(answered->flattening->done, answered->flattening->total);
        if (!answered->flattening->running) return {};
        std::this_thread::sleep_for(flatten_poll);
        TRY(record, read<ledger::volume_record>(ledger::key::volume(record.id)));
        if (!record.base) return {};
    }
}

template result<ledger::volume_record> runtime_implementation::read(bytes key);
template result<ledger::segment_record> runtime_implementation::read(bytes key);
template result<ledger::view_record> runtime_implementation::read(bytes key);

}  // namespace cess::client
