// Each inode with what belongs to it alone: its record, extended attributes, link target, mark of an orphan, and data.
#pragma once

#include "check_run.hpp"
#include "row_cursor.hpp"

namespace cess::fs {

class record_check {
public:
    explicit record_check(check_run& in);
    [[nodiscard]] result<void> run();

private:
    // What was found of the inode that is looked at.
    struct findings {
        std::uint32_t xattrs = 0;
        std::uint8_t acls = 0;
        std::optional<std::size_t> target;
        bool orphan = false;
        bool data = false;
    };
    [[nodiscard]] result<std::optional<std::uint64_t>> next_owner();
    [[nodiscard]] result<void> look_at(inode_number ino);
    [[nodiscard]] result<bool> take(row_cursor& from, inode_number ino, const std::function<void(const volume::key_value&)>& with);
    void check_acl(inode_number ino, std::string_view name, byte_view value, const std::optional<format::inode_record>& record,
                   findings& found);
    void check_rest(inode_number ino, const findings& found);
    void check_record(inode_number ino, const format::inode_record& record, const findings& found);
    void check_attributes(inode_number ino, const format::inode_record& record, const findings& found);
    void check_target(inode_number ino, const format::inode_record& record, const findings& found);
    [[nodiscard]] result<void> check_data(inode_number ino, const format::inode_record& record, bool any);

    check_run& m_in;
    inode_number m_number_end{~std::uint64_t{0}};  // the superblock's
    row_cursor m_inodes, m_xattrs, m_targets, m_orphans;
    blob_cursor m_blobs;
};

// What a row of no inode's says: the superblock, numbers of snapshots, and kinds of rows that nobody knows.
[[nodiscard]] result<void> check_volume_rows(check_run& in);

}  // namespace cess::fs
