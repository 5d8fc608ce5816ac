// The runtime behind client.hpp. Members are destroyed from the last to the first: what uses the network goes before
// the network does.
#pragma once

#include "disk_tier.hpp"
#include "memory_budget.hpp"
#include "owner_client.hpp"
#include "owner_service.hpp"
#include "working_directory.hpp"

#include <core/net/real_env.hpp>
#include <core/net/tls_transport.hpp>
#include <objectstore/client/account_file.hpp>
#include <objectstore/client/client.hpp>

namespace cess::client {

class runtime_implementation final : public runtime {
public:
    runtime_implementation(config with, chain::account who);
    ~runtime_implementation() override;

    const config& configuration() const noexcept override { return m_config; }
    const chain::account& account() const noexcept override { return m_account; }
    ::cess::layer::layer& layer() noexcept override { return *m_layer; }
    metrics& count() noexcept override { return m_count; }
    net::env& world() noexcept override { return m_world; }
    net::caller& network() noexcept override { return *m_network; }

    result<std::unique_ptr<attachment>> attach(const volume::target& what, attach_options how) override;

    result<ledger::volume_record> create_volume(const volume_spec& what) override;
    result<std::vector<ledger::volume_record>> volumes() override;
    result<ledger::volume_record> volume(const std::string& name) override;
    result<std::optional<::cess::volume::usage>> usage_of(const std::string& name) override;
    result<void> delete_volume(const std::string& name) override;
    result<void> rename_volume(const std::string& name, const std::string& to) override;
    result<void> resize_volume(const std::string& name, std::uint64_t size, bool shrink) override;
    result<io_limits> limits(const std::string& name) override;
    result<void> set_limits(const std::string& name, const io_limits& to) override;
    result<std::optional<io_limits>> limits_in_force(const ledger::volume_record& of) override;
    result<void> create_snapshot(const ::cess::volume::target& what) override;
    result<void> create_snapshots(const std::vector<::cess::volume::target>& what) override;
    result<snapshot_details> snapshot(const ::cess::volume::target& what) override;
    result<void> rename_snapshot(const ::cess::volume::target& what, const std::string& to) override;
    result<std::vector<::cess::volume::snapshot_info>> snapshots(const std::string& volume) override;
    result<void> roll_back(const ::cess::volume::target& to, const std::function<void(std::uint64_t, std::uint64_t)>& progress) override;
    result<void> abandon_rollback(const std::string& volume) override;
    result<void> delete_snapshot(const ::cess::volume::target& what) override;
    result<ledger::volume_record> clone(const ::cess::volume::target& from, const std::string& to) override;
    result<void> flatten(const std::string& clone, const std::function<void(std::uint64_t, std::uint64_t)>& progress) override;
    result<check_report> check(const std::string& volume, std::function<void(std::uint64_t, std::uint64_t)> progress) override;

private:
    friend class head_attachment;
    friend class snapshot_group;
    struct inherited {  // what a clone stands on
        volume_id lineage;
        sequence_number at;
    };

    result<std::unique_ptr<attachment>> attach_head(const ledger::volume_record& record, attach_options how);
    result<std::unique_ptr<attachment>> attach_snapshot(const ledger::volume_record& record, const std::string& snapshot, bool little_memory = false);
    // Attaches a volume that nobody owns for as long as `what` takes.
    // A rollback that was interrupted is no hindrance, and no command of others is obeyed.
    result<void> with_nobody_else(const ledger::volume_record& record, const std::function<result<void>(::cess::volume::volume&)>& what);
    result<void> with_head(const ledger::volume_record& record, const std::function<result<void>(::cess::volume::volume&)>& what);
    result<std::string> owner_endpoint();  // starts the owner's server if it does not run yet
    // The owner's answer; none if nobody owns the volume now.
    result<std::optional<owner_result>> through_owner(const ledger::volume_record& record, owner_action what);
    result<void> refuse_if_attached(const ledger::volume_record& record);
    result<void> reap(const ledger::volume_record& record);
    result<bytes> submit(ledger::action what);
    result<ledger::view_record> view(const ledger::volume_record& of, const std::string& name);
    // The same, but waits for a snapshot that is durable at the volume's owner and on its way to the ledger.
    result<ledger::view_record> anchored_view(const ledger::volume_record& of, const std::string& name);
    template <class Record>
    result<Record> read(bytes key);
    result<std::vector<ledger::segment_record>> segments_of(const ledger::volume_record& record);
    result<void> add_segments(volume_id lineage, std::optional<sequence_number> pinned_at, std::vector<ledger::segment_record>& out);
    [[nodiscard]] bool still_listed(const ledger::segment_record& segment);
    [[nodiscard]] asking asker() const;
    [[nodiscard]] net::time_point by(net::duration within) const { return m_world.now() + within; }
    [[nodiscard]] std::uint64_t unix_now() const;
    [[nodiscard]] std::string volumes_directory() const { return m_config.directory + "/volumes"; }

    const config m_config;
    const chain::account m_account;
    metrics m_count;
    mutable net::real_env m_world;
    net::real_env m_large_requests;  // segments on their way to miners
    const crypto::signing_key m_identity;  // ephemeral: TLS identity and session key of this process
    memory_budget m_budget;
    std::unique_ptr<net::caller> m_network;
    std::unique_ptr<chain::client> m_ledger;
    disk_tier m_disk_tier;
    cache::tiered_cache m_cache;
    std::unique_ptr<::cess::layer::layer> m_layer;
    owner_service m_owner;
    std::mutex m_starting;
    std::unique_ptr<net::tls_server> m_server;  // once a volume is attached for writing
};

}  // namespace cess::client
