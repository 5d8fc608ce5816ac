// Opening a journal: what a crash may have left, and what of it counts.
#include "journal.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::storage {
namespace {

// Whether a record that was written after `offset` had become durable can be read past it: then what is wrong at
// `offset` is damage, not the tail of a write that never finished.
//
// Past what is wrong there may be a former life of the file, of whatever bytes somebody chose. Records of this life come
// first and do not overlap, so that who has summed several times the file is among things made to look like records.
bool durable_before(byte_view raw, std::uint64_t offset, std::uint32_t seed) {
    auto budget = 4 * std::uint64_t{raw.size()};
    for (auto at = offset + 8; at + journal_record_head <= raw.size(); at += 8) {
        const auto rest = raw.subspan(static_cast<std::size_t>(at));
        const auto head = decode_record_head(rest);
        if (!head || head->synced <= offset || head->total() > rest.size()) continue;
        if (head->total() > budget) return false;
        budget -= head->total();
        if (decode_record(seed, *head, rest.first(journal_record_head), rest.subspan(journal_record_head, head->content_size()))) return true;
    }
    return false;
}

hash256 chain_of(const journal_ref& name, const stored_group& group, hash256 chain, byte_view payloads) {
    auto index = group.first;
    for (const auto length : group.lengths) {
        chain = chain_hash(name, index, chain, payloads.first(length));
        payloads = payloads.subspan(length);
        index = index.next();
    }
    return chain;
}

result<bytes> read_all(os::file& on) {
    TRY(const auto size, on.size());
    bytes raw(static_cast<std::size_t>(size));
    TRY(const auto got, on.read_at(0, raw));
    raw.resize(got);
    return raw;
}

}  // namespace

result<void> journal::load() {
    const std::lock_guard lock(m_mutex);
    return reload();
}

// REQUIRES: m_mutex
result<void> journal::reload() {
    for (const auto& f : m_files) m_how.space.give_back(f.allocated);
    m_files.clear();
    m_tail.reset();
    m_end = {};
    m_chain = {};
    m_doubtful = true;
    m_unverified = 0;
    m_damage.reset();
    if (m_how.disk.exists(m_how.directory)) {
        // A name that a dying process made or removed may be seen and not yet durable.
        CHECK_OK(m_how.disk.sync_directory(m_how.directory));
        TRY(const auto entries, m_how.disk.list(m_how.directory));
        for (std::size_t i = 0; i < entries.size(); ++i) CHECK_OK(load_file(entries[i].name, i + 1 == entries.size()));
    }
    m_doubtful = false;
    return {};
}

result<void> journal::load_file(const std::string& name, bool last) {
    const auto path = m_how.directory + "/" + name;
    TRY(auto on, m_how.disk.open(path, os::open_mode::read_write));
    bytes raw(journal_header_size);
    TRY(const auto got, on->read_at(0, raw));
    raw.resize(got);
    auto header = decode_file_header(raw);
    if (!header && last && header.error() == errc::corrupt) return forget_headless(path, *on);
    segment_file f;
    if (header) f.header = *header;
    const bool fits = header && f.header.journal == m_how.name && hex_number(f.header.first.value) == name;
    TRY(f.allocated, on->size());
    m_how.space.found(f.allocated);
    f.end = f.header.first;
    f.written = std::min<std::uint64_t>(journal_header_size, f.allocated);
    if (!m_files.empty()) m_files.back().end = f.header.first;
    if (!fits) m_damage = error(errc::corrupt, "journal file " + path + " is damaged");
    m_files.push_back(std::move(f));
    if (!last || m_damage) return {};
    CHECK_OK(scan_tail(m_files.back(), *on));
    m_tail = std::move(on);
    return {};
}

// A file whose creation did not finish: nothing in it was acknowledged. One with a record that was written when the
// file was durable already has lost its header.
result<void> journal::forget_headless(const std::string& path, os::file& on) {
    TRY(const auto raw, read_all(on));
    for (std::size_t at = journal_header_size; at + journal_record_head <= raw.size(); at += 8) {
        const auto head = decode_record_head(byte_view(raw).subspan(at));
        if (!head || head->synced == 0) continue;
        m_damage = error(errc::corrupt, "journal file " + path + " has lost its header");
        return {};
    }
    CHECK_OK(m_how.disk.remove(path));  // should it come back, it is as headless as before; any later file's sync settles it
    if (m_files.empty()) return {};
    auto& f = m_files.back();
    TRY(auto tail, m_how.disk.open(path_of(f), os::open_mode::read_write));
    CHECK_OK(scan_tail(f, *tail));
    m_tail = std::move(tail);
    return {};
}

result<void> journal::scan_tail(segment_file& f, os::file& on) {
    TRY(const auto raw, read_all(on));
    f.end = f.header.first;
    f.written = journal_header_size;
    f.complete = true;
    auto chain = f.header.previous;
    std::uint64_t batch = 0;
    for (;;) {
        const auto rest = byte_view(raw).subspan(static_cast<std::size_t>(std::min<std::uint64_t>(f.written, raw.size())));
        const auto head = decode_record_head(rest);
        if (!head || head->total() > rest.size()) break;
        const auto content = rest.subspan(journal_record_head, head->content_size());
        const auto record = decode_record(f.header.seed, *head, rest.first(journal_record_head), content);
        if (!record || record->group.first != f.end || chain_of(m_how.name, record->group, chain, content.subspan(head->group_size)) != head->chain) break;
        add_mark(f, {f.end, f.written, chain});
        chain = head->chain;
        batch = head->synced;
        f.end = end_of(record->group);
        f.written += head->total();
    }
    m_end = f.end;
    m_chain = chain;
    if (durable_before(raw, f.written, f.header.seed)) {
        m_damage = error(errc::corrupt, "journal file " + path_of(f) + " is damaged at entry " + std::to_string(f.end.value));
        log::error("storage", "{}", m_damage->what);
        return {};
    }
    CHECK_OK(on.write_at(batch, byte_view(raw).subspan(static_cast<std::size_t>(batch), static_cast<std::size_t>(f.written - batch))));
    return settle_tail(f, on, batch);
}

// The last batch was written again: it may have been dropped from memory after a sync that failed, or never synced at
// all. What follows it is cut, so that no remains of it can ever follow something else.
result<void> journal::settle_tail(segment_file& f, os::file& on, std::uint64_t batch) {
    CHECK_OK(on.truncate(f.written));
    CHECK_OK(on.sync());
    m_how.space.give_back(f.allocated - std::min(f.allocated, f.written));
    f.allocated = f.written;
    log::debug("storage", "journal opened volume={} term={} end={} settled={}", m_how.name.volume.brief(), m_how.name.term.value, m_end.value, f.written - batch);
    return {};
}

}  // namespace cess::storage
