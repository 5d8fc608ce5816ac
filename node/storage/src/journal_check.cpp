// Whether a journal's files still have, on the medium, what was acknowledged.
#include "journal.hpp"

#include <core/os/medium.hpp>

#include <algorithm>

namespace cess::storage {

std::vector<entry_index> journal::files() {
    const std::lock_guard lock(m_mutex);
    std::vector<entry_index> out;
    for (const auto& f : m_files) out.push_back(f.header.first);
    return out;
}

bool journal::damaged() {
    const std::lock_guard lock(m_mutex);
    return m_damage.has_value();
}

// Reads records until `end`; what follows it was never acknowledged. errc::corrupt, errc::not_found, or errc::io
result<std::uint64_t> journal::check_file(const segment_file& f, entry_index end) const {
    const auto path = path_of(f);
    TRY(const auto on, os::open_medium(m_how.disk, path));
    TRY(const auto size, on->size());
    bytes raw(static_cast<std::size_t>(size));
    TRY(const auto got, on->read_at(0, raw));
    raw.resize(got);
    TRY(const auto header, decode_file_header(byte_view(raw).first(std::min(raw.size(), journal_header_size))));
    const auto& known = f.header;
    if (header.journal != known.journal || header.first != known.first || header.previous != known.previous || header.seed != known.seed)
        return error(errc::corrupt, path + " is another file");
    auto at = header.first;
    for (std::size_t offset = journal_header_size; at < end;) {
        const auto rest = byte_view(raw).subspan(std::min(offset, raw.size()));
        const auto head = decode_record_head(rest);
        if (!head || head->total() > rest.size()) return error(errc::corrupt, path + " lacks entry " + std::to_string(at.value));
        TRY(const auto record, decode_record(header.seed, *head, rest.first(journal_record_head), rest.subspan(journal_record_head, head->content_size())));
        if (record.group.first != at) return error(errc::corrupt, path + " lacks entry " + std::to_string(at.value));
        at = end_of(record.group);
        offset += head->total();
    }
    return std::uint64_t{got};
}

// First beside the appends; what looks damaged is looked at again with appends and trims held off, and only that counts.
result<journal::verdict> journal::check(entry_index first) {
    segment_file f;
    {
        const std::lock_guard lock(m_mutex);
        const auto at = std::find_if(m_files.begin(), m_files.end(), [&](const segment_file& s) { return s.header.first == first; });
        if (at == m_files.end() || m_doubtful || m_abandoned) return verdict{};
        if (m_damage) return verdict{0, true};
        f.header = at->header;
        f.end = at->end;
    }
    auto checked = check_file(f, f.end);
    if (checked) return verdict{*checked, false};
    const std::lock_guard lock(m_mutex);
    const auto at = std::find_if(m_files.begin(), m_files.end(), [&](const segment_file& s) { return s.header.first == first; });
    if (at == m_files.end() || m_doubtful || m_abandoned) return verdict{};
    checked = check_file(*at, at->end);
    if (checked) return verdict{*checked, false};
    const auto& why = checked.error();
    if (why != errc::corrupt && why != errc::not_found && why != errc::io) return why;
    m_damage = error(errc::corrupt, "journal file " + path_of(*at) + " is damaged: " + why.what);
    return verdict{0, true};
}

}  // namespace cess::storage
