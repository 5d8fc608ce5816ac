// The buckets this gateway has attached: on first use, a bounded number, the longest unused given up for another.
//
// Requests hold a lease; a bucket is detached only when nobody does. Thread-safe; nothing blocks, attaching and
// detaching run on the table's own few workers.
#pragma once

#include "committer.hpp"

#include <objectstore/s3/store.hpp>

#include <core/net/offload.hpp>

#include <atomic>
#include <map>

namespace cess::s3 {

class bucket_table {
public:
    struct entry;

    // The right to use a bucket. Released by its death, on any thread.
    class lease {
    public:
        lease() = default;
        lease(bucket_table& table, std::shared_ptr<entry> what) : m_table(&table), m_entry(std::move(what)) {}
        lease(lease&& other) noexcept : m_table(std::exchange(other.m_table, nullptr)), m_entry(std::move(other.m_entry)) {}
        lease& operator=(lease&& other) noexcept;
        ~lease() { release(); }
        [[nodiscard]] bucket& operator*() const noexcept;
        [[nodiscard]] bucket* operator->() const noexcept { return &**this; }
        [[nodiscard]] explicit operator bool() const noexcept { return m_entry != nullptr; }
        // Resumes when what the sequence names is durable; at once for snapshots.
        [[nodiscard]] net::awaitable<result<void>> durable(sequence_number upto) const;
        void release() noexcept;

    private:
        friend class bucket_table;
        bucket_table* m_table = nullptr;
        std::shared_ptr<entry> m_entry;
    };

    bucket_table(net::env& world, store& from, random_source& random, std::size_t buckets_max, net::duration detach_after);
    ~bucket_table();  // REQUIRES: no leases, stopped

    [[nodiscard]] net::awaitable<result<lease>> acquire(std::string name, std::string snapshot);
    // Deletes an empty bucket that nobody else uses: errc::not_empty, errc::conflict.
    [[nodiscard]] net::awaitable<result<void>> remove(std::string name);
    // A bucket of this name has just been made: what was refused before holds no more.
    void expect(const std::string& name);
    // Gives up what has failed or was long unused. Called now and then.
    [[nodiscard]] net::awaitable<void> sweep();
    // Detaches everything. REQUIRES: nobody acquires any more. The first failure.
    [[nodiscard]] net::awaitable<result<void>> stop();
    [[nodiscard]] std::size_t attached() const;

private:
    struct parked;
    [[nodiscard]] net::awaitable<result<lease>> open(std::shared_ptr<entry> what, std::string name, std::string snapshot);
    [[nodiscard]] net::awaitable<result<void>> close(std::shared_ptr<entry> what);
    [[nodiscard]] net::awaitable<result<void>> make_room();
    [[nodiscard]] net::awaitable<result<void>> finish_removal(lease mine, std::string name);
    [[nodiscard]] std::shared_ptr<entry> idle_one(bool any);
    void wake(entry& what);  // REQUIRES: m_mutex
    void forget(const std::shared_ptr<entry>& what);
    void release(const std::shared_ptr<entry>& what) noexcept;

    net::env& m_world;
    store& m_store;
    random_source& m_random;
    const std::size_t m_max;
    const net::duration m_detach_after;
    net::worker_pool m_workers{4, 256};
    mutable std::mutex m_mutex;
    std::map<std::string, std::shared_ptr<entry>> m_entries;  // by name or name@snapshot
    struct refusal {
        error why;
        net::time_point until;
    };
    std::map<std::string, refusal> m_refused;  // for a moment, so that a wrong name in a loop costs the ledger nothing
};

}  // namespace cess::s3
