// The parts of an open store, in the order in which they stand on each other. Owned by a shared_ptr, which every
// request and the sweeper hold: what is under way ends on a store that still is.
#pragma once

#include "fragment_store.hpp"
#include "journal_store.hpp"
#include "miner_metrics.hpp"
#include "uploads.hpp"

#include <core/net/channel.hpp>
#include <core/net/task_group.hpp>

#include <atomic>
#include <optional>

namespace cess::storage {

class scrubber;
class sweeper;

struct store {
    store(miner_dependencies d, miner_options h, store_identity i, std::unique_ptr<os::directory_lock> l);
    ~store();

    miner_dependencies on;
    const miner_options how;
    const store_identity identity;
    std::unique_ptr<os::directory_lock> lock;
    miner_metrics count;
    space_account space;
    spare_files spares;
    authority leases;
    fault_book faults;
    fragment_store fragments;
    uploads incoming;
    std::shared_ptr<journal_store> journals;
    std::unique_ptr<sweeper> sweeping;
    std::unique_ptr<scrubber> scrubbing;
    const boost::asio::any_io_executor strand;
    net::task_group tasks;

    // Requests under way, and who waits for the last of them.
    net::bounded_channel<bool> following{1};  // holds its one item while nobody asks for handovers
    std::mutex gate;
    bool closed = false;
    [[nodiscard]] bool busy();  // with requests
    std::size_t running = 0;
    std::vector<net::resumption<result<void>>> drained;

    std::atomic<unsigned> verifying{0};  // fragments being read whole for somebody

    [[nodiscard]] miner_status status() const;
    void publish_status();  // to the gauges
    // Blocking work: on the workers, or here without any.
    template <class F>
    [[nodiscard]] auto blocking(F f) -> net::awaitable<typename net::detail::offloaded<F>::answer> {
        if (!on.workers) co_return f();
        auto op = net::offload(*on.workers, std::move(f));
        co_return co_await std::move(op);
    }
};

// Answers one request; blocking. Not journal_append, which waits for its group. (serve.cpp)
net::reply answer(store& on, const node_id& from, const net::request& what);
// Small reads of what is in memory are answered on the spot, for to wake a thread takes longer. Nothing if it isn't one;
// never blocks.
std::optional<net::reply> answer_at_once(store& on, const net::request& what);

}  // namespace cess::storage
