#include "check_run.hpp"
#include "project_table.hpp"
#include "row_cursor.hpp"

namespace cess::fs {

result<void> quota_recount::load(check_run& run) {
    row_cursor rows(run.of, format::quota_prefix());
    for (;;) {
        TRY(const auto* const at, rows.peek());
        if (!at) return {};
        const auto project = owner_of(at->key);
        auto record = wire::decode<format::quota_record>(at->value);
        if (!project || !record) {
            run.say("erase it", "a quota's record does not decode");
        } else if (m_by_project.size() >= project_table::projects_max) {
            run.say("erase it", "quota {}: is one more than a volume may have", *project);
        } else {
            m_by_project.emplace(project_id{*project}, static_cast<index>(m_rows.size()));
            m_rows.push_back({{*project}, *record});
            ++run.count.quotas;
        }
        rows.pass();
    }
}

quota_recount::index quota_recount::find(project_id project) const {
    const auto it = m_by_project.find(project);
    return it == m_by_project.end() ? index{0} : it->second;
}

void quota_recount::add(const format::inode_record& record) {
    auto& to = m_rows[find(record.project)];
    to.bytes += record.allocated;
    ++to.files;
}

result<bool> quota_recount::is_counted(check_run& run, index of, inode_number directory) const {
    const auto& quota = m_rows[of];
    if (!quota.record.counting) return true;
    TRY(const auto waits, run.of.get(format::uncounted_key(quota.project, directory)));
    return !waits.has_value();
}

result<bool> quota_recount::allows(check_run& run, const entry& e) const {
    if (e.child_is_directory && e.of_child != 0 && m_rows[e.of_child].record.root == e.child) return e.of_directory == 0;  // it begins here
    if (e.of_child == e.of_directory) return true;
    // A file may have been counted where it has, or had, another name.
    if (e.of_child != 0) return !e.child_is_directory;
    if (!e.child_is_directory && !e.child_is_plain) return true;
    TRY(const auto counted, is_counted(run, e.of_directory, e.directory));
    return !counted;
}

result<void> quota_recount::compare(check_run& run) const {
    for (std::size_t i = 1; i < m_rows.size(); ++i) {
        const auto& q = m_rows[i];
        const auto root = q.record.root.value;
        TRY(const auto begins, run.load<format::inode_record>(format::inode_key(q.record.root)));
        if (!begins || !begins->is_directory() || begins->project != q.project)
            run.say("erase it", "quota of directory {}: that directory does not begin it", root);
        if (q.record.bytes != q.bytes)
            run.say("set the count", "quota of directory {}: counts {} bytes, its files have {}", root, q.record.bytes, q.bytes);
        if (q.record.files != q.files)
            run.say("set the count", "quota of directory {}: counts {} files, there are {}", root, q.record.files, q.files);
    }
    return {};
}

}  // namespace cess::fs
