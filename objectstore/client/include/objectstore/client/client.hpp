// A process that uses the network: configuration, keys, connections, one memory budget, and the volumes it has
// attached. The faces and the `cess` program all start here.
#pragma once

#include <objectstore/client/limits.hpp>
#include <objectstore/volume/volume.hpp>

namespace cess::client {

inline constexpr std::uint64_t cache_disk_min = 64 * MiB;

struct config {
    std::string path;                      // the file it came from
    std::string directory;                 // working state of open volumes, below it one directory a volume
    chain::network_config network;
    std::string account_file;              // the account's key, mode 0600
    std::string owner_listen = "127.0.0.1:0";  // control endpoint of attached volumes
    std::uint64_t memory = 512 * MiB;      // budget of the whole process: caches, buffers, readahead
    std::string cache_directory;           // of the disk tier of the block cache; default: directory/cache
    std::uint64_t cache_disk_size = 4 * GiB;  // of each process that has one, and never more than half of what is free; 0: none
    layer::deadlines limits;
};

// $1 if not empty, else $CESS_CONF, ~/.config/cess/client.toml, /etc/cess/client.toml; errc::not_found says which were tried.
[[nodiscard]] result<std::string> find_config(const std::string& given);
[[nodiscard]] result<config> load_config(const std::string& path);

inline constexpr volume::blob_id block_device_blob = 1;  // of a block volume: the device's bytes

struct attach_options {
    std::optional<ledger::volume_type> expected;
    bool read_only = false;  // of a head: refused until sharing is built; of a snapshot: always so
    bool force = false;      // take over without waiting for a silent owner
    bool little_memory = false;  // of a snapshot that is one of several in this process
    bool rolling_back = false;  // no command is obeyed meanwhile, and a rollback that was interrupted is no hindrance
    volume::durability durability = volume::durability::remote;
};
// "remote" or "local", the value of every face's option. errc::invalid says so.
[[nodiscard]] result<volume::durability> parse_durability(std::string_view text);

// One attached volume or snapshot. While it is attached for writing, this process answers for it at the lease's
// endpoint: alive, snapshot, resize, release (so that `cess snapshot create` works on a mounted volume).
class attachment {
public:
    virtual ~attachment() = default;  // without detach(): as if the process had died
    [[nodiscard]] virtual volume::reader& data() noexcept = 0;
    [[nodiscard]] virtual volume::volume* head() noexcept = 0;  // null for a snapshot
    // Called (from a control thread) when somebody asks for the volume to be released or resized.
    virtual void on_resize(std::function<void(std::uint64_t)> tell) = 0;
    // Called at once, and (from a control thread) whenever the volume's limits change. A snapshot has none.
    [[nodiscard]] virtual result<void> on_limits(std::function<void(const io_limits&)> tell) = 0;
    [[nodiscard]] virtual result<void> detach() = 0;
};

struct volume_spec {
    std::string name;
    ledger::volume_type type = ledger::volume_type::filesystem;
    std::uint64_t size = 0;                    // required for block
    std::optional<ledger::shape> geometry;     // default: the network's
};

class runtime {
public:
    // Starts threads: call after any fork. `memory` overrides the configured budget when not 0.
    static result<std::unique_ptr<runtime>> start(config with, std::uint64_t memory = 0);
    virtual ~runtime() = default;

    [[nodiscard]] virtual const config& configuration() const noexcept = 0;
    [[nodiscard]] virtual const chain::account& account() const noexcept = 0;
    [[nodiscard]] virtual layer::layer& layer() noexcept = 0;
    [[nodiscard]] virtual metrics& count() noexcept = 0;
    [[nodiscard]] virtual net::env& world() noexcept = 0;
    [[nodiscard]] virtual net::caller& network() noexcept = 0;

    [[nodiscard]] virtual result<std::unique_ptr<attachment>> attach(const volume::target& what, attach_options how) = 0;

    // Administration. Names are checked first; refusals say what to do. Commands for an attached volume go to its owner.
    [[nodiscard]] virtual result<ledger::volume_record> create_volume(const volume_spec& what) = 0;
    [[nodiscard]] virtual result<std::vector<ledger::volume_record>> volumes() = 0;
    [[nodiscard]] virtual result<ledger::volume_record> volume(const std::string& name) = 0;
    // As its owner counts it; none while nobody has it attached.
    [[nodiscard]] virtual result<std::optional<volume::usage>> usage_of(const std::string& volume) = 0;
    [[nodiscard]] virtual result<void> delete_volume(const std::string& name) = 0;
    [[nodiscard]] virtual result<void> rename_volume(const std::string& name, const std::string& to) = 0;
    [[nodiscard]] virtual result<void> resize_volume(const std::string& name, std::uint64_t size, bool shrink) = 0;
    // Of a block volume. One that nobody has attached is opened for it.
    [[nodiscard]] virtual result<io_limits> limits(const std::string& name) = 0;
    [[nodiscard]] virtual result<void> set_limits(const std::string& name, const io_limits& to) = 0;
    // None if nobody has it attached.
    [[nodiscard]] virtual result<std::optional<io_limits>> limits_in_force(const ledger::volume_record& of) = 0;
    [[nodiscard]] virtual result<void> create_snapshot(const volume::target& what) = 0;
    // Of several volumes at one instant: no snapshot holds what was written after something that another one misses. All
    // or none.
    [[nodiscard]] virtual result<void> create_snapshots(const std::vector<volume::target>& what) = 0;
    [[nodiscard]] virtual result<std::vector<volume::snapshot_info>> snapshots(const std::string& volume) = 0;
    struct snapshot_details {
        volume::snapshot_info info;
        std::vector<std::string> clones;  // volumes that stand on it
    };
    [[nodiscard]] virtual result<snapshot_details> snapshot(const volume::target& what) = 0;
    // A pending one is waited for. Refused while clones stand on it.
    [[nodiscard]] virtual result<void> rename_snapshot(const volume::target& what, const std::string& to) = 0;
    // The volume becomes what the snapshot is. Refused while it is attached; nobody attaches it until this has ended. Interrupted,
    // it must be called again, for this snapshot or another. `progress(bytes written, of how many)`.
    [[nodiscard]] virtual result<void> roll_back(const volume::target& to, const std::function<void(std::uint64_t, std::uint64_t)>& progress) = 0;
    // One that was interrupted leaves the volume as it is then, a mixture: for when the snapshot is gone.
    [[nodiscard]] virtual result<void> abandon_rollback(const std::string& volume) = 0;
    [[nodiscard]] virtual result<void> delete_snapshot(const volume::target& what) = 0;
    [[nodiscard]] virtual result<ledger::volume_record> clone(const volume::target& from, const std::string& to) = 0;
    // Until the clone stands alone. Its owner goes on if the caller dies. `progress(bytes copied, of how many)`.
    [[nodiscard]] virtual result<void> flatten(const std::string& clone, const std::function<void(std::uint64_t, std::uint64_t)>& progress) = 0;

    struct check_report {
        std::uint64_t segments = 0, fragments = 0, stored_bytes = 0;
        std::vector<layer::fragment_fault> faults;
    };
    // Reads every fragment of the volume's live segments, its snapshots' included. `progress(done, total)`.
    [[nodiscard]] virtual result<check_report> check(const std::string& volume, std::function<void(std::uint64_t, std::uint64_t)> progress) = 0;
};

}  // namespace cess::client
