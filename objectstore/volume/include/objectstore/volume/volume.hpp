// The volume engine: blobs of bytes and a key-value space that change together, journaled, checkpointed, and
// recovered to a prefix of their history. The three faces stand on this and nothing below it.
//
// Thread-safe unless said otherwise; calls block. The engine gives every change its place in one order; a face that
// needs read-decide-write to be atomic holds its own lock around it. docs/ARCHITECTURE.md tells the life of a write.
#pragma once

#include <objectstore/layer/layer.hpp>

#include <core/os/file_system.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cess::volume {

using blob_id = std::uint64_t;  // chosen by the face, never reused for other content while readers may remain

// A set of edits that becomes visible and, later, durable as one. Views given to write() must live until apply() returns.
class change {
public:
    void put(bytes key, bytes value);
    void erase(bytes key);
    void write(blob_id blob, std::uint64_t offset, byte_view data);
    void zero(blob_id blob, std::uint64_t offset, std::uint64_t length);  // becomes a hole
    void share(blob_id from, std::uint64_t from_offset, blob_id to, std::uint64_t to_offset, std::uint64_t length);  // reflink
    void drop(blob_id blob);  // all of it
    [[nodiscard]] bool empty() const noexcept;

    // What apply() executes and the journal records, in order.
    struct edit;
    [[nodiscard]] const std::vector<edit>& edits() const noexcept { return m_edits; }

private:
    std::vector<edit> m_edits;
};

enum class edit_kind : std::uint8_t { put, erase, write, zero, share, drop };
struct change::edit {
    edit_kind kind;
    bytes key, value;                      // put, erase
    blob_id blob = 0, from = 0;            // write, zero, share (to = blob), drop
    std::uint64_t offset = 0, from_offset = 0, length = 0;
    byte_view data;                        // write
};

struct range {  // of a blob
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    bool data = false;  // false: a hole
};

// Bytes of a blob, and the immutable place that holds them. A place never names other bytes, so equal places hold equal
// bytes, in whatever volume or view they are met and wherever cleaning has moved them since.
struct placed_range {
    std::uint64_t offset = 0;  // in the blob
    std::uint64_t length = 0;
    volume_id lineage;
    segment_number segment;
    std::uint64_t at = 0;      // of `offset` in the segment
    [[nodiscard]] std::uint64_t end() const noexcept { return offset + length; }
    friend bool operator==(const placed_range&, const placed_range&) = default;
};

// And the segment whose fragments hold it now: the one it was written to, or the container it was packed into. Null while it is
// in this process's memory only, and in the journal if it is durable.
struct located_range {
    placed_range place;
    std::shared_ptr<const ledger::segment_record> in;
};

struct usage {
    std::uint64_t logical = 0;   // bytes mapped by the head
    std::uint64_t stored = 0;    // plain bytes of the segments the head's lineage holds, dead ranges included
    std::uint64_t needed = 0;    // of those, what the head or a snapshot needs, as far as known; the rest is reclaimable
    std::uint64_t size = 0;      // the volume's limit or device size
    std::uint64_t network_free = 0;
};

struct key_value {
    bytes key;
    bytes value;
};

// What reading needs; snapshots are opened as one of these alone.
class reader {
public:
    virtual ~reader() = default;
    [[nodiscard]] virtual const ledger::volume_record& record() const noexcept = 0;
    [[nodiscard]] virtual bool writable() const noexcept = 0;
    [[nodiscard]] virtual result<std::optional<bytes>> get(byte_view key) = 0;
    // Keys with `prefix`, from `from` on (inclusive; empty: from the first), at most `limit`, in order. A consistent cut.
    [[nodiscard]] virtual result<std::vector<key_value>> scan(byte_view prefix, byte_view from, std::size_t limit) = 0;
    // Fills out; holes and what lies past the last byte are zeros.
    [[nodiscard]] virtual result<void> read(blob_id blob, std::uint64_t offset, byte_span out) = 0;
    // Data and holes of [offset, offset+length), merged, covering it exactly.
    [[nodiscard]] virtual result<std::vector<range>> map(blob_id blob, std::uint64_t offset, std::uint64_t length) = 0;
    // Where the data of [offset, end) is, in order and clipped to it, holes left out; the first `limit` at most.
    // errc::unsupported where bytes have no places.
    [[nodiscard]] virtual result<std::vector<placed_range>> places(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit);
    // The same, with who holds it.
    [[nodiscard]] virtual result<std::vector<located_range>> locate(blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit);
    // Those that have data, from `from` on, in order; the first `limit` at most. errc::unsupported as for places().
    [[nodiscard]] virtual result<std::vector<blob_id>> blobs(blob_id from, std::size_t limit);
    [[nodiscard]] virtual usage usage_now() = 0;
};

