// Appending to a journal: judging a group's place, and group commit.
#include "journal.hpp"

#include <core/base/log.hpp>
#include <core/crypto/crypto.hpp>

#include <algorithm>
#include <array>
#include <numeric>

namespace cess::storage {
namespace {

constexpr std::uint64_t extend_min = 64 * KiB;
constexpr std::uint64_t extend_max = 1 * MiB;
constexpr std::uint64_t page_size = 4096;
constexpr unsigned verify_every = 64;  // groups

result<void> check_shape(const append_request& what, byte_view body) {
    if (what.lengths.empty() || what.lengths.size() > journal_entries_max) return error(errc::invalid, "a group has 1 to 65536 entries");
    const auto sum = std::accumulate(what.lengths.begin(), what.lengths.end(), std::uint64_t{0});
    if (sum != body.size()) return error(errc::invalid, "the group's lengths do not add up to its body");
    if (body.size() > net::body_size_max) return error(errc::too_large, "group");
    if (what.first.value > ~std::uint64_t{0} - what.lengths.size()) return error(errc::invalid, "entry index out of bounds");
    return {};
}

// Chain hashes after each entry.
std::vector<hash256> chains_of(const append_request& what, byte_view body) {
    std::vector<hash256> chains;
    chains.reserve(what.lengths.size());
    auto chain = what.previous;
    auto index = what.first;
    for (const auto length : what.lengths) {
        chain = chain_hash(what.journal, index, chain, body.first(length));
        body = body.subspan(length);
        index = index.next();
        chains.push_back(chain);
    }
    return chains;
}

}  // namespace

void journal::commit(std::vector<pending>& batch, const std::function<term_number()>& fence) {
    const std::lock_guard lock(m_mutex);
    std::stable_sort(batch.begin(), batch.end(), [](const pending& a, const pending& b) { return a.what.first < b.what.first; });
    const auto all_fail = [&](const error& why) {
        for (auto& p : batch) p.answer = why;
    };
    if (m_abandoned || fence() > m_how.name.term) return all_fail(error(errc::fenced, "a higher term owns the volume"));
    if (m_doubtful)
        if (auto known = reload(); !known) return all_fail(known.error());
    if (m_damage) return all_fail(*m_damage);

    std::vector<staged> groups;
    auto end = m_end;
    auto chain = m_chain;
    std::optional<error> failed;
    const auto flush = [&] {
        if (groups.empty() || failed) return;
        if (auto written = write(groups); !written) failed = written.error();
        groups.clear();
    };
    for (auto& p : batch) {
        // What repeats a part of this batch is compared with what is on disk: so write first.
        if (end > m_end && p.what.first < end) flush();
        if (failed) break;
        auto placed = m_files.empty() && groups.empty() ? place(p, {}, {}) : place(p, end, chain);
        if (!placed) {
            p.answer = placed.error();
        } else if (*placed) {
            end = end_of((*placed)->record.group);
            chain = (*placed)->record.chain;
            groups.push_back(std::move(**placed));
        }
    }
    flush();
    for (auto& p : batch) {
        if (!p.answer) continue;
        if (failed) p.answer = *failed;
        else p.answer = m_end;
    }
}

// Who may append is known by the session key already, which the caller's connection has proved, and what is appended by
// the chain. The signature is for whoever reads the journal later; a writer that signs wrongly harms only its own volume, of
// which then nothing since its last root can be recovered. So now and then one is looked at, to find such a writer out while
// it still owns the volume: to verify each took a third of an append.
result<void> journal::check_signature(const pending& p, const hash256& chain) {
    if (m_unverified != 0 && m_unverified < verify_every) {
        ++m_unverified;
        return {};
    }
    const auto& what = p.what;
    const entry_index last{what.first.value + what.lengths.size() - 1};
    if (!crypto::verify(p.session, group_digest(what.journal, last, chain).view(), what.sig))
        return error(errc::permission, "the group is not signed by the lease's session key");
    m_unverified = 1;
    return {};
}

// The group to write, or nothing if there is none to write (it is here already, or there is a gap before it).
result<std::optional<journal::staged>> journal::place(pending& p, entry_index end, const hash256& chain) {
    const auto& what = p.what;
    CHECK_OK(check_shape(what, p.body));
    const bool empty = m_files.empty() && end == entry_index{};
    if (empty) {
        if (what.first != what.begin) return std::optional<staged>{};
        if (what.begin > p.begin_max)
            return error(errc::lease_required, "this miner has seen no root that makes entries below " + std::to_string(what.begin.value) + " unneeded");
        if (what.begin == entry_index{} && !what.previous.is_zero()) return error(errc::conflict, "nothing precedes entry 0");
    } else if (what.first > end) {
        return std::optional<staged>{};
    }
    auto chains = chains_of(what, p.body);
    if (chains.back() != what.chain) return error(errc::invalid, "the group's bytes are not what its writer chained");
    if (!empty && what.first < end) return place_overlap(p, end, chain, std::move(chains));
    if (!empty && what.previous != chain) return error(errc::conflict, "entry " + std::to_string(what.first.value) + " follows another history");
    CHECK_OK(check_signature(p, chains.back()));
    staged out;
    out.record.group = {what.first, what.lengths, what.sig};
    out.record.chain = chains.back();
    out.previous = what.previous;
    out.payloads = std::move(p.body);
    return std::optional<staged>(std::move(out));
}

// A part of the group is here: it must be the same. The rest of it is appended; the signature covers the last entry's
// chain hash, so it holds for the rest too.
result<std::optional<journal::staged>> journal::place_overlap(const pending& p, entry_index end, const hash256& chain, std::vector<hash256> chains) {
    const auto& what = p.what;
    const entry_index group_end{what.first.value + what.lengths.size()};
    if (group_end <= m_files.front().header.first) return std::optional<staged>{};  // trimmed: it was here
    const entry_index common{std::min(group_end, end).value - 1};
    const auto ours = common.next() == end ? result<hash256>(chain) : chain_after(common);
    if (!ours) return ours.error();
    const auto known = static_cast<std::size_t>(common.value - what.first.value) + 1;
    if (*ours != chains[known - 1]) return error(errc::conflict, "another entry is at " + std::to_string(common.value));
    if (group_end <= end) return std::optional<staged>{};
    CHECK_OK(check_signature(p, chains.back()));
    const auto skipped = std::accumulate(what.lengths.begin(), what.lengths.begin() + static_cast<std::ptrdiff_t>(known), std::uint64_t{0});
    staged out;
    out.record.group = {end, {what.lengths.begin() + static_cast<std::ptrdiff_t>(known), what.lengths.end()}, what.sig};
    out.record.chain = chains.back();
    out.previous = *ours;
    out.payloads = to_bytes(byte_view(p.body).subspan(static_cast<std::size_t>(skipped)));
    return std::optional<staged>(std::move(out));
}

// Whether the last file has records and cannot take so many bytes more.
bool journal::full(std::uint64_t more) const {
    const auto& f = m_files.back();
    return f.end > f.header.first && f.written + more > m_how.file_size;
}

// What the records of all groups take, about.
std::size_t journal::room_for(const std::vector<staged>& groups) {
    std::size_t sum = page_size;
    for (const auto& g : groups) sum += journal_record_head + 128 + sizeof(std::uint32_t) * g.record.group.lengths.size() + g.payloads.size();
    return sum;
}

// All groups with as few writes and syncs as there are files.
result<void> journal::write(const std::vector<staged>& groups) {
    m_doubtful = true;  // until it is done
    bytes run;
    run.reserve(room_for(groups));
    auto synced = m_files.empty() ? std::uint32_t{0} : static_cast<std::uint32_t>(m_files.back().written);
    for (const auto& g : groups) {
        auto record = g.record;
        const auto about = journal_record_head + g.payloads.size();
        if (m_files.empty() || full(about + run.size())) {
            if (!run.empty()) CHECK_OK(write_run(run, synced));
            CHECK_OK(start_file(record.group.first, g.previous));
            synced = 0;  // the header becomes durable with the first records
        }
        auto& f = m_files.back();
        record.synced = synced;
        add_mark(f, {record.group.first, f.written + run.size(), g.previous});
        encode_record(run, f.header.seed, record, g.payloads);
        f.end = end_of(record.group);
        m_end = f.end;
        m_chain = record.chain;
    }
    CHECK_OK(write_run(run, synced));
    m_doubtful = false;
    return {};
}

result<void> journal::write_run(bytes& run, std::uint32_t& synced) {
    auto& f = m_files.back();
    const auto size = run.size();
    space_claim claim;  // of nothing while the file has room, however full the disk is
    if (const auto more = growth(size)) {
        TRY(claim, m_how.space.claim(more));
    }
    // Whole pages: the rest of the last one would be read from the disk first, if it is a spare file's and not in memory.
    const auto page_end = std::min((f.written + size + page_size - 1) / page_size * page_size, f.allocated);
    if (page_end > f.written + size) run.resize(static_cast<std::size_t>(page_end - f.written), std::byte{0});
    CHECK_OK(m_tail->write_at(f.written, run));
    CHECK_OK(zero_ahead(size));
    claim.keep();
    CHECK_OK(m_tail->sync());
    if (m_how.synced) m_how.synced();
    f.written += size;
    synced = static_cast<std::uint32_t>(f.written);
    run.clear();
    return {};
}

// By how much the file grows when so many bytes are appended: to their end, and by zeros past it. A sync of bytes that
// the file already has need not touch the file system's own log (measured on ext4: twice as many synced appends a
// second). A run as large as the zeros pays for that log itself.
std::uint64_t journal::growth(std::uint64_t run) const {
    const auto& f = m_files.back();
    const auto end = f.written + run;
    if (end <= f.allocated) return 0;
    return end - f.allocated + (run >= extend_max ? 0 : std::clamp(f.allocated, extend_min, extend_max));
}

result<void> journal::zero_ahead(std::uint64_t run) {
    static const std::array<std::byte, extend_max> zeros{};
    auto& f = m_files.back();
    const auto end = f.written + run;
    const auto until = f.allocated + growth(run);
    if (until > end && end > f.allocated) CHECK_OK(m_tail->write_at(end, byte_view(zeros).first(until - end)));
    f.allocated = until;
    return {};
}

result<void> journal::start_file(entry_index first, const hash256& previous) {
    if (m_files.empty()) CHECK_OK(m_how.disk.make_directories(m_how.directory));
    segment_file f;
    f.header = {m_how.name, first, previous, static_cast<std::uint32_t>(m_how.random.next())};
    f.end = first;
    f.complete = true;
    const auto spare = m_how.spares.take();
    auto on = spare ? reuse_file(f, *spare) : make_file(f);
    if (!on && spare) m_how.spares.discard(*spare);
    if (!on) return on.error();
    m_files.push_back(std::move(f));
    m_tail = std::move(*on);
    return {};
}

result<std::unique_ptr<os::file>> journal::make_file(segment_file& f) {
    TRY(auto claim, m_how.space.claim(extend_min));
    TRY(auto on, m_how.disk.open(path_of(f), os::open_mode::create_new));
    auto front = encode_file_header(f.header);
    front.resize(extend_min, std::byte{0});
    CHECK_OK(on->write_at(0, front));
    CHECK_OK(m_how.disk.sync_directory(m_how.directory));
    f.allocated = extend_min;
    claim.keep();
    return on;
}

// The header is durable before the file has its name here: an old one under this name would be damage. Old records are
// none: the checksum of each was started with another seed.
result<std::unique_ptr<os::file>> journal::reuse_file(segment_file& f, const spare_files::spare& from) {
    TRY(auto on, m_how.disk.open(from.path, os::open_mode::read_write));
    bytes old(journal_header_size);
    TRY(const auto got, on->read_at(0, old));
    old.resize(got);
    // Of no record in the file, of whatever life: seeds of one file only count up.
    if (const auto before = decode_file_header(old)) f.header.seed = before->seed + 1;
    CHECK_OK(on->write_at(0, encode_file_header(f.header)));
    CHECK_OK(on->sync());
    CHECK_OK(m_how.disk.rename(from.path, path_of(f)));
    CHECK_OK(m_how.disk.sync_directory(m_how.directory));
    f.allocated = from.size;
    return on;
}

}  // namespace cess::storage
