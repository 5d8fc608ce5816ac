// The owner control service of this process: it answers for every volume that is attached here for writing.
#pragma once

#include "owner_protocol.hpp"

#include <core/base/metrics.hpp>
#include <core/net/offload.hpp>
#include <objectstore/volume/volume.hpp>

#include <atomic>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <thread>

namespace cess::client {

// One attached volume as commands see it. Commands hold it shared; close() waits for them and admits no more.
// Thread-safe.
class owned_volume {
public:
    // `on` lives until close() has returned. Unless it obeys, commands are refused as errc::busy.
    owned_volume(volume::volume& on, term_number term, bool obeys = true) : m_on(&on), m_term(term), m_obeys(obeys) {}
    ~owned_volume() { close(); }
    void close();
    [[nodiscard]] bool alive() const;  // owns it, and can still write
    [[nodiscard]] term_number term() const noexcept { return m_term; }
    void on_resize(std::function<void(std::uint64_t)> tell);
    [[nodiscard]] result<void> on_limits(std::function<void(const io_limits&)> tell);
    // Blocks. errc::busy after close().
    [[nodiscard]] result<owner_result> execute(const owner_action& what);

private:
    result<void> resize(std::uint64_t size);
    result<void> limit(const io_limits& to);
    result<told_flattening> flatten();

    mutable std::shared_mutex m_mutex;
    volume::volume* m_on;
    const term_number m_term;
    const bool m_obeys;
    std::mutex m_telling;
    std::function<void(std::uint64_t)> m_resized;
    std::mutex m_limiting;  // held while telling, so that the newest limits are told last
    std::function<void(const io_limits&)> m_limited;
    std::mutex m_flattening;  // what follows
    told_flattening m_flattened;
    std::optional<error> m_flatten_failed;
    std::thread m_flattener;
    std::atomic<bool> m_closed{false};
};

struct owner_identity {
    network_id network;
    account_id account;
    public_key session;  // our TLS identity and the session key of all our leases
};

// Thread-safe; serves on the server's executor. Lives until the server has been stopped.
class owner_service final : public net::service {
public:
    owner_service(net::env& world, chain::client& ledger, owner_identity self, net::duration ledger_patience, metrics& count);
    ~owner_service() override {
        m_workers.stop();
        m_cutters.stop();
    }

    net::awaitable<net::reply> serve(node_id from, net::request what) override;

    // A volume is claimed while it is being opened, so that nobody takes it from us in between. errc::busy if it is
    // attached by this process already.
    result<void> claim(volume_id which);
    void opened(volume_id which, std::shared_ptr<owned_volume> as);
    void gone(volume_id which);

private:
    net::awaitable<net::reply> ping(net::request what);
    net::reply challenge(node_id from, const net::request& what);
    net::awaitable<net::reply> command(node_id from, net::request what);
    result<void> authorize(node_id from, const signed_owner_command& what, const owned_volume& on);
    [[nodiscard]] hash256 mac_of(const owner_challenge& of, const node_id& asker) const;
    [[nodiscard]] std::uint64_t now() const { return static_cast<std::uint64_t>(m_world.now().time_since_epoch().count()); }
    // In m_volumes: none = not ours, null = being opened.
    [[nodiscard]] std::optional<std::shared_ptr<owned_volume>> find(const volume_id& which) const;

    net::env& m_world;
    chain::client& m_ledger;
    const owner_identity m_self;
    const net::duration m_patience;
    const crypto::secret_key m_secret;  // of the challenges' codes
    counter& m_refused;
    mutable std::mutex m_mutex;
    std::map<volume_id, std::shared_ptr<owned_volume>> m_volumes;
    std::map<hash256, std::uint64_t> m_spent;  // challenges of commands that were rightly signed, until they expire
    net::worker_pool m_workers;
    net::worker_pool m_cutters;  // of commands that make snapshots
};

}  // namespace cess::client