struct snapshot_info {
    std::string name;
    std::uint64_t created_unix = 0;
    sequence_number at;
    bool pending = false;  // durable, not yet anchored in the ledger
    std::uint64_t size = 0;  // of the volume when it was taken
};

class volume : public reader {
public:
    // Visible to every later read when it returns; durable only after sync. errc::no_space before anything is taken;
    // errc::read_only (with the reason) after a failure that cannot be repaired. Blocks while buffers are full.
    [[nodiscard]] virtual result<sequence_number> apply(const change& what) = 0;
    // Everything applied up to `upto` is durable when it returns, in the way of settings::acknowledge; sync() = everything
    // applied before the call.
    [[nodiscard]] virtual result<void> sync(sequence_number upto) = 0;
    [[nodiscard]] virtual result<void> sync() = 0;
    [[nodiscard]] virtual sequence_number applied() const noexcept = 0;
    [[nodiscard]] virtual sequence_number durable() const noexcept = 0;
    // What survives the loss of this machine: the same, but with durability::local what the miners have.
    [[nodiscard]] virtual sequence_number durable_remotely() const noexcept { return durable(); }
    // Whether the journal's members have confirmed lately that nobody newer owns the volume. What is read while they have
    // not may be older than what a newer owner acknowledged: it is not for third parties.
    [[nodiscard]] virtual bool confirmed() const noexcept { return true; }

    [[nodiscard]] virtual result<void> create_snapshot(const std::string& name) = 0;  // durable remotely when it returns
    [[nodiscard]] virtual result<std::vector<snapshot_info>> snapshots() = 0;
    // errc::busy while it is pending, or a clone stands on it.
    [[nodiscard]] virtual result<void> rename_snapshot(const std::string& name, const std::string& to) = 0;
    // So that several volumes are cut at one instant: changes wait in apply() from now on until the hold is released, or
    // has lasted for `at_most`. errc::conflict while another hold lasts.
    [[nodiscard]] virtual result<void> hold_writes(std::uint64_t id, net::duration at_most) = 0;
    // errc::timeout: it did not last until now.
    [[nodiscard]] virtual result<void> release_writes(std::uint64_t id) = 0;
    // Of a clone: copies what it and its snapshots still share with its base, behind users' I/O, until it stands alone and the base
    // may be deleted. Tells bytes copied, and of how many as far as known; false stops it. errc::busy while a snapshot of it that shares them
    // has clones. What is copied stays so: after an error, or a crash, another call goes on.
    [[nodiscard]] virtual result<void> flatten(const std::function<bool(std::uint64_t done, std::uint64_t total)>& progress) = 0;
    [[nodiscard]] virtual result<void> resize(std::uint64_t size) = 0;
    [[nodiscard]] virtual result<void> checkpoint() = 0;  // and wait until its root is final
    // Copies and frees until no more than 1.5 × what is needed, and clean_slack, is stored. It goes on by itself anyway.
    [[nodiscard]] virtual result<void> clean() = 0;
    // Sync, checkpoint, release of the lease. After it every call but the destructor fails with errc::canceled.
    [[nodiscard]] virtual result<void> close() = 0;
    // Called once, from any thread, when the volume can no longer be written (fenced, or a failed append).
    virtual void on_failure(std::function<void(const error&)> tell) = 0;
};

