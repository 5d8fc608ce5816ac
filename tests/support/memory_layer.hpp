// An object layer in memory: segments, fenced journals with what is durable and what is not, leases by the real ledger.
// What the engine and the faces are tested on without a network. It enforces what miners and ledger would: a freed or
// unlisted segment is gone, a deposed owner is refused, a trimmed entry cannot be read.
//
// memory_network owns everything and outlives the volumes opened on it. Thread-safe.
#pragma once

#include <objectstore/volume/volume.hpp>

#include <chain/ledger/ledger.hpp>
#include <core/net/real_env.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>

namespace cess::support {

struct memory_options {
    std::uint64_t offer = 64 * GiB;                   // of each of four miners
    ledger::shape geometry{2, 1};
    std::chrono::microseconds append_time{0};         // until an entry is durable
    std::chrono::microseconds put_time{0};
    net::duration append_deadline = std::chrono::seconds(30);
};

class memory_network {
public:
    explicit memory_network(memory_options how = {});
    ~memory_network();
    memory_network(const memory_network&) = delete;
    memory_network& operator=(const memory_network&) = delete;

    [[nodiscard]] layer::layer& layer() noexcept;
    [[nodiscard]] const chain::account& account() const noexcept { return m_account; }
    [[nodiscard]] metrics& count() noexcept { return m_count; }
    [[nodiscard]] net::env& world() noexcept { return m_world; }

    // ---- volumes; these abort the test's program on a refusal that a test does not expect
    ledger::volume_record create_volume(const std::string& name, ledger::volume_type type, std::uint64_t size = 0);
    [[nodiscard]] result<ledger::volume_record> clone(const std::string& volume, const std::string& snapshot, const std::string& name);
    [[nodiscard]] ledger::volume_record record(const std::string& name);
    [[nodiscard]] result<void> delete_snapshot(const std::string& volume, const std::string& snapshot);
    [[nodiscard]] result<void> delete_volume(const std::string& volume);
    [[nodiscard]] result<void> reap(const std::string& volume);  // what waits to be freed
    [[nodiscard]] result<void> rename_snapshot(const std::string& volume, const std::string& snapshot, const std::string& to);
    [[nodiscard]] result<void> anchor_head(const std::string& volume, const std::string& snapshot);  // a view of it, made by no engine
    [[nodiscard]] result<void> resize(const std::string& volume, std::uint64_t size);
    // In a fresh directory each; `how.directory` is chosen here.
    [[nodiscard]] result<std::unique_ptr<volume::volume>> open(const std::string& name, volume::settings how = {});
    [[nodiscard]] result<std::unique_ptr<volume::reader>> open_snapshot(const std::string& name, const std::string& snapshot);

    // ---- what goes wrong
    // Asked at the begin of "put", "append", "read", "take", and of ledger transactions and reads ("ledger"); an error
    // is the answer. It may sleep. "answer": a view was made, and whoever made it is about to hear so.
    using fault = std::function<result<void>(std::string_view what)>;
    void set_fault(fault f);
    void hold_appends(bool hold);  // entries stay undurable
    // All owners die. Of the entries that were not acknowledged a prefix survives, `survivors` of them at most.
    void crash(std::uint64_t survivors);
    void depose(const std::string& volume);  // somebody else takes the lease
    void tell_deposed(const std::string& volume);  // as a session tells that watches its lease

    // ---- what is there
    [[nodiscard]] std::size_t segments() const;
    [[nodiscard]] bool has_segment(const volume_id& lineage, segment_number number) const;  // in the ledger, or led on by it
    [[nodiscard]] std::uint64_t segment_bytes() const;
    [[nodiscard]] std::uint64_t data_bytes(const std::string& volume) const;  // of committed segments, without metadata
    [[nodiscard]] std::uint64_t ahead_bytes() const;  // that were asked for before they were read
    [[nodiscard]] std::size_t journal_entries(const std::string& volume) const;
    [[nodiscard]] std::uint64_t journal_bytes(const std::string& volume) const;

    struct state;

private:
    system_random m_random;
    metrics m_count;
    net::real_env m_world{1};
    chain::account m_account;
    std::unique_ptr<state> m_state;
    std::string m_directory;
    std::uint64_t m_opened = 0;
};

}  // namespace cess::support
