// Small reads of one miner that are made at the same time go as one request.
//
// A request costs what it costs, whatever it asks for: coroutines, a frame, TLS records, a thread at the miner. So what
// is waiting for the same miner goes together. There is no timer: while fewer than a few requests are under way to a
// miner, what comes goes at once, with all else that is ready to run; what comes later goes with the next that ends.
#pragma once

#include <objectstore/layer/miners.hpp>

#include <core/base/metrics.hpp>
#include <core/net/suspend.hpp>
#include <core/net/task_group.hpp>

#include <deque>
#include <functional>
#include <vector>

namespace cess::layer {

inline constexpr std::uint32_t small_read_max = 16 * KiB;  // larger ones fill a request alone

// One a process, shared by its reads. Thread-safe; its requests run on the world's executor.
class read_together {
public:
    read_together(net::env& world, miner_link& link, counter& requests);
    ~read_together();  // blocks until what is under way has been given up. REQUIRES: no read
    read_together(const read_together&) = delete;
    read_together& operator=(const read_together&) = delete;

    // The range's bytes, all of them, from this miner; or errc::timeout soon after the deadline (errc::exhausted if it was not
    // even asked by then), errc::canceled, what the miner said of this range, or why it did not answer. A miner's faults are
    // told to the directory.
    // REQUIRES: length <= small_read_max
    net::awaitable<result<bytes>> read(node_id miner, storage::fragment_range what, net::time_point deadline);
    // Without a coroutine: `done` is called once, on a network thread with nothing locked, or by the destructor.
    using finished = std::function<void(result<bytes>)>;
    struct reading_until {
        net::time_point answer;   // of whoever waits
        net::time_point request;  // not before: what comes later still says how quick the miner is
    };
    void read(const node_id& miner, const storage::fragment_range& what, reading_until until, finished done);

private:
    struct part;
    using parts = std::vector<std::shared_ptr<part>>;
    struct joining;
    struct turn;
    struct batch;
    struct queue {
        std::deque<std::shared_ptr<part>> waiting;
        std::vector<batch*> under_way;
        unsigned turns = 0;     // coroutines that serve this queue: one a request
        bool starting = false;  // one of them will look at the queue in a moment
    };

    void join(const node_id& miner, std::shared_ptr<part> what);
    [[nodiscard]] parts serve_another(const node_id& miner, queue& of);  // those that can't be served any more. REQUIRES: m_mutex
    static void give_up(const parts& what);
    void take(const node_id& miner, queue& from, batch& into);
    net::awaitable<void> serve(node_id miner);
    net::awaitable<void> ask(node_id miner, batch& what);
    void hand_out(const node_id& miner, batch& what, net::typed_reply<storage::get_ranges_reply> answer, net::duration took);
    net::awaitable<void> expire();
    bool expire_late(net::time_point now);

    net::env& m_world;
    miner_link& m_link;
    counter& m_requests;
    std::mutex m_mutex;  // what follows
    std::map<node_id, queue> m_queues;
    bool m_expiring = false;
    net::task_group m_tasks;
};

}  // namespace cess::layer
