// One volume, its miners and the processes that fight for it: the stage of the journal's simulation, and the oracle
// that knows what may be read back.
//
// Assumption, as the protocol's: at most m miners are ever faulty (wiped, lying, forgetting); any number may crash and
// come back with what they had on stable storage, and any message may be late, lost, repeated or cut off one way.
#pragma once

#include <support/model_miner.hpp>
#include <support/simulated_ledger.hpp>

#include <objectstore/layer/recovery.hpp>

namespace cess::simulation {

class journal_world;

// A process that takes the volume once, appends, checkpoints, and dies or lives on unaware.
class owner_process {
public:
    owner_process(journal_world& in, std::uint64_t number);
    ~owner_process();
    void take(bool force = true);
    void append(std::size_t size);
    void commit();
    void kill();
    [[nodiscard]] bool serving() const noexcept { return m_full.has_value() && !m_dead; }
    [[nodiscard]] bool taking() const noexcept { return m_taking; }
    [[nodiscard]] bool dead() const noexcept { return m_dead; }
    [[nodiscard]] bool failed() const noexcept { return m_failure.has_value(); }
    [[nodiscard]] const std::optional<error>& failure() const noexcept { return m_failure; }
    [[nodiscard]] std::size_t appended() const noexcept { return m_appended.size(); }
    [[nodiscard]] std::size_t acknowledged() const noexcept { return m_acknowledged; }
    [[nodiscard]] layer::journal_writer* journal() noexcept { return m_taken ? m_taken->journal.get() : nullptr; }
    [[nodiscard]] const layer::taken_volume* taken() const noexcept { return m_taken ? &*m_taken : nullptr; }
    [[nodiscard]] node_id id() const { return m_id; }
    void stop();  // and wait

private:
    friend class journal_world;
    net::awaitable<void> run_take(bool force);
    net::awaitable<void> run_commit(ledger::commit_root what, entry_index base, std::size_t contained);

    journal_world& m_in;
    crypto::signing_key m_session;
    node_id m_id;
    std::unique_ptr<net::caller> m_caller;
    ledger_client m_ledger;
    layer::miner_directory m_directory;
    bool m_taking = false, m_committing = false, m_dead = false;
    std::optional<layer::taken_volume> m_taken;
    std::optional<std::vector<std::string>> m_full;  // the whole history as it was when the take succeeded
    std::vector<std::string> m_appended;
    std::vector<entry_index> m_ends;                 // index behind each append
    std::size_t m_acknowledged = 0;
    std::optional<error> m_failure;
    net::task_group m_tasks;
};

class journal_world {
public:
    struct options {
        unsigned miners = 4;
        unsigned tolerated = 1;
        layer::recovery_mutations broken;
    };
    journal_world(std::uint64_t seed, options how);
    ~journal_world();

    owner_process& new_owner();
    [[nodiscard]] world& in() noexcept { return m_world; }
    [[nodiscard]] network& net() noexcept { return m_network; }
    [[nodiscard]] ledger_node& consensus() noexcept { return m_ledger; }
    [[nodiscard]] model_miner& miner(std::size_t i) { return *m_miners.at(i); }
    [[nodiscard]] std::size_t miners() const noexcept { return m_miners.size(); }
    [[nodiscard]] model_miner* find(const node_id& id);
    [[nodiscard]] const volume_id& volume() const noexcept { return m_volume; }
    [[nodiscard]] const chain::account& account() const noexcept { return m_account; }
    [[nodiscard]] std::vector<std::unique_ptr<owner_process>>& owners() noexcept { return m_owners; }
    void heal();  // weather, cuts and crashes end; faulty miners stay so

    // Every owner that took the volume saw what the one before it had been acknowledged, and a prefix of what it
    // appended. The violation, or none.
    [[nodiscard]] std::optional<std::string> violation() const;

private:
    friend class owner_process;
    void set_up();

    options m_how;
    world m_world;
    network m_network{m_world};
    ledger_node m_ledger{m_world};
    chain::account m_account;
    volume_id m_volume;
    std::vector<std::unique_ptr<model_miner>> m_miners;
    std::vector<std::unique_ptr<owner_process>> m_owners;
    std::map<std::pair<term_number, sequence_number>, std::vector<std::string>> m_roots;  // what each root contains
    mutable std::optional<std::string> m_violation;
};

// What one random run did, to know that it tested something.
struct run_report {
    std::optional<std::string> violation;
    std::size_t takes = 0, acknowledged = 0, roots = 0, recovered_last = 0;
    hash256 trace;
};
run_report random_run(std::uint64_t seed, layer::recovery_mutations broken = {});

}  // namespace cess::simulation
