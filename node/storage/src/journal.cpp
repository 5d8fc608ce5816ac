#include "journal.hpp"

#include <core/base/log.hpp>

#include <algorithm>
#include <numeric>

namespace cess::storage {
namespace {

constexpr std::uint64_t mark_distance = 64 * KiB;
constexpr std::uint64_t rotate_when_trimmed = 256 * KiB;  // a wholly unneeded file of this size is not kept

}  // namespace

journal::position journal::where() const {
    if (m_files.empty()) return {};
    const auto& front = m_files.front().header;
    return {front.first, m_end, front.previous, m_chain};
}

result<journal::position> journal::state() {
    const std::lock_guard lock(m_mutex);
    if (m_abandoned) return position{};
    if (m_doubtful) CHECK_OK(reload());
    if (m_damage) return *m_damage;
    return where();
}

void journal::add_mark(segment_file& f, const mark& m) {
    if (f.marks.empty() || m.offset >= f.marks.back().offset + mark_distance) f.marks.push_back(m);
}

// ---- reading ---------------------------------------------------------------------------------------------

result<std::optional<journal::step>> journal::read_record(const segment_file& f, os::file& on, std::uint64_t offset) {
    if (&f == &m_files.back() && offset >= f.written) return std::optional<step>{};
    bytes raw(journal_record_head);
    TRY(const auto got, on.read_at(offset, raw));
    raw.resize(got);
    const auto head = decode_record_head(raw);
    if (!head) return std::optional<step>{};
    step out;
    out.head = *head;
    out.content.resize(head->content_size());
    TRY(const auto content, on.read_at(offset + journal_record_head, out.content));
    if (content != out.content.size()) return error(errc::corrupt, "journal record is cut short in " + path_of(f));
    TRY(out.record, decode_record(f.header.seed, *head, raw, out.content));
    return std::optional<step>(std::move(out));
}

// Marks of a file that was not the last one when the journal was opened.
result<void> journal::index_file(segment_file& f, os::file& on) {
    mark at{f.header.first, journal_header_size, f.header.previous};
    f.marks.clear();
    while (at.first < f.end) {  // what follows is nothing, or of another life of the file
        TRY(const auto next, read_record(f, on, at.offset));
        if (!next) break;
        if (next->record.group.first != at.first) return error(errc::corrupt, "journal file " + path_of(f) + " has a gap");
        add_mark(f, at);
        at = {end_of(next->record.group), at.offset + next->head.total(), next->record.chain};
    }
    if (at.first != f.end) return error(errc::corrupt, "journal file " + path_of(f) + " ends at entry " + std::to_string(at.first.value) + " instead of " + std::to_string(f.end.value));
    f.complete = true;
    return {};
}

// The file with this entry, and a place at or before it. REQUIRES: base <= index < end
result<std::pair<journal::segment_file*, journal::mark>> journal::seek(entry_index index) {
    const auto after = std::upper_bound(m_files.begin(), m_files.end(), index, [](entry_index i, const segment_file& f) { return i < f.header.first; });
    auto& f = *std::prev(after);
    if (!f.complete) {
        TRY(const auto on, m_how.disk.open(path_of(f), os::open_mode::read));
        CHECK_OK(index_file(f, *on));
    }
    const auto next = std::upper_bound(f.marks.begin(), f.marks.end(), index, [](entry_index i, const mark& m) { return i < m.first; });
    if (next == f.marks.begin()) return error(errc::corrupt, "journal file " + path_of(f) + " lacks entry " + std::to_string(index.value));
    return std::pair{&f, *std::prev(next)};
}

result<journal_read_reply> journal::read(entry_index from, std::uint32_t bytes_max, bytes& body) {
    const std::lock_guard lock(m_mutex);
    if (m_doubtful && !m_abandoned) CHECK_OK(reload());
    if (m_damage) return *m_damage;
    const auto [base, end, base_chain, chain] = where();
    if (from < base || from > end) return error(errc::out_of_range, "the journal has entries " + std::to_string(base.value) + " to " + std::to_string(end.value));
    journal_read_reply out;
    out.previous = chain;
    const auto limit = std::min<std::uint64_t>(bytes_max, net::body_size_max);
    std::size_t entries = 0;
    auto next = from;
    while (next < end) {
        TRY(auto place, seek(next));
        auto [f, at] = place;
        std::unique_ptr<os::file> opened;
        if (f != &m_files.back()) {
            TRY(opened, m_how.disk.open(path_of(*f), os::open_mode::read));
        }
        auto& on = opened ? *opened : *m_tail;
        const auto file_end = f->end;
        while (next < file_end) {
            TRY(auto got, read_record(*f, on, at.offset));
            if (!got || got->record.group.first != at.first) return error(errc::corrupt, "journal file " + path_of(*f) + " lacks entry " + std::to_string(at.first.value));
            const auto group_end = end_of(got->record.group);
            if (group_end > next) {
                entries += got->record.group.lengths.size();
                if (!out.groups.empty() && (body.size() + got->head.body_size > limit || entries > journal_entries_max)) {
                    out.more = true;
                    return out;
                }
                if (out.groups.empty()) out.previous = at.previous;
                append(body, byte_view(got->content).subspan(got->head.group_size));
                out.groups.push_back(std::move(got->record.group));
                next = group_end;
            }
            at = {group_end, at.offset + got->head.total(), got->record.chain};
        }
    }
    return out;
}

result<hash256> journal::chain_after(entry_index index) {
    TRY(auto place, seek(index));
    auto [f, at] = place;
    std::unique_ptr<os::file> opened;
    if (f != &m_files.back()) {
        TRY(opened, m_how.disk.open(path_of(*f), os::open_mode::read));
    }
    auto& on = opened ? *opened : *m_tail;
    for (;;) {
        TRY(const auto got, read_record(*f, on, at.offset));
        if (!got || got->record.group.first != at.first) return error(errc::corrupt, "journal file " + path_of(*f) + " lacks entry " + std::to_string(at.first.value));
        const auto& group = got->record.group;
        if (index.next() == end_of(group)) return got->record.chain;
        if (index < end_of(group)) {
            auto payloads = byte_view(got->content).subspan(got->head.group_size);
            auto chain = at.previous;
            for (std::size_t i = 0; group.first.value + i <= index.value; ++i) {
                chain = chain_hash(m_how.name, {group.first.value + i}, chain, payloads.first(group.lengths[i]));
                payloads = payloads.subspan(group.lengths[i]);
            }
            return chain;
        }
        at = {end_of(group), at.offset + got->head.total(), got->record.chain};
    }
}

// ---- trimming --------------------------------------------------------------------------------------------

result<void> journal::remove_oldest() {
    m_doubtful = true;  // until the removal is durable
    auto& f = m_files.front();
    if (m_files.size() == 1) m_tail.reset();
    const auto spare = f.allocated >= m_how.file_size ? m_how.spares.place() : std::nullopt;
    CHECK_OK(spare ? m_how.disk.rename(path_of(f), *spare) : m_how.disk.remove(path_of(f)));
    // One by one: were several removed under one sync, a crash could leave a hole between what remains. And not written
    // to before its name here is durably gone.
    CHECK_OK(m_how.disk.sync_directory(m_how.directory));
    if (spare) m_how.spares.add({*spare, f.allocated});
    else m_how.space.give_back(f.allocated);
    m_files.pop_front();
    if (m_files.empty()) {
        m_end = {};
        m_chain = {};
    }
    m_doubtful = false;
    return {};
}

result<void> journal::trim(entry_index needed) {
    const std::lock_guard lock(m_mutex);
    if (m_abandoned) return {};
    if (m_doubtful) CHECK_OK(reload());
    if (m_damage) return *m_damage;
    // A laggard whose entries all lie before what is needed is of no use: it starts anew where the writer says.
    if (m_end < needed) {
        while (!m_files.empty()) CHECK_OK(remove_oldest());
        return {};
    }
    while (m_files.size() > 1 && m_files[1].header.first <= needed) CHECK_OK(remove_oldest());
    if (m_files.size() != 1 || m_end != needed || m_files.front().written < std::min(rotate_when_trimmed, m_how.file_size / 4)) return {};
    m_doubtful = true;
    CHECK_OK(start_file(m_end, m_chain));
    CHECK_OK(m_tail->sync());
    m_doubtful = false;
    return remove_oldest();
}

void journal::abandon() {
    const std::lock_guard lock(m_mutex);
    m_abandoned = true;
    m_tail.reset();
    for (const auto& f : m_files) m_how.space.give_back(f.allocated);
    m_files.clear();
}

}  // namespace cess::storage
