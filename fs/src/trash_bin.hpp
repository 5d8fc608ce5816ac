// Where files go that lose their last name while the volume has a trash: into a directory of their own for each hour, as
// ordinary entries, in the change that takes the name. After their days there they are removed as anybody would.
//
// The trash is the directory of a number of its own, made when it is wanted first; no entry leads there. A directory in it
// holds what was deleted in one hour, under the names DIRECTORY-INODE-NAME.
#pragma once

#include "background_steps.hpp"
#include "inode.hpp"

#include <functional>
#include <memory>
#include <string_view>

namespace cess::fs {

struct context;

class trash_bin {
public:
    trash_bin(context& in, bool in_background);

    [[nodiscard]] answer<void> load();  // before anything else
    void start() noexcept;              // removes what is due from now on; REQUIRES: a volume that can be written
    [[nodiscard]] bool exists() const noexcept { return m_exists; }  // may hold something, though nothing more gets there
    [[nodiscard]] std::uint32_t days() const noexcept { return m_days; }
    [[nodiscard]] answer<void> set_days(std::uint32_t days);

    // The directory for what loses its last name in another one; null: that goes at once. By the time it is locked it may have
    // been removed. REQUIRES: no inode locked.
    [[nodiscard]] answer<inode_ptr> place_for(const inode& directory);
    // The trash, an hour in it, or a directory that was deleted then: nothing is made there.
    [[nodiscard]] answer<bool> holds(inode_number directory);
    [[nodiscard]] answer<bool> expire();  // a bounded step; false: nothing more is due
    // Is told of each name that expire() took, the last of its file, without locks. May be set while that runs, which may use the one before once more.
    using removal_listener = std::function<void(inode_number directory, const std::string& name, inode_number ino)>;
    void on_removed(removal_listener tell);

private:
    [[nodiscard]] answer<void> make_directory(volume::change& change);
    [[nodiscard]] answer<inode_ptr> make_hour(const std::string& name);
    [[nodiscard]] bool due(std::string_view hour) const;
    [[nodiscard]] answer<void> empty(inode_number hour, const std::string& name);
    [[nodiscard]] bool has_names(inode_number ino);
    void tell_removed(inode_number directory, const std::string& name, inode_number ino);

    context& m_in;
    std::atomic<std::uint32_t> m_days{0};
    std::atomic<bool> m_exists{false};
    std::mutex m_mutex;      // before any inode's
    inode_ptr m_hour;        // what was deleted last went there; guarded by m_mutex
    std::string m_hour_name;
    std::mutex m_listener_mutex;  // a leaf
    std::shared_ptr<const removal_listener> m_listener;
    background_steps m_expiry;  // last: its thread uses the others
};

// An entry in the trash.
struct trashed {
    std::string name;
    format::dirent_record entry;
};
// In place of its last name, in `from`, the node gets one in the trash. REQUIRES: exclusive locks of the node and the hour.
[[nodiscard]] trashed move_to_trash(volume::change& change, const inode& hour, format::inode_record& next_hour, const inode& node,
                                    format::inode_record& next, inode_number from, std::string_view name, timestamp now);

}  // namespace cess::fs
