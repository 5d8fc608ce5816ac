// The object layer as the volume engine sees it: immutable segments, and one journal a term.
//
// `layer` reads; a `session` is one process's ownership of one volume in one term, and alone may write. All calls
// block the calling thread (never call them on the layer's own executor) and are thread-safe. Every call has a
// deadline from `deadlines` and ends with errc::timeout or errc::unavailable at the latest then.
#pragma once

#include <cache/tiered_cache.hpp>
#include <chain/client/client.hpp>
#include <core/base/crash_points.hpp>
#include <core/base/metrics.hpp>
#include <core/net/rpc.hpp>
#include <objectstore/layer/deadlines.hpp>
#include <objectstore/layer/keyring.hpp>
#include <objectstore/layer/mutations.hpp>

#include <functional>
#include <map>
#include <memory>

namespace cess::layer {

struct segment_spec {
    segment_number number;
    ledger::shape geometry;       // segments whose sealed form is below 64 KiB are stored as 1+m copies whatever it says
    std::uint32_t block_size = 4096;
    volume_id lineage;            // names the key, with the generation
    std::uint32_t key_generation = 0;
};

// One member of the read batch: [offset, offset+out.size()) of a segment's plain bytes.
struct piece {
    const ledger::segment_record* from;
    std::uint64_t offset;
    byte_span out;
};

// Bytes of a segment that will be wanted soon.
struct coming {
    const ledger::segment_record* from;
    std::uint64_t offset;
    std::uint64_t length;
};
enum class stream_id : std::uint64_t {};  // one reader that goes through bytes in order; unique in the process

struct fragment_fault {
    node_id miner;
    segment_id segment;
    std::uint8_t index = 0;
    error what;
};

class session;

class layer {
public:
    virtual ~layer() = default;

    // All pieces or an error: never wrong bytes. Pieces of one batch are fetched in parallel.
    [[nodiscard]] virtual result<void> read(const keyring& keys, const std::vector<piece>& pieces) = 0;

    // The same for bytes that nobody will ask for soon again: what the cache has is used, nothing is put there.
    [[nodiscard]] virtual result<void> read_once(const keyring& keys, const std::vector<piece>& pieces) = 0;

    // Brings bytes nearer without waiting for them: a read meanwhile waits for the same fetch. What nobody has read yet
    // is bounded (dependencies::ahead_max), the oldest gives way; a failure is left to the read that comes.
    virtual void read_ahead(const keyring& keys, const std::vector<coming>& what, stream_id of) = 0;
    virtual void give_up(stream_id of) = 0;  // what was read ahead for it and has not been read

    // Reads every fragment of a segment at its miner and checks it whole; the faults found, empty if sound.
    [[nodiscard]] virtual std::vector<fragment_fault> verify(const ledger::segment_record& segment) = 0;

    // Takes ownership of a volume in its next term and recovers its history (DESIGN §4 Recovery): fences every
    // journal that may hold changes past the head, reads the longest valid chain, copies its tail into the new
    // journal behind a seal. errc::busy (naming the owner) while another owner answers its endpoint and !force;
    // errc::unavailable if too few members answer; errc::conflict if somebody else took it meanwhile.
    struct ownership {
        std::unique_ptr<session> holder;
        ledger::volume_record record;     // as certified, with our lease last
        std::vector<bytes> history;       // payloads of all entries past record.head, in order
    };
    struct open_options {
        std::string endpoint;             // ours, for others to ask
        std::uint64_t reservation = 4 * GiB;
        bool force = false;
    };
    [[nodiscard]] virtual result<ownership> take(const chain::account& who, volume_id volume, const crypto::signing_key& session_key, open_options how) = 0;

    [[nodiscard]] virtual chain::client& ledger() noexcept = 0;
    [[nodiscard]] virtual net::env& world() noexcept = 0;
    [[nodiscard]] virtual const deadlines& limits() const noexcept = 0;
};

class session {
public:
    virtual ~session() = default;  // releases nothing: an owner that dies is taken over. REQUIRES: the layer lives
    [[nodiscard]] virtual term_number term() const noexcept = 0;
    [[nodiscard]] virtual volume_id volume() const noexcept = 0;

    // Seals, encodes and stores a segment at k+m distinct miners; durable and provisional when it returns. `birth`
    // and `death` of the record are left 0 for the engine. errc::no_space when the network or the reservation is full.
    [[nodiscard]] virtual result<ledger::segment_record> put_segment(const keyring& keys, const segment_spec& spec, byte_view content) = 0;

    // Appends one entry; `done` is called once, in order of appending, when A members have it on stable storage, or
    // with the failure, after which every later append fails too (errc::fenced if deposed). Members that are silent are
    // no failure: the entry goes on being sent, for as long as the term lasts. Returns the entry's index at once. Bounded: blocks while more than 64 MiB or 256 entries are under way.
    // `done` runs on a network thread and must not block.
    virtual entry_index append(bytes payload, std::function<void(result<void>)> done) = 0;
    // What the next append will get: a root with it as journal_base contains everything appended so far.
    [[nodiscard]] virtual entry_index next_entry() const noexcept = 0;
    [[nodiscard]] virtual std::uint64_t journal_bytes() const noexcept = 0;  // since the last trim

    // Ledger transactions under this term; each waits until it is final. commit_root also settles the added segments
    // and trims the journal at its members, in the background.
    [[nodiscard]] virtual result<void> commit_root(ledger::commit_root what) = 0;
    [[nodiscard]] virtual result<void> create_view(ledger::create_view what) = 0;
    [[nodiscard]] virtual result<void> add_segments(std::vector<ledger::segment_record> segments) = 0;
    [[nodiscard]] virtual result<void> extend_reservation(std::uint64_t more) = 0;  // by so many bytes of fragments
    // Bytes of fragments, copies and parity included, that may still be put in this term.
    [[nodiscard]] virtual std::uint64_t reservation_left() const noexcept = 0;
    // Called once, on a network thread, when it is known that somebody else owns the volume, within owner_silence also if
    // nothing is written. None: not any more; waits for a call under way.
    virtual void on_deposed(std::function<void(const error&)> tell) = 0;
    // Whether enough members said within owner_silence that this term is the newest they know. Else somebody else may own
    // the volume already, and third parties must not be answered.
    [[nodiscard]] virtual bool confirmed() const noexcept = 0;
    // Clean end: the endpoint is withdrawn, so that the next owner need not wait.
    [[nodiscard]] virtual result<void> release() = 0;
};

struct dependencies {
    net::env& world;
    net::caller& network;
    chain::client& ledger;
    cache::tiered_cache& blocks;
    metrics& count;
    deadlines limits;
    unsigned worker_threads = 2;  // sealing, hashing, coding
    crash_points* crashes = nullptr;  // of tests
    recovery_mutations broken;        // by tests
    std::uint64_t ahead_max = 16 * MiB;  // read ahead and not read yet, on its way or here, of all streams
};
[[nodiscard]] std::unique_ptr<layer> make_layer(dependencies on);

}  // namespace cess::layer
