#include "miner_metrics.hpp"

namespace cess::storage {
namespace {

constexpr std::pair<net::method_id, std::string_view> methods[] = {
    {method::hello, "hello"},
    {method::health, "health"},
    {method::present, "present"},
    {method::put, "put"},
    {method::put_begin, "put_begin"},
    {method::put_chunk, "put_chunk"},
    {method::put_commit, "put_commit"},
    {method::get, "get"},
    {method::get_ranges, "get_ranges"},
    {method::verify, "verify"},
    {method::settle, "settle"},
    {method::journal_append, "journal_append"},
    {method::journal_fence, "journal_fence"},
    {method::journal_read, "journal_read"},
    {method::journal_trim, "journal_trim"},
    {method::journal_state, "journal_state"},
};

}  // namespace

std::string_view name_of(net::method_id method) noexcept {
    for (const auto& [id, name] : methods)
        if (id == method) return name;
    return {};
}

miner_metrics::miner_metrics(metrics& in, const node_id& self)
    : bytes_in(in.make_counter("cess_storage_received_bytes_total", "Bytes of fragments and journal entries received", "miner=\"" + self.brief() + "\"")),
      bytes_out(in.make_counter("cess_storage_sent_bytes_total", "Bytes of fragments and journal entries sent", "miner=\"" + self.brief() + "\"")),
      ranges(in.make_counter("cess_storage_ranges_total", "Ranges asked for, several in a request", "miner=\"" + self.brief() + "\"")),
      syncs(in.make_counter("cess_storage_journal_syncs_total", "Syncs of journal files", "miner=\"" + self.brief() + "\"")),
      batches(in.make_counter("cess_storage_journal_commits_total", "Group commits", "miner=\"" + self.brief() + "\"")),
      batched(in.make_counter("cess_storage_journal_committed_appends_total", "Appends in group commits", "miner=\"" + self.brief() + "\"")),
      freed(in.make_counter("cess_storage_fragments_freed_total", "Fragments deleted because the ledger freed them", "miner=\"" + self.brief() + "\"")),
      orphaned(in.make_counter("cess_storage_fragments_orphaned_total", "Provisional fragments deleted because no root lists them", "miner=\"" + self.brief() + "\"")),
      settled(in.make_counter("cess_storage_segments_settled_total", "Segments found committed in the ledger", "miner=\"" + self.brief() + "\"")),
      rotten(in.make_counter("cess_storage_fragments_rotten_total", "Fragments that failed verification", "miner=\"" + self.brief() + "\"")),
      sweeps(in.make_counter("cess_storage_sweeps_total", "Rounds of the sweeper", "miner=\"" + self.brief() + "\"")),
      sweep_failures(in.make_counter("cess_storage_sweep_failures_total", "Rounds of the sweeper that failed", "miner=\"" + self.brief() + "\"")),
      scrubbed(in.make_counter("cess_storage_scrubbed_fragments_total", "Fragments read and checked in the background", "miner=\"" + self.brief() + "\"")),
      scrubbed_bytes(in.make_counter("cess_storage_scrubbed_bytes_total", "Bytes read and checked in the background", "miner=\"" + self.brief() + "\"")),
      scrub_passes(in.make_counter("cess_storage_scrub_passes_total", "Passes over the whole store since the start", "miner=\"" + self.brief() + "\"")),
      faults(in.make_gauge("cess_storage_faults", "Damaged or missing fragments and damaged journals, known now", "miner=\"" + self.brief() + "\"")),
      scrub_permille(in.make_gauge("cess_storage_scrub_permille", "How far the pass under way is, in thousandths", "miner=\"" + self.brief() + "\"")),
      scrub_last_pass(in.make_gauge("cess_storage_scrub_last_pass_timestamp_seconds", "When the last whole pass ended; 0: never", "miner=\"" + self.brief() + "\"")),
      used(in.make_gauge("cess_storage_used_bytes", "Bytes of files, and promised to uploads", "miner=\"" + self.brief() + "\"")),
      capacity(in.make_gauge("cess_storage_capacity_bytes", "Bytes it will hold", "miner=\"" + self.brief() + "\"")),
      fragments(in.make_gauge("cess_storage_fragments", "Fragments held", "miner=\"" + self.brief() + "\"")),
      provisional(in.make_gauge("cess_storage_provisional_segments", "Segments with provisional fragments", "miner=\"" + self.brief() + "\"")),
      journals(in.make_gauge("cess_storage_journals", "Journals held", "miner=\"" + self.brief() + "\"")),
      uploads(in.make_gauge("cess_storage_uploads", "Unfinished uploads", "miner=\"" + self.brief() + "\"")),
      sweep_backlog(in.make_gauge("cess_storage_sweep_backlog", "Freed segments waiting for their horizon, and provisional ones to be looked up", "miner=\"" + self.brief() + "\"")),
      m_in(in), m_labels("miner=\"" + self.brief() + "\"") {
    for (const auto& [id, name] : methods)
        m_latencies[id] = &m_in.make_histogram("cess_storage_request_seconds", "Requests by method", m_labels + ",method=\"" + std::string(name) + "\"");
    for (std::uint16_t code = 1; code <= static_cast<std::uint16_t>(errc::no_attribute); ++code) {
        const auto which = static_cast<errc>(code);
        m_refusals[which] = &m_in.make_counter("cess_storage_refusals_total", "Requests refused by reason", m_labels + ",reason=\"" + std::string(to_string(which)) + "\"");
    }
}

void miner_metrics::request(net::method_id method, const error& answer, std::uint64_t microseconds) {
    if (const auto at = m_latencies.find(method); at != m_latencies.end()) at->second->observe_us(microseconds);
    refused(answer.code);
}

void miner_metrics::refused(errc code) {
    if (const auto at = m_refusals.find(code); at != m_refusals.end()) at->second->add();
}

}  // namespace cess::storage
