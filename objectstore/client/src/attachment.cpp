#include "runtime.hpp"

#include <objectstore/volume/rollback.hpp>

#include <core/os/file_system.hpp>

namespace cess::client {

namespace {

class snapshot_attachment final : public attachment {
public:
    snapshot_attachment(memory_budget::share memory, std::unique_ptr<working_directory> files, std::unique_ptr<volume::reader> data)
        : m_memory(std::move(memory)), m_files(std::move(files)), m_data(std::move(data)) {}
    volume::reader& data() noexcept override { return *m_data; }
    volume::volume* head() noexcept override { return nullptr; }
    void on_resize(std::function<void(std::uint64_t)>) override {}
    result<void> on_limits(std::function<void(const io_limits&)>) override { return {}; }
    result<void> detach() override { return {}; }

private:
    memory_budget::share m_memory;
    std::unique_ptr<working_directory> m_files;
    std::unique_ptr<volume::reader> m_data;
};

term_number term_of(const ledger::volume_record& r) { return r.leases.empty() ? r.term : r.leases.back().term; }

}  // namespace

class head_attachment final : public attachment {
public:
    head_attachment(owner_service& owner, memory_budget::share memory, std::unique_ptr<working_directory> files, std::unique_ptr<os::directory_lock> local,
                    std::unique_ptr<volume::volume> data, bool obeys)
        : m_owner(owner), m_id(data->record().id), m_memory(std::move(memory)), m_files(std::move(files)), m_local(std::move(local)), m_data(std::move(data)),
          m_owned(std::make_shared<owned_volume>(*m_data, term_of(m_data->record()), obeys)) {
        m_owner.opened(m_id, m_owned);
    }
    ~head_attachment() override { give_up(); }

    volume::reader& data() noexcept override { return *m_data; }
    volume::volume* head() noexcept override { return m_data.get(); }
    void on_resize(std::function<void(std::uint64_t)> tell) override { m_owned->on_resize(std::move(tell)); }

    result<void> on_limits(std::function<void(const io_limits&)> tell) override { return m_owned->on_limits(std::move(tell)); }

    // While the engine closes we still answer as the owner; afterwards, released or not, nobody writes here any more.
    result<void> detach() override {
        auto closed = m_data->close();
        give_up();
        return closed;
    }

private:
    void give_up() {
        if (std::exchange(m_gone, true)) return;
        m_owned->close();
        m_owner.gone(m_id);
    }

    owner_service& m_owner;
    const volume_id m_id;
    memory_budget::share m_memory;
    std::unique_ptr<working_directory> m_files;
    std::unique_ptr<os::directory_lock> m_local;  // of the local journal
    std::unique_ptr<volume::volume> m_data;
    std::shared_ptr<owned_volume> m_owned;
    bool m_gone = false;
};

result<volume::durability> parse_durability(std::string_view text) {
    if (text == "remote") return volume::durability::remote;
    if (text == "local") return volume::durability::local;
    return error(errc::invalid, "durability is remote or local, not \"" + std::string(text) + "\"");
}

namespace {

// A process that hangs may still acknowledge into its local journal: it must be gone before that is read.
result<std::unique_ptr<os::directory_lock>> lock_local_journal(const std::string& directory, const std::string& volume, volume::durability how) {
    auto& disk = os::posix_file_system();
    if (how == volume::durability::remote && !disk.exists(directory)) return std::unique_ptr<os::directory_lock>();
    CHECK_OK(disk.make_directories(directory));
    auto lock = os::directory_lock::take(directory);
    if (!lock && lock.error().code == errc::busy) return error(errc::busy, "local journal of volume " + volume + ": " + lock.error().what + "; end that first");
    return lock;
}

result<void> refuse_half_rolled_back(volume::volume& opened) {
    const auto to = volume::unfinished_rollback(opened);
    if (to && !*to) return {};
    const auto name = opened.record().name;
    (void)opened.close();
    if (!to) return to.error();
    const auto snapshot = name + "@" + **to;
    return error(errc::busy, "volume " + name + " is half rolled back to " + snapshot + ", which was interrupted; finish it: cess snapshot rollback " + snapshot +
                                 " (if that is gone: to another one, or --abandon)");
}

}  // namespace

result<std::unique_ptr<attachment>> runtime_implementation::attach(const volume::target& what, attach_options how) {
    m_disk_tier.open_behind(m_cache, m_world.random(), m_count);
    TRY(const auto record, volume::look_up(*m_layer, m_account, what.name, how.expected));
    if (!what.snapshot.empty()) return attach_snapshot(record, what.snapshot, how.little_memory);
    if (how.read_only)
        return error(errc::unsupported, "volume " + what.name + " can be attached read-only only as a snapshot; take one with `cess snapshot create " +
                                            what.name + "@NAME`");
    return attach_head(record, how);
}

result<std::unique_ptr<attachment>> runtime_implementation::attach_snapshot(const ledger::volume_record& record, const std::string& snapshot, bool little_memory) {
    CHECK_OK(anchored_view(record, snapshot));
    TRY(auto memory, m_budget.take(little_memory ? memory_budget::use::reading_little : memory_budget::use::reading));
    TRY(auto files, working_directory::make(volumes_directory(), record.id, m_world.random()));
    volume::settings how;
    memory.apply(how);
    how.directory = files->state();
    TRY(auto data, volume::open_snapshot(*m_layer, m_account, record, snapshot, how, m_count));
    return std::unique_ptr<attachment>(std::make_unique<snapshot_attachment>(std::move(memory), std::move(files), std::move(data)));
}

result<std::unique_ptr<attachment>> runtime_implementation::attach_head(const ledger::volume_record& record, attach_options options) {
    TRY(auto memory, m_budget.take(memory_budget::use::writing));
    TRY(const auto endpoint, owner_endpoint());
    if (auto claimed = m_owner.claim(record.id); !claimed) return error(errc::busy, "volume " + record.name + ": " + claimed.error().what);
    struct claim {  // given up unless the volume opens
        owner_service* of;
        volume_id which;
        ~claim() {
            if (of) of->gone(which);
        }
    } held{&m_owner, record.id};
    TRY(auto files, working_directory::make(volumes_directory(), record.id, m_world.random()));
    volume::settings how;
    how.acknowledge = options.durability;
    how.local_directory = m_config.directory + "/local/" + record.id.hex();
    TRY(auto local, lock_local_journal(how.local_directory, record.name, how.acknowledge));
    memory.apply(how);
    how.directory = files->state();
    how.force = options.force;
    how.endpoint = endpoint;
    TRY(auto data, volume::open(*m_layer, m_account, record, m_identity, how, m_count));
    if (!options.rolling_back) CHECK_OK(refuse_half_rolled_back(*data));
    held.of = nullptr;
    return std::unique_ptr<attachment>(
        std::make_unique<head_attachment>(m_owner, std::move(memory), std::move(files), std::move(local), std::move(data), !options.rolling_back));
}

}  // namespace cess::client
