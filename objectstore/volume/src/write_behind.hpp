// Sends the entries that the local journal has acknowledged to the miners, in their order and behind their writers'
// backs, a moment's worth at a time, so that the miners take it in groups. What waits is bounded by bytes and by age: past either, full() holds writers and flushes back.
//
// Thread-safe; one thread sends. Completions run on a network thread, after this object's death too.
#pragma once

#include "local_log.hpp"

#include <objectstore/layer/layer.hpp>

#include <condition_variable>
#include <thread>

namespace cess::volume {

class write_behind {
public:
    struct limits {
        std::uint64_t bytes_max;
        net::duration age_max;
    };
    // `log` is told what the miners have.
    write_behind(layer::session& to, local::log& log, limits with, gauge& lag);
    ~write_behind();  // what is not sent yet stays in the local journal

    using completion = std::function<void(result<void>)>;
    void send(bytes entry, completion done);  // never waits
    [[nodiscard]] bool full() const;
    // How many have been handed to send().
    [[nodiscard]] std::uint64_t count() const;
    // The index in the miners' journal of what follows the first `count` entries. Waits until they are sent.
    // REQUIRES: note(count) was called before another entry was sent
    void note(std::uint64_t count);
    [[nodiscard]] result<entry_index> index_after(std::uint64_t count, net::duration patience);
    void stop();

private:
    using clock = std::chrono::steady_clock;
    struct waiting {
        bytes entry;
        completion done;
        clock::time_point came;
    };
    struct shared {
        mutable std::mutex mutex;
        std::condition_variable changed;
        std::deque<waiting> queue;
        std::deque<std::pair<clock::time_point, std::uint64_t>> unstored;  // when it came and its size, in order
        std::uint64_t bytes = 0;                                           // of those
        std::uint64_t queued = 0;                                          // bytes in the queue
        std::uint64_t taken = 0, sent = 0, stored = 0;                     // entries
        std::uint64_t under_way_bytes = 0;
        bool sending = false, stop = false, failed = false;
        std::map<std::uint64_t, std::optional<entry_index>> noted;
        gauge* lag = nullptr;
    };
    void run();
    [[nodiscard]] bool room() const;  // REQUIRES: the lock
    void send_next(std::unique_lock<std::mutex>& lock);
    void tell_log(std::unique_lock<std::mutex>& lock, bool idle);

    layer::session& m_to;
    local::log& m_log;
    const limits m_limits;
    std::shared_ptr<shared> m_shared;
    std::uint64_t m_told = 0;  // to the log
    bool m_warned = false;
    std::size_t m_burst = 0;   // of the queue, on their way now
    std::thread m_thread;
};

}  // namespace cess::volume
