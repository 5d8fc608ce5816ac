// What the quotas of a volume should count.
#pragma once

#include "format.hpp"

#include <map>
#include <vector>

namespace cess::fs {

struct check_run;

class quota_recount {
public:
    using index = std::uint16_t;  // of a quota; 0: none

    [[nodiscard]] result<void> load(check_run& run);  // first
    [[nodiscard]] bool any() const noexcept { return !m_by_project.empty(); }
    // Of the quota that counts what names the project; 0 also if that has ended.
    [[nodiscard]] index find(project_id project) const;
    void add(const format::inode_record& record);
    // What an entry may lead to. `child_is_plain`: a file with one name that no quota has ever counted.
    struct entry {
        inode_number directory, child;
        index of_directory = 0, of_child = 0;
        bool child_is_directory = false, child_is_plain = false;
    };
    [[nodiscard]] result<bool> allows(check_run& run, const entry& e) const;
    [[nodiscard]] result<void> compare(check_run& run) const;  // when all inodes were added

private:
    struct row {
        project_id project;
        format::quota_record record;
        std::uint64_t bytes = 0, files = 0;
    };
    [[nodiscard]] result<bool> is_counted(check_run& run, index of, inode_number directory) const;

    std::vector<row> m_rows{1};
    std::map<project_id, index> m_by_project;
};

}  // namespace cess::fs
