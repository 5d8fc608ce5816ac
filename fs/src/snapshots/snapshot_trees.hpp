// The snapshots that are open in this process, each a read-only filesystem: few, the least recently used closed first, and
// opened again when somebody asks for one of its inodes. Thread-safe; one is opened under no lock. Who holds a tree_ptr, such
// as an open file, keeps it open.
#pragma once

#include "snapshot_list.hpp"

#include <fs/filesystem.hpp>

#include <condition_variable>
#include <list>
#include <set>

namespace cess::fs {

struct snapshot_tree {
    snapshot_number number;
    std::shared_ptr<volume::reader> data;
    std::unique_ptr<filesystem> files;
};
using tree_ptr = std::shared_ptr<snapshot_tree>;

class snapshot_trees {
public:
    snapshot_trees(snapshot_source& from, settings how, std::size_t open_max) : m_from(from), m_how(std::move(how)), m_open_max(open_max) {}
    // Closes all, also what files that the kernel never released still hold: it was cut off, and nobody asks for them any more.
    ~snapshot_trees();
    snapshot_trees(const snapshot_trees&) = delete;
    snapshot_trees& operator=(const snapshot_trees&) = delete;

    void set_acls(bool enforced) { m_how.acls = enforced; }  // before any operation

    // ENFILE while all that may be open, or that there is memory for, are in use. ESTALE if the name leads to another
    // snapshot by now. EOVERFLOW if its inodes cannot be numbered.
    [[nodiscard]] answer<tree_ptr> get(const numbered_snapshot& which);
    [[nodiscard]] tree_ptr find_open(snapshot_number n) const;  // or null
    void close(snapshot_number n);  // as soon as nobody uses it
    [[nodiscard]] std::size_t open_count() const;

private:
    [[nodiscard]] tree_ptr claim(snapshot_number n, std::unique_lock<std::mutex>& lock);
    [[nodiscard]] bool make_room(std::size_t most, std::unique_lock<std::mutex>& lock);
    [[nodiscard]] answer<tree_ptr> open(const numbered_snapshot& which);
    [[nodiscard]] result<std::shared_ptr<volume::reader>> open_data(const std::string& name);

    snapshot_source& m_from;
    settings m_how;
    const std::size_t m_open_max;
    mutable std::mutex m_mutex;
    std::condition_variable m_opened;
    std::list<tree_ptr> m_recent;       // front: newest
    std::list<std::weak_ptr<snapshot_tree>> m_leaving;  // closed while they were in use
    std::set<snapshot_number> m_opening;
};

}  // namespace cess::fs
