// Exported metadata, line by line, and what its lines must be together. Not thread-safe.
#pragma once

#include "stream_lines.hpp"

#include <core/crypto/crypto.hpp>

namespace cess::fs::importing {

// From anywhere in it, where a line begins.
class stream_reader {
public:
    explicit stream_reader(const stream_source& from, std::uint64_t offset = 0) : m_from(from), m_read(offset), m_offset(offset) {}

    // Without its newline; empty at the end. Valid until the next call.
    [[nodiscard]] result<std::optional<std::string_view>> line();
    // Of a stream that was found whole: empty after its last line.
    [[nodiscard]] result<std::optional<stream_line>> next();
    [[nodiscard]] std::uint64_t offset() const noexcept { return m_offset; }  // of the next line

private:
    const stream_source& m_from;
    std::string m_buffer;
    std::size_t m_at = 0;      // in the buffer
    std::uint64_t m_read;      // up to where the source was read
    std::uint64_t m_offset;
    bool m_at_end = false;     // of the source
};

// Takes one line after the other: their order, what belongs to what, counts and hash.
class stream_rules {
public:
    // The line, if it may stand here.
    [[nodiscard]] result<stream_line> take(std::string_view text);
    [[nodiscard]] result<void> end() const;  // there are no more

private:
    // Lines stand in this order; the last three before the end after each inode's.
    enum class part { nothing, header, quotas, trash, inode, xattrs, entries, extents, end };

    [[nodiscard]] result<void> enter(part next);
    [[nodiscard]] result<void> end_inode() const;
    [[nodiscard]] error broken(const std::string& what) const;
    [[nodiscard]] result<void> follow(const import_header& what);
    [[nodiscard]] result<void> follow(const quota_line& what);
    [[nodiscard]] result<void> follow(const trash_line& what);
    [[nodiscard]] result<void> follow(const inode_line& what);
    [[nodiscard]] result<void> follow(const xattr_line& what);
    [[nodiscard]] result<void> follow(const entry_line& what);
    [[nodiscard]] result<void> follow(const extent_line& what);
    [[nodiscard]] result<void> follow(const end_line& what);

    std::uint64_t m_number = 0;     // of the line, from 1
    crypto::sha256_stream m_hash;
    hash256 m_before;               // of all lines before the end
    part m_part = part::nothing;
    end_line m_counts;
    project_id m_project;
    inode_number m_ino;
    format::inode_record m_record;
    std::string m_xattr;            // the last one's name
    std::uint64_t m_extents_end = 0, m_mapped = 0;
};

}  // namespace cess::fs::importing
