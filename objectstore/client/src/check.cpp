// cess fsck: every fragment of every segment that a volume needs is read at its miner and verified.
#include "runtime.hpp"

#include <core/net/blocking.hpp>

#include <atomic>
#include <set>
#include <thread>

namespace cess::client {
namespace {

constexpr unsigned verifiers = 4;  // segments at a time
constexpr std::uint32_t page_size = 1000;
constexpr std::size_t ancestors_max = 1000;

bool pinned(const ledger::segment_record& s, sequence_number at) {
    return s.birth <= at && (s.death.value == 0 || s.death > at);
}

}  // namespace

result<void> runtime_implementation::add_segments(volume_id lineage, std::optional<sequence_number> pinned_at, std::vector<ledger::segment_record>& out) {
    segment_number after;
    for (;;) {
        TRY(auto page, net::wait(m_world, m_ledger->segments(lineage, after, page_size, by(m_config.limits.ledger))));
        if (page.empty()) return {};
        if (!(after < page.back().number)) return error(errc::protocol, "the ledger's list of segments does not advance");
        after = page.back().number;
        for (auto& s : page)
            if (!pinned_at || pinned(s, *pinned_at)) out.push_back(std::move(s));
    }
}

// Its own, whether the head or a snapshot needs them, and what it inherits from the volumes it was cloned from.
result<std::vector<ledger::segment_record>> runtime_implementation::segments_of(const ledger::volume_record& record) {
    std::vector<ledger::segment_record> out;
    CHECK_OK(add_segments(record.id, std::nullopt, out));
    auto base = record.base;
    for (std::size_t i = 0; base && i < ancestors_max; ++i) {
        TRY(const auto at, read<ledger::view_record>(ledger::key::view(base->volume, base->name)));
        TRY(const auto parent, read<ledger::volume_record>(ledger::key::volume(base->volume)));
        CHECK_OK(add_segments(parent.id, at.at.sequence, out));
        base = parent.base;
    }
    return out;
}

// A segment that was freed while we looked is no fault.
bool runtime_implementation::still_listed(const ledger::segment_record& segment) {
    const auto now = read<ledger::segment_record>(ledger::key::segment(segment.lineage, segment.number));
    return now ? now->id == segment.id : now.error().code != errc::not_found;
}

result<runtime::check_report> runtime_implementation::check(const std::string& name, std::function<void(std::uint64_t, std::uint64_t)> progress) {
    TRY(const auto record, volume(name));
    TRY(const auto all, segments_of(record));
    check_report out;
    std::mutex mutex;
    std::atomic<std::size_t> next = 0;
    std::uint64_t done = 0;
    const auto work = [&] {
        for (std::size_t i = next++; i < all.size(); i = next++) {
            auto faults = m_layer->verify(all[i]);
            if (!faults.empty() && !still_listed(all[i])) faults.clear();
            std::lock_guard lock(mutex);
            ++out.segments;
            out.fragments += all[i].holders.size();
            out.stored_bytes += ledger::fragment_length(all[i]) * all[i].holders.size();
            for (auto& f : faults) out.faults.push_back(std::move(f));
            ++done;
            if (progress) progress(done, all.size());
        }
    };
    if (progress) progress(0, all.size());
    {
        std::vector<std::jthread> threads;
        for (unsigned i = 1; i < verifiers; ++i) threads.emplace_back(work);
        work();
    }
    return out;
}

}  // namespace cess::client
