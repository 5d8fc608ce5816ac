// What a miner counts.
#pragma once

#include <core/base/metrics.hpp>
#include <core/base/ids.hpp>
#include <core/base/result.hpp>
#include <node/storage/health.hpp>

#include <map>

namespace cess::storage {

[[nodiscard]] std::string_view name_of(net::method_id method) noexcept;  // "put"; empty for what is no method of ours

class miner_metrics {
public:
    miner_metrics(metrics& in, const node_id& self);

    void request(net::method_id method, const error& answer, std::uint64_t microseconds);
    void refused(errc code);  // a part of a request

    counter& bytes_in;
    counter& bytes_out;
    counter& ranges;         // in requests for several
    counter& syncs;          // of journals
    counter& batches;        // group commits
    counter& batched;        // appends in them
    counter& freed;          // fragments deleted because the ledger freed them
    counter& orphaned;       // provisional fragments deleted because no root lists them
    counter& settled;        // fragments that became committed
    counter& rotten;         // fragments that failed verification
    counter& sweeps;
    counter& sweep_failures;
    counter& scrubbed;        // fragments
    counter& scrubbed_bytes;  // of fragments and journals
    counter& scrub_passes;
    gauge& faults;
    gauge& scrub_permille;
    gauge& scrub_last_pass;  // seconds since 1970
    gauge& used;
    gauge& capacity;
    gauge& fragments;
    gauge& provisional;
    gauge& journals;
    gauge& uploads;
    gauge& sweep_backlog;

private:
    metrics& m_in;
    const std::string m_labels;
    std::map<net::method_id, latency_histogram*> m_latencies;
    std::map<errc, counter*> m_refusals;  // of every code; made at the start, so that reading needs no lock
};

}  // namespace cess::storage
