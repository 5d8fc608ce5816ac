#include "layer_core.hpp"

#include "block_fetch.hpp"
#include "read_once.hpp"

#include <core/base/log.hpp>
#include <core/net/blocking.hpp>

#include <atomic>

namespace cess::layer {
namespace {

constexpr std::uint64_t verify_chunk = 2 * MiB;  // a multiple of storage::leaf_size

class layer_impl final : public layer {
public:
    explicit layer_impl(dependencies on) : m_core(std::move(on)), m_fetch(m_core) {}

    result<void> read(const keyring& keys, const std::vector<piece>& pieces) override { return m_fetch.read(keys, pieces); }
    result<void> read_once(const keyring& keys, const std::vector<piece>& pieces) override { return read_past_cache(m_core, keys, pieces); }
    void read_ahead(const keyring& keys, const std::vector<coming>& what, stream_id of) override { m_fetch.read_ahead(keys, what, of); }
    void give_up(stream_id of) override { m_fetch.give_up(of); }
    std::vector<fragment_fault> verify(const ledger::segment_record& segment) override;
    result<ownership> take(const chain::account& who, volume_id volume, const crypto::signing_key& session_key, open_options how) override;
    chain::client& ledger() noexcept override { return m_core.on.ledger; }
    net::env& world() noexcept override { return m_core.on.world; }
    const deadlines& limits() const noexcept override { return m_core.on.limits; }

private:
    net::awaitable<result<std::vector<fragment_fault>>> verify_all(std::shared_ptr<const ledger::segment_record> segment);
    net::awaitable<void> verify_one(std::shared_ptr<const ledger::segment_record> segment, unsigned index, std::vector<fragment_fault>& faults);

    layer_core m_core;
    block_fetch m_fetch;
};

std::vector<fragment_fault> layer_impl::verify(const ledger::segment_record& segment) {
    std::vector<fragment_fault> faults;
    if (auto sane = check(segment); !sane) {
        for (std::size_t i = 0; i < segment.holders.size(); ++i)
            faults.push_back({segment.holders[i], segment.id, static_cast<std::uint8_t>(i), sane.error()});
        return faults;
    }
    auto op = verify_all(std::make_shared<const ledger::segment_record>(segment));
    auto found = net::wait(m_core.on.world, std::move(op));
    return found ? std::move(*found) : faults;
}

net::awaitable<result<std::vector<fragment_fault>>> layer_impl::verify_all(std::shared_ptr<const ledger::segment_record> segment) {
    std::vector<fragment_fault> faults;
    net::task_group all(co_await boost::asio::this_coro::executor);
    for (unsigned i = 0; i < segment->holders.size(); ++i) all.spawn(verify_one(segment, i, faults));
    co_await all.join();
    co_return faults;
}

// Reads the whole fragment with its proof: what a miner says of itself proves nothing.
net::awaitable<void> layer_impl::verify_one(std::shared_ptr<const ledger::segment_record> segment, unsigned index, std::vector<fragment_fault>& faults) {
    const auto size = layout_of(*segment).fragment();
    for (std::uint64_t at = 0; at < size; at += verify_chunk) {
        const auto deadline = m_core.on.world.now() + m_core.on.limits.read;
        auto got = co_await read_fragment(m_core.reading(), segment, index, at, std::min(at + verify_chunk, size), true, deadline);
        if (got) continue;
        fragment_fault fault;
        fault.miner = segment->holders[index];
        fault.segment = segment->id;
        fault.index = static_cast<std::uint8_t>(index);
        fault.what = std::move(got).error();
        faults.push_back(std::move(fault));
        co_return;
    }
}

result<layer::ownership> layer_impl::take(const chain::account& who, volume_id volume, const crypto::signing_key& session_key, open_options how) {
    recovery_context on{m_core.on.world, m_core.on.network, m_core.on.ledger, m_core.directory, m_core.on.limits, m_core.on.crashes};
    take_options options;
    options.endpoint = std::move(how.endpoint);
    options.reservation = how.reservation;
    options.force = how.force;
    options.broken = m_core.on.broken;
    auto op = take_volume(on, who, volume, session_key, std::move(options));
    TRY(auto taken, net::wait(m_core.on.world, std::move(op)));
    ownership out;
    out.record = taken.record;
    out.history = std::move(taken.history);
    out.holder = make_session(m_core, who, std::move(taken));
    return out;
}

}  // namespace

layer_core::layer_core(dependencies with)
    : on(std::move(with)), directory(on.world, on.ledger), readers(on.world, on.network, directory), where(on.world, on.ledger, on.limits),
      workers(std::max(1u, on.worker_threads), 65536), encoders(std::max(1u, on.worker_threads)),
      count{on.count.make_counter("cess_layer_fragment_reads_total", "Ranges asked of storage miners"),
            on.count.make_counter("cess_layer_hedged_reads_total", "Ranges asked of others because a miner was slow"),
            on.count.make_counter("cess_layer_decoded_reads_total", "Ranges decoded from other fragments"),
            on.count.make_counter("cess_layer_proven_reads_total", "Ranges checked against the segment's id"),
            on.count.make_counter("cess_layer_fragment_faults_total", "Fragments found missing or wrong at a miner")},
      put_bytes(on.count.make_counter("cess_layer_put_bytes_total", "Plain bytes stored in segments")),
      read_bytes(on.count.make_counter("cess_layer_read_bytes_total", "Plain bytes fetched from storage miners")),
      together(on.world, readers, on.count.make_counter("cess_layer_small_read_requests_total", "Requests for small ranges, each for all that waited for its miner")) {}

read_context layer_core::reading() {
    const auto accuse = [](const node_id& miner, const segment_id& segment, unsigned index, const error& why) {
        log::warn("layer", "fragment fault miner={} segment={} index={} reason=\"{}\"", miner.brief(), segment.brief(), index, why.message());
    };
    return read_context{on.world, readers, together, workers, on.limits, count, accuse, hedging};
}

std::unique_ptr<layer> make_layer(dependencies on) { return std::make_unique<layer_impl>(std::move(on)); }

}  // namespace cess::layer
