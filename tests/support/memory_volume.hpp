// A volume in memory, for tests of the faces: the contract of volume::volume without network, journal or segments.
//
// Fault model: crash() forgets what was not synced, but for a prefix of it, as the engine's journal does. fail_at()
// refuses one change; break_down() makes the volume read-only for ever, with what was not durable lost.
#pragma once

#include <objectstore/volume/volume.hpp>

#include <atomic>
#include <map>
#include <mutex>

namespace cess::testing {

class memory_volume final : public volume::volume {
public:
    // `history`: keep what a crash needs.
    explicit memory_volume(bool history = true, std::uint64_t size = 0);

    void crash(random_source& random);  // durable() changes survive, and a random prefix of the others
    void crash_to(std::size_t surviving_changes);  // of those that were not durable
    [[nodiscard]] std::size_t volatile_changes() const;
    void set_network_free(std::uint64_t bytes) { m_network_free = bytes; }
    void fail_at(std::uint64_t nth_apply_from_now, errc code);  // 1: the next
    void break_down();
    // Once, when the next scan of keys that begin with the letter has its rows and before its caller sees them.
    void after_scan(char letter, std::function<void()> what);
    void set_confirmed(bool confirmed) { m_confirmed = confirmed; }  // by the members of its journal
    [[nodiscard]] std::size_t blob_count() const;
    [[nodiscard]] std::shared_ptr<memory_volume> frozen() const;  // a snapshot of it; its record().head says of which change

    [[nodiscard]] const ledger::volume_record& record() const noexcept override { return m_record; }
    [[nodiscard]] bool writable() const noexcept override { return true; }
    [[nodiscard]] result<std::optional<bytes>> get(byte_view key) override;
    [[nodiscard]] result<std::vector<cess::volume::key_value>> scan(byte_view prefix, byte_view from, std::size_t limit) override;
    [[nodiscard]] result<void> read(cess::volume::blob_id blob, std::uint64_t offset, byte_span out) override;
    [[nodiscard]] result<std::vector<cess::volume::range>> map(cess::volume::blob_id blob, std::uint64_t offset, std::uint64_t length) override;
    // Every byte is in this process' memory. The places are of this moment: the next change makes them others.
    [[nodiscard]] result<std::vector<cess::volume::located_range>> locate(cess::volume::blob_id blob, std::uint64_t offset, std::uint64_t end,
                                                                          std::size_t limit) override;
    [[nodiscard]] result<std::vector<cess::volume::placed_range>> places(cess::volume::blob_id blob, std::uint64_t offset, std::uint64_t end,
                                                                         std::size_t limit) override;
    [[nodiscard]] result<std::vector<cess::volume::blob_id>> blobs(cess::volume::blob_id from, std::size_t limit) override;
    [[nodiscard]] cess::volume::usage usage_now() override;

    [[nodiscard]] result<sequence_number> apply(const cess::volume::change& what) override;
    [[nodiscard]] result<void> sync(sequence_number upto) override;
    [[nodiscard]] result<void> sync() override;
    [[nodiscard]] sequence_number applied() const noexcept override;
    [[nodiscard]] sequence_number durable() const noexcept override;
    [[nodiscard]] bool confirmed() const noexcept override { return m_confirmed; }
    [[nodiscard]] result<void> create_snapshot(const std::string&) override { return error(errc::unsupported, "a volume in memory has no snapshots"); }
    [[nodiscard]] result<std::vector<cess::volume::snapshot_info>> snapshots() override { return std::vector<cess::volume::snapshot_info>(); }
    [[nodiscard]] result<void> rename_snapshot(const std::string&, const std::string&) override { return error(errc::unsupported, "a volume in memory has no snapshots"); }
    [[nodiscard]] result<void> hold_writes(std::uint64_t, net::duration) override { return error(errc::unsupported, "a volume in memory has no snapshots"); }
    [[nodiscard]] result<void> release_writes(std::uint64_t) override { return error(errc::unsupported, "a volume in memory has no snapshots"); }
    [[nodiscard]] result<void> flatten(const std::function<bool(std::uint64_t, std::uint64_t)>&) override { return error(errc::unsupported, "a volume in memory is no clone"); }
    [[nodiscard]] result<void> resize(std::uint64_t size) override;
    [[nodiscard]] result<void> checkpoint() override { return sync(); }
    [[nodiscard]] result<void> clean() override { return {}; }  // holds nothing but what is needed
    [[nodiscard]] result<void> close() override { return sync(); }
    void on_failure(std::function<void(const error&)> tell) override;

private:
    using blob = std::map<std::uint64_t, bytes>;  // runs of data by offset, never overlapping
    struct state {
        std::map<bytes, bytes> keys;
        std::map<std::uint64_t, blob> blobs;
    };
    struct owned_edit {
        cess::volume::change::edit edit;
        bytes data;
    };
    static void execute(state& on, const cess::volume::change::edit& edit, byte_view data);
    static void cut(blob& from, std::uint64_t offset, std::uint64_t length);

    mutable std::mutex m_mutex;
    const bool m_history;
    ledger::volume_record m_record;
    std::uint64_t m_network_free = 64 * GiB;
    state m_now, m_durable;
    std::vector<std::vector<owned_edit>> m_pending;
    std::uint64_t m_applied = 0, m_synced = 0;
    std::uint64_t m_fail_in = 0;
    errc m_fail_with = errc::io;
    bool m_broken = false;
    std::atomic<bool> m_confirmed{true};
    std::function<void(const error&)> m_tell;
    char m_scan_letter = 0;
    std::function<void()> m_after_scan;
};

}  // namespace cess::testing
