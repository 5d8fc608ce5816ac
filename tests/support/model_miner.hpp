// A storage miner's journals as protocol.hpp promises them, in memory: the yardstick of the journal's simulation.
//
// Fault model: a crash loses what no answer called durable, wholly or up to any group; a wipe loses everything and
// changes the incarnation; `forgetful` forgets fences (a lying store); syncs take their time. It verifies certificates
// and sessions as a real miner does. Single-threaded, over the simulated world.
#pragma once

#include <support/simulation.hpp>

#include <chain/ledger/proof.hpp>
#include <node/storage/protocol.hpp>

namespace cess::simulation {

class model_miner {
public:
    // What survives a crash.
    struct group {
        storage::stored_group head;
        hash256 previous;
        hash256 chain;
        bytes body;
        [[nodiscard]] entry_index end() const { return {head.first.value + head.lengths.size()}; }
    };
    struct journal {
        std::vector<group> groups;
        std::size_t durable = 0;  // groups on stable storage
        bool started = false;     // empty otherwise; `position` is where it begins while no group is kept
        entry_index position;
        hash256 position_chain;
        [[nodiscard]] entry_index end() const { return groups.empty() ? position : groups.back().end(); }
        [[nodiscard]] hash256 chain() const { return groups.empty() ? position_chain : groups.back().chain; }
        [[nodiscard]] entry_index durable_end() const { return durable == 0 ? (groups.empty() ? position : groups.front().head.first) : groups[durable - 1].end(); }
    };
    struct volume {
        ledger::volume_record record;  // newest certified
        block_height height;
        std::map<term_number, ledger::lease> leases;
        term_number fence;
        std::map<term_number, journal> journals;
    };
    struct faults {
        bool forgetful = false;           // forgets every fence
        bool pretending = false;          // calls appends durable and keeps nothing of them
        net::duration sync_min = 100us, sync_max = 3ms;
    };

    model_miner(world& in, network& on, const ledger::trust& trust, node_id id);
    void start();              // up, with what is stored
    void crash();              // down; the unsynced tail is lost up to a random group
    void wipe();               // while down: a new, empty store
    [[nodiscard]] const node_id& id() const noexcept { return m_id; }
    [[nodiscard]] const incarnation_id& incarnation() const noexcept { return m_incarnation; }
    [[nodiscard]] bool is_up() const { return m_network.is_up(m_id); }
    [[nodiscard]] volume* find(const volume_id& id);
    faults broken;

private:
    class server;
    result<bytes> hello(byte_view head) const;
    result<volume*> learn(const ledger::proved_record& record);
    result<bytes> present(byte_view head);
    net::awaitable<net::reply> append(node_id from, net::request what, std::uint64_t life);
    result<bytes> check_append(const node_id& from, const storage::append_request& what, volume*& out);
    result<bytes> fence(const node_id& from, byte_view head);
    result<bytes> state(byte_view head);
    result<net::reply> read(const node_id& from, byte_view head);
    result<bytes> trim(byte_view head);
    [[nodiscard]] storage::journal_state state_of(const volume& of, storage::journal_ref which) const;
    net::awaitable<net::reply> serve(node_id from, net::request what, std::uint64_t life);

    world& m_world;
    network& m_network;
    ledger::trust m_trust;
    node_id m_id;
    incarnation_id m_incarnation;
    std::map<volume_id, volume> m_volumes;
    std::uint64_t m_life = 0;
};

}  // namespace cess::simulation
