// The quotas of directories, in memory: what each allows, and what the inodes of its project use. An inode names its
// project in its record. A project that has ended is still named by some, and counts nothing: so a quota is removed in
// one change, whatever it counted. Thread-safe.
//
// A quota's record in the volume holds absolute counts: whoever changes them keeps others from it from the sum to the end
// of apply(). That lock comes after all inodes'; who only reads does not wait for it.
#pragma once

#include "store.hpp"

#include <map>
#include <mutex>
#include <shared_mutex>
#include <vector>

namespace cess::fs {

// What a change adds to a project's use.
struct use_change {
    std::int64_t bytes = 0, files = 0;
};
inline use_change operator+(use_change a, use_change b) noexcept { return {a.bytes + b.bytes, a.files + b.files}; }
// Of a whole inode.
inline use_change use_of(const format::inode_record& record) noexcept { return {static_cast<std::int64_t>(record.allocated), 1}; }

enum class quota_rule {
    enforced,  // EDQUOT for what grows past its limit
    recorded,  // what is there already is only counted
};

class project_table {
public:
    static constexpr std::size_t projects_max = 4096;

    explicit project_table(store& in) : m_store(in) {}
    [[nodiscard]] answer<void> load();  // before anything else

    // The project itself, or 0 if it has ended or is none.
    [[nodiscard]] project_id live(project_id of) const;
    [[nodiscard]] std::optional<format::quota_record> find(project_id of) const;
    // The first past `after`.
    [[nodiscard]] std::optional<std::pair<project_id, format::quota_record>> next(project_id after) const;
    [[nodiscard]] std::vector<std::pair<project_id, format::quota_record>> all() const;
    // One that is still counting; 0: none is.
    [[nodiscard]] project_id first_counting(project_id after) const;
    [[nodiscard]] std::size_t size() const;

    // Applies a change that makes a project's inodes use more or less, and with it what they use then.
    [[nodiscard]] answer<void> apply(volume::change& change, project_id of, use_change by, quota_rule rule = quota_rule::enforced);

    // Each applies the change given with it. A new project: REQUIRES that nobody knows the number, and the root's lock.
    [[nodiscard]] answer<void> begin(volume::change& change, project_id of, const format::quota_record& record);
    [[nodiscard]] answer<void> set_limits(project_id of, quota_limits to);
    [[nodiscard]] answer<void> set_counted(project_id of);
    [[nodiscard]] answer<void> end(volume::change& change, project_id of);

private:
    struct project {
        std::mutex changing;  // held while a change of the record is applied
        mutable std::mutex mutex;
        format::quota_record record;  // guarded by mutex; changed under both
        bool ended = false;           // guarded by changing

        void set(const format::quota_record& to) {
            const std::lock_guard lock(mutex);
            record = to;
        }
    };
    using project_ptr = std::shared_ptr<project>;

    [[nodiscard]] project_ptr get(project_id of) const;
    template <class Edit>
    [[nodiscard]] answer<void> edit(project_id of, Edit&& how);

    store& m_store;
    mutable std::shared_mutex m_mutex;
    std::map<project_id, project_ptr> m_projects;
};

}  // namespace cess::fs
