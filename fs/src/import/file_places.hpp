// Gives the files of a volume the places that a stream names, out of those that the volume's files have.
//
// What a segment still holds of a place that no file names is not known: cleaning may have left it out. So each range is shared from
// a file that names it. The files' own blobs stay as they are until all ranges have been found and shared to blobs aside; then each
// file that differs takes what stands aside for it.
#pragma once

#include "changes.hpp"
#include "stream_reader.hpp"

#include <map>

namespace cess::fs::importing {

// A file's extents as the stream gives them. Those of a file of many are read again each time, and not kept.
class file_extents {
public:
    explicit file_extents(const stream_source& from) : m_from(from) {}
    void begin() {
        m_kept.clear();
        m_count = 0;
    }
    // `at`: where its line begins.
    void add(const volume::placed_range& each, std::uint64_t at);
    [[nodiscard]] result<void> for_each(const std::function<result<void>(const volume::placed_range&)>& each) const;

private:
    static constexpr std::size_t kept_max = 4096;

    const stream_source& m_from;
    std::vector<volume::placed_range> m_kept;
    std::uint64_t m_count = 0, m_first = 0;  // where the first one's line begins
};

class file_places {
public:
    // `wanted_max`: ranges looked for by one walk through the volume's extent map, which they take memory for (200 bytes each).
    explicit file_places(volume::volume& in, std::size_t wanted_max = std::size_t{1} << 18) : m_in(in), m_changes(in), m_wanted_max(wanted_max) {}

    // Of each file, in order. Nothing that files name is changed.
    [[nodiscard]] result<void> prepare(inode_number ino, const file_extents& extents);
    [[nodiscard]] result<void> end_prepare();
    // Then of each file again, in order.
    [[nodiscard]] result<void> settle(inode_number ino, const file_extents& extents);
    [[nodiscard]] result<void> end_settle();
    [[nodiscard]] std::uint64_t moved() const noexcept { return m_moved; }

private:
    struct place {
        volume_id lineage;
        segment_number segment;
        std::uint64_t at = 0;
        friend auto operator<=>(const place&, const place&) = default;
    };
    struct wanted_range {
        place from;
        std::uint64_t length = 0;
        inode_number ino;
        std::uint64_t offset = 0;
    };
    struct named_range {  // where a file names a place
        std::uint64_t length = 0;
        volume::blob_id blob = 0;
        std::uint64_t offset = 0;
    };
    using named_ranges = std::map<place, named_range>;  // never overlapping

    [[nodiscard]] result<bool> is_at(inode_number ino, const volume::placed_range& wanted);
    [[nodiscard]] result<bool> is_as_described(inode_number ino, const file_extents& extents);
    [[nodiscard]] result<void> find_wanted();
    [[nodiscard]] result<void> look_at_blob(volume::blob_id blob, const std::map<place, std::uint64_t>& needs, named_ranges& found);
    static void note(const volume::placed_range& piece, volume::blob_id blob, const std::map<place, std::uint64_t>& needs, named_ranges& found);
    [[nodiscard]] result<void> share_wanted(const wanted_range& wanted, const named_ranges& found);
    [[nodiscard]] result<void> drop_before(volume::blob_id end);

    volume::volume& m_in;
    changes m_changes;
    const std::size_t m_wanted_max;
    std::vector<wanted_range> m_wanted;
    std::optional<volume::blob_id> m_blob;  // the next of the volume's to be settled
    bool m_settling = false;
    std::uint64_t m_moved = 0;
};

}  // namespace cess::fs::importing
