// Plain bytes for the engine: from the cache, from what was read ahead, from a fetch that somebody else has under way,
// from the local disk, or from the miners, in this order.
#pragma once

#include "ahead_store.hpp"
#include "layer_core.hpp"
#include "run_queue.hpp"

#include <condition_variable>

namespace cess::layer {

// Thread-safe; read() blocks, the others do not. Requests that threads make at the same time for neighbouring blocks
// go out as one; a bounded number is under way.
class block_fetch {
public:
    explicit block_fetch(layer_core& core);
    ~block_fetch();  // gives up what is under way. REQUIRES: no read
    result<void> read(const keyring& keys, const std::vector<piece>& pieces);
    void read_ahead(const keyring& keys, const std::vector<coming>& what, stream_id of);
    void give_up(stream_id of);

private:
    struct call {  // a thread that waits
        std::condition_variable landed;
        std::size_t missing = 0;
    };
    // One block on its way; whoever else wants it waits for it instead of asking again.
    struct flight {
        std::vector<call*> waiting;
        plain_block data;
        error why;
        std::uint64_t size = 0;
        std::optional<stream_id> ahead_of;  // and nobody has asked for it yet
        bool of_stream = false;             // it was read ahead, whoever asked since
        bool in_part = false;               // somebody wants a part of it: the next reads may want the rest
        bool given_up = false;
    };
    struct gap {  // a block of a piece that is not in the cache
        const piece* of = nullptr;
        std::uint64_t block = 0;
        plain_block data;
        std::shared_ptr<flight> trip;
        bool under_way = false;  // somebody has a flight for it
        bool ours = false;       // and that is we
        bool whole = false;      // the piece has all of it
        [[nodiscard]] cache::block_key key() const { return {of->from->id, static_cast<std::uint32_t>(block)}; }
    };
    struct stored {  // a part of a run that the slow tier had
        std::uint64_t first = 0, count = 0;
        bytes plain;
    };
    struct request {
        run whole;
        std::vector<run> holes;  // of it, to be landed
    };
    struct slow_lookup;
    struct waiting_for;
    struct unfinished;
    struct source {
        const ledger::segment_record* record;
        crypto::secret_key key;  // its own
        std::shared_ptr<const ledger::segment_record> shared;  // a copy, for what may outlive the read
    };
    using sources = std::map<segment_id, source>;
    using flights = std::unordered_map<cache::block_key, std::shared_ptr<flight>, block_hash>;

    static void sort_by_place(std::vector<gap*>& what);
    result<void> copy_cached(const std::vector<piece>& pieces, std::vector<gap>& missing);
    void take_ahead(std::vector<gap>& missing);
    void take_ahead(gap& one);                        // REQUIRES: m_mutex
    void look_behind(cache::sealed_cache& slow, const sources& from, std::vector<gap>& missing);
    result<void> fetch(sources& from, std::vector<gap>& missing, net::time_point deadline);
    void join(std::vector<gap>& missing, call& mine);
    void join(gap& one, call& mine);                  // REQUIRES: m_mutex
    void bring_ours(sources& from, std::vector<gap>& missing, net::time_point deadline);
    result<void> wait(std::vector<gap>& missing, call& mine, net::time_point deadline);
    void begin(std::vector<run> what);
    bool try_first(const run& what, bool counted);
    void tried(run what, result<opened_blocks> got, bool counted);
    void try_again(run what, const error& why);  // what.before says what became of it
    void enqueue(std::vector<run> what);
    bool push(std::vector<run> what);                 // REQUIRES: m_mutex
    net::awaitable<void> start();
    void start_waiting();
    net::awaitable<void> bring(run what);
    net::awaitable<void> bring_from_slow(cache::sealed_cache* slow, run what);
    [[nodiscard]] bytes from_network(const run& of, opened_blocks got);
    [[nodiscard]] std::vector<run> from_slow(const run& of, std::vector<stored> parts);
    static std::vector<request> requests_for(const std::vector<run>& holes);
    void land_holes(const request& of, result<opened_blocks> got);
    [[nodiscard]] bool stays_in_memory(bool of_stream, bool in_part) const;
    void keep_in_memory(const cache::block_key& key, const plain_block& what);
    void land(const run& of, result<bytes> got);  // plain, of all its blocks
    void settle(flights::iterator which);             // REQUIRES: m_mutex
    void finished(const run& what);

    layer_core& m_core;
    std::mutex m_mutex;  // what follows
    flights m_flights;
    ahead_store m_ahead;
    run_queue m_queue;
    unsigned m_load = 0, m_load_ahead = 0;  // of the runs under way that came from the queue
    bool m_posted = false;                  // start() is on its way
    bool m_stopping = false;
    unsigned m_first_tries = 0;
    std::condition_variable m_no_first_try;
    net::task_group m_tasks;
};

}  // namespace cess::layer
