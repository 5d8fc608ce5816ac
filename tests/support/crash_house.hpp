// A network in this process whose parts die: real miners on disks that lose and tear what was not synced, a real
// validator, and clients, all over a network with weather. Time is real, and short.
//
// Fault model
//   a process   killed at once: nothing it sends leaves any more, no answer reaches it; its threads then run into
//               errors until its objects are destroyed
//   a miner     power cut: what it had not synced survives or not, in pieces, by the seed; restarted; wiped; or it lies
//   messages    delayed, so reordered; lost either way; duplicated; cut off between two ends
//   consensus   not reachable for a while
// Thread-safe where said.
#pragma once

#include <support/chain_network.hpp>
#include <support/faulty_disk.hpp>
#include <support/mortal_disk.hpp>

#include <core/kv/store.hpp>
#include <core/net/blocking.hpp>
#include <core/net/real_env.hpp>
#include <node/storage/miner.hpp>
#include <objectstore/layer/layer.hpp>

#include <atomic>
#include <set>

namespace cess::test {

struct sky {
    unsigned delay_us_max = 0;        // each way
    unsigned lost_permille = 0;       // each way
    unsigned doubled_permille = 0;
    unsigned straggling_permille = 0;  // ten times as long
};

// Whether a process lives, and at which step it dies. Thread-safe.
class doom final : public crash_points {
public:
    void kill() noexcept { m_dead = true; }
    [[nodiscard]] bool dead() const noexcept { return m_dead; }
    // Dies when `at` is reached the n-th time from now on.
    void dies_at(crash_point at, unsigned n) noexcept;
    void spare() noexcept { m_left = 0; }  // it does not, after all; unless it has
    [[nodiscard]] bool met() const noexcept { return m_met; }  // died at that step
    [[nodiscard]] crash_point at() const noexcept { return static_cast<crash_point>(m_at.load()); }  // REQUIRES: met()
    void reached(crash_point at) noexcept override;
    [[nodiscard]] std::uint64_t seen() const noexcept { return m_seen; }  // a bit a step

private:
    std::atomic<bool> m_dead{false}, m_met{false};
    std::atomic<std::uint64_t> m_seen{0};
    std::atomic<int> m_at{-1};
    std::atomic<unsigned> m_left{0};
};

class crash_house {
public:
    explicit crash_house(std::uint64_t seed, unsigned miners);
    ~crash_house();

    // A client: its own identity, layer and cache. Destroy what stands on its layer first.
    struct process {
        process(crash_house& in, const layer::deadlines& limits, const layer::recovery_mutations& broken);
        crypto::signing_key session;
        node_id id;
        doom fate;
        std::unique_ptr<net::caller> network;
        std::unique_ptr<chain::client> ledger;
        metrics count;
        cache::tiered_cache blocks;
        std::unique_ptr<layer::layer> layer;
    };
    [[nodiscard]] std::unique_ptr<process> new_process(const layer::deadlines& limits, const layer::recovery_mutations& broken = {}) {
        return std::make_unique<process>(*this, limits, broken);
    }
    [[nodiscard]] static layer::deadlines quick();
    // Waits for members that are only slow: beside a liar each of them is needed, and on a busy machine all are.
    [[nodiscard]] static layer::deadlines patient();

    // ---- weather and cuts; thread-safe
    void set_sky(sky how);
    void cut(const node_id& client, std::size_t miner);
    void mend_all();
    void set_consensus(bool up);
    // The miner answers reads with flipped bits, appends as if they were durable, fences as if it had nothing.
    void set_liar(std::optional<std::size_t> miner);

    // ---- miners; one thread
    [[nodiscard]] std::size_t miners() const noexcept { return m_miners.size(); }
    [[nodiscard]] node_id id_of(std::size_t miner) const { return m_miners[miner].id; }
    [[nodiscard]] bool up(std::size_t miner) const { return m_miners[miner].now != nullptr; }
    void cut_power(std::size_t miner, std::uint64_t seed);
    void wipe(std::size_t miner);  // REQUIRES: it is down
    void start(std::size_t miner);
    void start_all();
    void lie_about_syncs();  // all disks, from now on

    // ---- as an administrator, in any weather
    result<void> submit(ledger::action what);
    [[nodiscard]] result<std::optional<bytes>> read(bytes key);
    [[nodiscard]] ledger::volume_record create_volume(const std::string& name, std::uint64_t size);
    [[nodiscard]] result<ledger::volume_record> clone(const ledger::volume_record& of, const std::string& snapshot, const std::string& name);
    [[nodiscard]] ledger::volume_record record(const volume_id& id);
    [[nodiscard]] const chain::account& account() const noexcept { return m_account; }
    [[nodiscard]] net::real_env& world() noexcept { return m_world; }

private:
    friend class weather_caller;
    struct life {  // of a miner's process; kept when it ends, since the network may still be looking at it
        explicit life(os::file_system& on) : disk(on, [this] { return dead.load(); }) {}
        std::atomic<bool> dead{false};
        mortal_disk disk;
        metrics count;
        net::worker_pool workers{1};
        std::unique_ptr<net::caller> network;
        std::unique_ptr<chain::client> ledger;
        std::unique_ptr<storage::miner> service;
    };
    struct machine {
        crypto::signing_key key;
        node_id id;
        std::unique_ptr<faulty_disk> disk;
        life* now = nullptr;
        bool lies_about_syncs = false;
    };
    // What befalls one call.
    struct trip {
        net::duration out{0}, back{0};
        bool never_arrives = false, unheard = false, doubled = false, lied_to = false;
    };
    [[nodiscard]] trip draw(const node_id& from, const node_id& to);
    void fate_of(const node_id& id, bool down);
    void register_miner(std::size_t miner);

    net::real_env m_world{2};
    std::unique_ptr<net::local_network> m_network;
    mutable std::mutex m_mutex;  // of the weather
    seeded_random m_random;
    sky m_sky;
    std::set<std::pair<node_id, node_id>> m_cut;
    std::optional<node_id> m_liar;
    faulty_disk m_chain_disk;
    kv::memory_store m_state;
    net::worker_pool m_chain_workers{1};
    metrics m_count;
    crypto::signing_key m_validator_key;
    node_id m_validator_id;
    chain::network_config m_config;
    std::unique_ptr<chain::validator> m_validator;
    std::unique_ptr<net::caller> m_admin_network;
    std::unique_ptr<chain::client> m_admin;
    chain::account m_account;
    std::vector<std::unique_ptr<faulty_disk>> m_old_disks;
    std::vector<machine> m_miners;
    std::vector<std::unique_ptr<life>> m_lives;
};

}  // namespace cess::test
