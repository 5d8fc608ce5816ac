#include "stream_reader.hpp"

#include "project_table.hpp"

#include <core/base/log.hpp>

namespace cess::fs::importing {
namespace {

constexpr std::size_t read_at_once = 256 * KiB;

}  // namespace

result<std::optional<std::string_view>> stream_reader::line() {
    for (auto searched = m_at;;) {
        if (const auto end = m_buffer.find('\n', searched); end != m_buffer.npos) {
            const auto out = std::string_view(m_buffer).substr(m_at, end - m_at);
            m_at = end + 1;
            m_offset += out.size() + 1;
            return std::optional(out);
        }
        if (m_buffer.size() - m_at > line_max) return error(errc::invalid, "the stream has a line of more than " + format_size(line_max));
        if (m_at_end && m_at == m_buffer.size()) return std::optional<std::string_view>();
        if (m_at_end) return error(errc::invalid, "the stream is not complete: it ends within a line");
        m_buffer.erase(0, m_at);
        m_at = 0;
        const auto had = searched = m_buffer.size();
        m_buffer.resize(had + read_at_once);
        TRY(const auto got, m_from(m_read, std::as_writable_bytes(std::span(m_buffer).subspan(had))));
        m_buffer.resize(had + got);
        m_read += got;
        m_at_end = got < read_at_once;
    }
}

result<std::optional<stream_line>> stream_reader::next() {
    TRY(const auto text, line());
    if (!text) return std::optional<stream_line>();
    TRY(auto parsed, parse_line(*text));
    return std::optional(std::move(parsed));
}

// ---- rules ---------------------------------------------------------------------------------------------------

error stream_rules::broken(const std::string& what) const { return {errc::invalid, fmt::format("the stream's line {}: {}", m_number, what)}; }

result<stream_line> stream_rules::take(std::string_view text) {
    ++m_number;
    if (m_part == part::end) return broken("comes after the end");
    auto parsed = parse_line(text);
    if (!parsed) return error(parsed.error().code, broken(parsed.error().what).what);
    if (std::holds_alternative<end_line>(*parsed)) m_before = m_hash.finish();
    m_hash.update(as_view(text));
    m_hash.update(as_view("\n"));
    CHECK_OK(std::visit([this](const auto& what) { return follow(what); }, *parsed));
    return parsed;
}

result<void> stream_rules::end() const {
    if (m_part == part::end) return {};
    return error(errc::invalid, "the stream is not complete: it has no line that says where it ends");
}

result<void> stream_rules::enter(part next) {
    const bool of_inode = next > part::inode && next < part::end;
    const bool again = next == m_part && next != part::header && next != part::trash;
    const bool from_inode = next == part::inode && m_part > part::inode;
    const bool first = m_part == part::nothing && next != part::header;
    if (first) return broken("is not the header of a filesystem's metadata");
    if ((next < m_part && !from_inode) || (next == m_part && !again) || (of_inode && m_part < part::inode)) return broken("stands out of order");
    m_part = next;
    return {};
}

result<void> stream_rules::follow(const import_header&) { return enter(part::header); }

result<void> stream_rules::follow(const quota_line& what) {
    CHECK_OK(enter(part::quotas));
    if (what.project <= m_project) return broken("a quota stands out of order, or twice");
    if (++m_counts.quotas > project_table::projects_max) return broken("is one quota more than a volume may have");
    m_project = what.project;
    return {};
}

result<void> stream_rules::follow(const trash_line&) { return enter(part::trash); }

result<void> stream_rules::end_inode() const {
    if (m_ino.value == 0 || !m_record.is_regular() || m_mapped == m_record.allocated) return {};
    return broken(fmt::format("inode {} before it has {} bytes allocated and extents of {}", m_ino.value, m_record.allocated, m_mapped));
}

result<void> stream_rules::follow(const inode_line& what) {
    CHECK_OK(enter(part::inode));
    if (what.ino <= m_ino) return broken(fmt::format("inode {} stands out of order, or twice", what.ino.value));
    CHECK_OK(end_inode());
    ++m_counts.inodes;
    m_ino = what.ino;
    m_record = what.record;
    m_xattr.clear();
    m_extents_end = m_mapped = 0;
    return {};
}

result<void> stream_rules::follow(const xattr_line& what) {
    CHECK_OK(enter(part::xattrs));
    if (what.of != m_ino) return broken("belongs to another inode than the one before it");
    if (what.name <= m_xattr) return broken("an attribute stands out of order, or twice");
    m_xattr = what.name;
    ++m_counts.xattrs;
    return {};
}

result<void> stream_rules::follow(const entry_line& what) {
    CHECK_OK(enter(part::entries));
    if (what.in != m_ino) return broken("belongs to another inode than the one before it");
    if (!m_record.is_directory() || m_record.nlink == 0) return broken("is a name in what is no directory, or was removed");
    ++m_counts.entries;
    return {};
}

result<void> stream_rules::follow(const extent_line& what) {
    CHECK_OK(enter(part::extents));
    if (what.of != m_ino) return broken("belongs to another inode than the one before it");
    if (!m_record.is_regular()) return broken("is an extent of what is no file");
    if (what.place.offset < m_extents_end) return broken("an extent stands out of order, or overlaps another");
    if (what.place.end() > m_record.size) return broken("an extent reaches past the file's end");
    m_extents_end = what.place.end();
    m_mapped += what.place.length;
    ++m_counts.extents;
    return {};
}

result<void> stream_rules::follow(const end_line& what) {
    CHECK_OK(enter(part::end));
    CHECK_OK(end_inode());
    const auto& c = m_counts;
    if (what.inodes != c.inodes || what.entries != c.entries || what.xattrs != c.xattrs || what.extents != c.extents || what.quotas != c.quotas)
        return broken("counts other lines than there are");
    if (what.hash && *what.hash != m_before) return broken("the hash is of another stream (if this one was edited on purpose, leave sha256 out)");
    return {};
}

}  // namespace cess::fs::importing
