// What .snapshots shows: the volume's snapshots, which can be entered, taken and deleted there. Thread-safe; all but
// attributes_now() and forget() may wait for the network. Inode numbers are the mount's.
#pragma once

#include "numbering.hpp"
#include "snapshot_trees.hpp"

#include <map>

namespace cess::fs {

class snapshot_directory {
public:
    // `write_back_all`, if there is one, makes the kernel write back all that it caches of the mount.
    snapshot_directory(snapshot_source& from, filesystem& head, settings how, std::size_t open_max, bool read_only);
    void set_write_back_all(std::function<void()> write_back_all);
    void set_acls(bool enforced) { m_trees.set_acls(enforced); }  // before any operation

    // The directory's own, which belongs to whom the head's root belongs.
    [[nodiscard]] attributes attributes_now(const attributes& head_root) const;
    void look();  // again, if that was long ago

    // Empty: there is no such snapshot.
    [[nodiscard]] answer<std::optional<attributes>> lookup(std::string_view name);
    [[nodiscard]] answer<std::vector<listed_entry>> list(entry_cookie after, std::size_t limit);
    // A snapshot's root shows as its change the moment at which it was taken.
    [[nodiscard]] answer<attributes> root_attributes(snapshot_number n);
    // The snapshot's root as the head's is now; nobody has entered it yet.
    [[nodiscard]] answer<attributes> create(std::string_view name, const attributes& head_root);
    [[nodiscard]] answer<void> remove(std::string_view name);

    [[nodiscard]] answer<tree_ptr> tree(snapshot_number n);  // ESTALE when it was deleted
    [[nodiscard]] bool deleted(snapshot_number n);         // some seconds ago, or longer
    [[nodiscard]] bool deleted_by_now(snapshot_number n);  // waits for who knows
    void forget(snapshot_number of, inode_number ino, std::uint64_t references) noexcept;
    [[nodiscard]] std::size_t open_count() const { return m_trees.open_count(); }

private:
    [[nodiscard]] answer<attributes> root_attributes(const numbered_snapshot& of);

    snapshot_source& m_from;
    snapshot_list m_list;
    snapshot_trees m_trees;
    std::function<void()> m_write_back_all;
    std::mutex m_mutex;
    std::map<snapshot_number, attributes> m_roots;  // of snapshots that were entered once: they do not change
};

}  // namespace cess::fs
