#include "block_fetch.hpp"

#include <core/net/blocking.hpp>

#include <algorithm>

namespace cess::layer {
namespace {

constexpr std::uint64_t run_bytes_max = 1 * MiB;
constexpr std::size_t runs_in_flight = 8;

}  // namespace

struct block_fetch::wanted {
    struct segment {
        std::shared_ptr<const ledger::segment_record> record;
        crypto::secret_key key;
        std::vector<std::uint64_t> missing;  // blocks, sorted, once each
    };
    std::map<segment_id, segment> segments;
    blocks have;
    std::vector<std::pair<cache::block_key, std::shared_ptr<flight>>> flights;  // ours and others'
    std::vector<run> runs;                                                      // ours
};

result<void> block_fetch::read(const keyring& keys, const std::vector<piece>& pieces) {
    const auto deadline = m_core.on.world.now() + m_core.on.limits.read;
    wanted what;
    CHECK_OK(collect(keys, pieces, what));
    plan(what);
    if (!what.runs.empty()) {
        auto op = fetch(std::move(what.runs), deadline);
        (void)net::wait(m_core.on.world, std::move(op));  // each run reports through its flights
    }
    CHECK_OK(gather(what, deadline));
    for (const auto& p : pieces) {
        const auto size = p.from->block_size;
        for (std::uint64_t at = 0; at < p.out.size();) {
            const auto block = (p.offset + at) / size, inside = (p.offset + at) % size;
            const auto& data = what.have.at({p.from->id, static_cast<std::uint32_t>(block)});
            const auto part = std::min<std::uint64_t>(data->size() - inside, p.out.size() - at);
            std::memcpy(p.out.data() + at, data->data() + inside, part);
            at += part;
        }
    }
    return {};
}

// What the pieces need, and which of it the cache has.
result<void> block_fetch::collect(const keyring& keys, const std::vector<piece>& pieces, wanted& out) {
    for (const auto& p : pieces) {
        if (p.out.empty()) continue;
        CHECK_OK(check(*p.from));
        if (p.offset >= p.from->length || p.out.size() > p.from->length - p.offset)
            return error(errc::out_of_range, "segment " + p.from->id.brief() + ": bytes past its end");
        auto& of = out.segments[p.from->id];
        if (!of.record) {
            of.record = std::make_shared<const ledger::segment_record>(*p.from);
            TRY(of.key, keys.find(p.from->lineage, p.from->key_generation));
        }
        const auto last = (p.offset + p.out.size() - 1) / p.from->block_size;
        for (auto block = p.offset / p.from->block_size; block <= last; ++block) {
            const cache::block_key key{p.from->id, static_cast<std::uint32_t>(block)};
            if (out.have.contains(key)) continue;
            auto cached = m_core.on.blocks.find(key);
            if (!cached) of.missing.push_back(block);
            out.have.emplace(key, std::move(cached));
        }
    }
    return {};
}

// Which of the missing blocks others fetch already; the rest becomes runs of ours.
void block_fetch::plan(wanted& of) {
    const std::lock_guard hold(m_mutex);
    for (auto& [id, segment] : of.segments) {
        std::sort(segment.missing.begin(), segment.missing.end());
        const auto per_run = std::max<std::uint64_t>(1, run_bytes_max / segment.record->block_size);
        for (const auto block : segment.missing) {
            const cache::block_key key{id, static_cast<std::uint32_t>(block)};
            auto& under_way = m_flights[key];
            const bool ours = under_way == nullptr;
            if (ours) under_way = std::make_shared<flight>();
            of.flights.emplace_back(key, under_way);
            if (!ours) continue;
            auto* last = of.runs.empty() ? nullptr : &of.runs.back();
            if (last && last->segment == segment.record && last->first + last->count == block && last->count < per_run) {
                ++last->count;
                continue;
            }
            run r;
            r.segment = segment.record;
            r.key = segment.key;
            r.first = block;
            r.count = 1;
            of.runs.push_back(std::move(r));
        }
    }
}

net::awaitable<result<void>> block_fetch::fetch(std::vector<run> runs, net::time_point deadline) {
    net::task_group all(co_await boost::asio::this_coro::executor);
    std::size_t next = 0;
    for (std::size_t i = 0; i < std::min(runs_in_flight, runs.size()); ++i) all.spawn(fetch_some(runs, next, deadline));
    co_await all.join();
    for (; next < runs.size(); ++next) land(runs[next], error(errc::canceled, "read given up"));
    co_return result<void>();
}

net::awaitable<void> block_fetch::fetch_some(std::vector<run>& runs, std::size_t& next, net::time_point deadline) {
    while (next < runs.size()) {
        const auto& mine = runs[next++];
        auto got = co_await read_blocks(m_core.reading(), mine.segment, mine.key, mine.first, mine.count, deadline);
        land(mine, std::move(got));
    }
}

void block_fetch::land(const run& of, result<std::vector<bytes>> got) {
    std::uint64_t size = 0;
    std::vector<cache::block> made;
    if (got)
        for (auto& block : *got) {
            size += block.size();
            made.push_back(std::make_shared<const bytes>(std::move(block)));
        }
    m_core.read_bytes.add(size);
    for (std::uint64_t i = 0; i < made.size(); ++i) m_core.on.blocks.insert({of.segment->id, static_cast<std::uint32_t>(of.first + i)}, made[i]);
    const std::lock_guard hold(m_mutex);
    for (std::uint64_t i = 0; i < of.count; ++i) {
        const auto found = m_flights.find({of.segment->id, static_cast<std::uint32_t>(of.first + i)});
        if (found == m_flights.end()) continue;
        found->second->done = true;
        if (got)
            found->second->data = made[i];
        else
            found->second->why = got.error();
        m_flights.erase(found);
    }
    m_landed.notify_all();
}

result<void> block_fetch::gather(wanted& of, net::time_point deadline) {
    std::unique_lock hold(m_mutex);
    for (auto& [key, trip] : of.flights) {
        const auto landed = m_landed.wait_until(hold, deadline, [&trip = trip] { return trip->done; });
        if (!landed) return error(errc::timeout, "segment " + key.segment.brief() + " block " + std::to_string(key.block));
        if (!trip->data) return trip->why;
        of.have[key] = trip->data;
    }
    return {};
}

}  // namespace cess::layer
