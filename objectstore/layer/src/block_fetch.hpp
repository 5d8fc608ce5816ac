// Plain bytes for the engine: from the cache, from a fetch that somebody else has under way, or from the miners.
#pragma once

#include "layer_core.hpp"

#include <condition_variable>
#include <unordered_map>

namespace cess::layer {

// Thread-safe; calls block.
class block_fetch {
public:
    explicit block_fetch(layer_core& core) : m_core(core) {}
    result<void> read(const keyring& keys, const std::vector<piece>& pieces);

private:
    // One block on its way; whoever else wants it waits for it instead of asking again.
    struct flight {
        bool done = false;
        cache::block data;
        error why;
    };
    struct run {  // adjacent blocks of one segment, fetched with one request a fragment
        std::shared_ptr<const ledger::segment_record> segment;
        crypto::secret_key key;
        std::uint64_t first = 0;
        std::uint64_t count = 0;
    };
    struct block_hash {
        std::size_t operator()(const cache::block_key& key) const noexcept { return id_hash()(key.segment) ^ (std::size_t{key.block} * 0x9e3779b97f4a7c15u); }
    };
    using blocks = std::unordered_map<cache::block_key, cache::block, block_hash>;
    struct wanted;  // of one call

    result<void> collect(const keyring& keys, const std::vector<piece>& pieces, wanted& out);
    void plan(wanted& of);
    net::awaitable<result<void>> fetch(std::vector<run> runs, net::time_point deadline);
    net::awaitable<void> fetch_some(std::vector<run>& runs, std::size_t& next, net::time_point deadline);
    void land(const run& of, result<std::vector<bytes>> got);
    result<void> gather(wanted& of, net::time_point deadline);

    layer_core& m_core;
    std::mutex m_mutex;
    std::condition_variable m_landed;
    std::unordered_map<cache::block_key, std::shared_ptr<flight>, block_hash> m_flights;
};

}  // namespace cess::layer
