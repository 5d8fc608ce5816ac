// Blocks that were read ahead and that nobody has asked for yet, held outside the cache: what is never asked for pushes
// nothing out of it. Bounded in bytes, those on their way included. Pure; REQUIRES: its owner's lock.
//
// Blocks that were opened together share their memory, which counts as long as one of them is held.
//
// A block that came lately does not give way to a newer one, or many streams would undo each other's work: while it is
// full, nothing more is read ahead. What nobody asked for within `patience` makes room.
#pragma once

#include <core/base/metrics.hpp>
#include <objectstore/layer/layer.hpp>

#include <list>
#include <unordered_map>

namespace cess::layer {

struct plain_run {  // neighbouring blocks, back to back
    explicit plain_run(bytes plain) : data(std::move(plain)) {}
    const bytes data;
    std::uint32_t held = 0;  // how many of them the store holds; its own
};

struct plain_block {
    std::shared_ptr<plain_run> of;
    byte_view data;  // in it
    explicit operator bool() const noexcept { return of != nullptr; }
};
// Block i of a run; the last may be shorter than the others.
[[nodiscard]] inline plain_block plain_block_of(const std::shared_ptr<plain_run>& run, std::uint64_t i, std::uint64_t block_size) {
    return {run, byte_view(run->data).subspan(i * block_size, std::min<std::uint64_t>(block_size, run->data.size() - i * block_size))};
}

struct block_hash {  // not noexcept, so that libstdc++ keeps the codes: a chain is walked without touching every key
    std::size_t operator()(const cache::block_key& key) const { return id_hash()(key.segment) ^ (std::size_t{key.block} * 0x9e3779b97f4a7c15u); }
};

struct ahead_counters {
    explicit ahead_counters(metrics& m)
        : asked(m.make_counter("cess_layer_ahead_bytes_total", "Bytes asked for before anybody read them")),
          used(m.make_counter("cess_layer_ahead_used_bytes_total", "Bytes read ahead that were read")),
          wasted(m.make_counter("cess_layer_ahead_wasted_bytes_total", "Bytes read ahead that nobody read")),
          held(m.make_gauge("cess_layer_ahead_held_bytes", "Bytes read ahead and not read yet, on their way or here")) {}
    counter &asked, &used, &wasted;
    gauge& held;
};

class ahead_store {
public:
    static constexpr net::duration patience = std::chrono::seconds(5);

    ahead_store(std::uint64_t bytes_max, metrics& count) : m_bytes_max(bytes_max), m_count(count) {}

    [[nodiscard]] bool reserve(std::uint64_t bytes, net::time_point now);  // for a block that goes on its way
    void release(std::uint64_t bytes, bool used);                         // it failed, or somebody waits for it
    void add(const cache::block_key& key, plain_block data, stream_id of, net::time_point now);  // reserved before
    [[nodiscard]] plain_block take(const cache::block_key& key);          // none if it is not here
    [[nodiscard]] bool contains(const cache::block_key& key) const { return m_held.contains(key); }
    void drop(stream_id of);
    [[nodiscard]] std::uint64_t bytes() const noexcept { return m_bytes; }

private:
    struct held {
        cache::block_key key;
        plain_block data;
        stream_id of;
        net::time_point since;
    };
    using place = std::list<held>::iterator;
    place remove(place at, bool used);
    void grow(std::uint64_t bytes);
    void shrink(std::uint64_t bytes);

    const std::uint64_t m_bytes_max;
    ahead_counters m_count;
    std::uint64_t m_bytes = 0;
    std::list<held> m_order;  // oldest in front
    std::unordered_map<cache::block_key, place, block_hash> m_held;
};

}  // namespace cess::layer
