// All journals of a store, and the queues in front of them.
//
// Appends to one journal gather while a commit of it is under way and go together in the next; at most one commit a
// journal occupies a worker, so a slow journal never holds up the others.
#pragma once

#include "authority.hpp"
#include "journal.hpp"

#include <core/net/offload.hpp>
#include <node/storage/miner.hpp>

#include <map>

namespace cess::storage {

class journal_store : public std::enable_shared_from_this<journal_store> {
public:
    struct setting {
        os::file_system& disk;
        store_paths paths;
        space_account& space;
        spare_files& spares;
        authority& leases;
        random_source& random;
        miner_limits limits;
        net::worker_pool* workers;  // none: a commit runs in append()
        std::function<void(std::size_t)> committed;  // counts a batch
        std::function<void()> synced;                // counts a sync
    };
    explicit journal_store(setting how) : m_how(std::move(how)) {}

    result<void> load();  // at open

    // Queues a group; pending.done is called, on a worker, when its answer stands.
    result<void> append(journal::pending what);
    // Once a fence is durable: where the journal ends, after what was being appended. An unknown journal is empty.
    result<journal::position> state(const journal_ref& name);
    result<journal_read_reply> read(const journal_read_request& what, bytes& body);
    // Trims and drops what the ledger says is not needed.
    result<void> trim(const known_volume& volume);
    // For checking.
    [[nodiscard]] std::vector<journal_ref> names() const;
    [[nodiscard]] bool holds(const journal_ref& name) const { return find(name) != nullptr; }
    [[nodiscard]] std::vector<entry_index> files(const journal_ref& name);
    [[nodiscard]] result<journal::verdict> check(const journal_ref& name, entry_index file);
    [[nodiscard]] bool damaged(const journal_ref& name);
    [[nodiscard]] std::size_t count() const;
    [[nodiscard]] std::vector<volume_id> volumes() const;  // that have journals here, ascending
    // Takes no appends any more.
    void close();

private:
    struct lane {
        explicit lane(journal::setting how) : log(std::move(how)) {}
        journal log;
        std::mutex mutex;  // guards the queue
        std::vector<journal::pending> queue;
        bool committing = false;
    };
    using lane_ptr = std::shared_ptr<lane>;
    struct commit_task;

    [[nodiscard]] journal::setting setting_of(const journal_ref& name) const;
    [[nodiscard]] lane_ptr find(const journal_ref& name) const;
    result<lane_ptr> find_or_make(const journal_ref& name);
    void start(lane_ptr on);
    bool commit_once(lane& on);  // false: the queue was empty, and nobody commits any more
    void fail_queue(lane& on, const error& why);
    result<void> drop(const journal_ref& name);

    const setting m_how;
    mutable std::mutex m_mutex;
    std::map<journal_ref, lane_ptr> m_lanes;
    std::uint64_t m_queued_bytes = 0;
    std::uint64_t m_dropped = 0;  // names of dropped journals in tmp
    bool m_closed = false;
};

}  // namespace cess::storage