// What tests weaken to see that the simulation notices. All false in the product.
struct mutations {
    bool lose_locations = false;          // a stored segment's place is not journaled
    bool sync_early = false;              // durable when appended, acknowledged or not
    bool trim_early = false;              // a root lets go of entries past its cut
    bool undivided_cuts = false;          // an entry may hold changes on both sides of a cut
    bool first_payload_only = false;      // of a change that spans segments
    bool snapshot_misses_buffers = false; // what was not stored at the cut is left out of its root
    bool forget_snapshots = false;        // a dead segment is said never to have lived
    bool squeeze_early = false;           // a segment is stored, and told of, without what a lost change overwrote
};

// What an acknowledgement promises. remote: any m miners and this machine may be lost. local: it is in a journal on this
// machine's disk and on its way to the miners; if the machine's disk is lost, a prefix of what was acknowledged is there,
// at most settings::local_bytes and local_age behind.
enum class durability { remote, local };

struct settings {
    std::uint64_t segment_size = 32 * MiB;
    std::uint64_t buffers_max = 96 * MiB;             // of unfinished segments, in all; writers wait beyond
    std::uint64_t metadata_cache = 48 * MiB;          // RocksDB block cache
    std::uint64_t memtable = 8 * MiB;
    std::uint64_t metadata_table = 4 * MiB;           // of the store's immutable files, which come when they are asked for
    std::uint64_t readahead = 8 * MiB;                // of one sequential stream, at most; 0: none
    std::uint64_t journal_checkpoint = 64 * MiB;      // journal bytes after which a checkpoint starts
    std::uint64_t journal_max = 1 * GiB;              // while consensus is down; then writers wait
    net::duration append_idle = std::chrono::seconds(1);        // a change that nobody syncs is appended within it
    net::duration checkpoint_idle = std::chrono::seconds(30);   // a dirty volume is checkpointed within it
    net::duration writer_patience = std::chrono::seconds(60);   // of a writer that waits for buffers or journal space
    std::uint64_t clean_slack = 64 * MiB;             // stored above 1.5 × needed before cleaning starts
    net::duration clean_look = std::chrono::seconds(1);  // how often that is looked at
    std::uint64_t clean_bandwidth = 64 * MiB;         // bytes a second it reads and stores; a fifth of it while users' I/O is under way
    std::string directory;                            // local working state; emptied by every open
    durability acknowledge = durability::remote;
    // Of this volume's local journal, and what an earlier process left there; nobody else uses it meanwhile. It need not
    // exist. Empty: none, which durability::local does not allow.
    std::string local_directory;
    std::uint64_t local_bytes = 20 * MiB;             // acknowledged locally and not at the miners yet: beyond, flushes wait
    net::duration local_age = std::chrono::seconds(30);  // of the oldest of it
    os::file_system* local_disk = nullptr;            // of tests; null: the operating system's
    bool force = false;                               // take over without waiting for a silent owner
    std::string endpoint;                             // of the owner's control service
    crash_points* crashes = nullptr;                  // of tests
    mutations broken;                                 // by tests
};

// "name" or "name@snapshot", looked up in the account's namespace. errc::invalid for a malformed name,
// errc::not_found, errc::unsupported if `expected` is another type ("volume x is a bucket, not a filesystem").
struct target {
    std::string name;
    std::string snapshot;  // empty: the head
};
[[nodiscard]] result<target> parse_target(std::string_view text);
[[nodiscard]] result<ledger::volume_record> look_up(layer::layer& on, const chain::account& who, const std::string& name, std::optional<ledger::volume_type> expected);

[[nodiscard]] result<std::unique_ptr<volume>> open(layer::layer& on, const chain::account& who, const ledger::volume_record& which,
                                                   const crypto::signing_key& session_key, settings how, metrics& count);
[[nodiscard]] result<std::unique_ptr<reader>> open_snapshot(layer::layer& on, const chain::account& who, const ledger::volume_record& which,
                                                            const std::string& snapshot, settings how, metrics& count);

}  // namespace cess::volume
