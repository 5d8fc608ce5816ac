// All that a mount shows: the head and, below .snapshots in its root, the volume's snapshots, each a filesystem of its
// own; .stats; and the head's trash below .trash. Takes the mount's inode numbers (snapshots/numbering.hpp), finds whose each is, and
// answers in the mount's numbers.
//
// These three are found by name and not listed, so that no walk of the tree enters them; their names are reserved. Nothing that
// is asked of the head waits for a snapshot. What is asked of others may: FUSE's own threads are not for that.
#pragma once

#include "snapshots/snapshot_directory.hpp"
#include "stats_file.hpp"

#include <fs/kernel_state.hpp>

namespace cess::fs {

inline constexpr std::string_view snapshots_name = ".snapshots";
inline constexpr std::string_view stats_name = ".stats";

// A file somebody has open, and the filesystem it is in, which lives as long. One in a snapshot that another process had
// open before (mount_tree::reopen) is opened when it is used first.
struct mounted_file {
    const inode_number ino;  // the mount's
    filesystem* of = nullptr;
    tree_ptr snapshot;  // null: of the head
    std::unique_ptr<open_file> file;
    std::atomic<bool> opened{false};  // the three above are there, and stay
    std::mutex opening;
    std::string text;  // of .stats, which has nothing of the above

    ~mounted_file() {
        if (file) of->files.release(std::move(file));
    }
    explicit mounted_file(inode_number named) : ino(named) {}
    explicit mounted_file(std::string stats) : ino(stats_inode), text(std::move(stats)) {}
    mounted_file(inode_number named, filesystem& in, tree_ptr from, std::unique_ptr<open_file> from_there) : ino(named) {
        set(in, std::move(from), std::move(from_there));
    }
    void set(filesystem& in, tree_ptr from, std::unique_ptr<open_file> from_there) noexcept {
        of = &in;
        snapshot = std::move(from);
        file = std::move(from_there);
        opened.store(true, std::memory_order_release);
    }
    mounted_file(const mounted_file&) = delete;
    mounted_file& operator=(const mounted_file&) = delete;
};

class mount_tree {
public:
    explicit mount_tree(filesystem& head) : m_head(head) {}
    // Shows snapshots, or .stats, unless the root has an entry of that name from before: that one wins. `how`: of each that is open.
    void show(snapshot_source& from, settings how, std::size_t open_max, bool read_only);
    void show_stats(const metrics& of, caller owner, timestamp now);

    void set_acls(bool enforced);  // what was agreed with the kernel; before any operation

    [[nodiscard]] filesystem& head() noexcept { return m_head; }
    [[nodiscard]] snapshot_directory* snapshots() noexcept { return m_snapshots ? &*m_snapshots : nullptr; }

    [[nodiscard]] answer<std::optional<attributes>> lookup(inode_number directory, std::string_view name);
    // What a name leads to may change by itself: the kernel is to ask each time.
    [[nodiscard]] bool changes_alone(inode_number directory, std::string_view name);
    void forget(inode_number ino, std::uint64_t references) noexcept;
    [[nodiscard]] answer<attributes> get_attributes(inode_number ino);
    [[nodiscard]] answer<space> free_space(inode_number ino);  // for all that is in the mount; of a quota's tree, what that leaves
    [[nodiscard]] answer<std::string> read_link(inode_number ino);
    [[nodiscard]] answer<attributes> set_attributes(inode_number ino, const attribute_change& what);

    // A directory in .snapshots takes one.
    [[nodiscard]] answer<attributes> make(inode_number directory, std::string_view name, const new_inode& what);
    [[nodiscard]] answer<attributes> link(inode_number ino, inode_number directory, std::string_view name);
    [[nodiscard]] answer<void> unlink(inode_number directory, std::string_view name);
    [[nodiscard]] answer<void> remove_directory(inode_number directory, std::string_view name);  // in .snapshots: deletes one
    [[nodiscard]] answer<void> rename(inode_number from, std::string_view name, inode_number to, std::string_view new_name, rename_mode how);
    [[nodiscard]] answer<std::vector<listed_entry>> list(inode_number directory, entry_cookie after, std::size_t limit, bool referenced);

    [[nodiscard]] answer<std::unique_ptr<mounted_file>> open(inode_number ino, bool writes, bool truncate, bool clear_suid);
    // What another process had open, which served the mount before. Waits for no snapshot.
    [[nodiscard]] answer<std::unique_ptr<mounted_file>> reopen(const held_file& what);
    [[nodiscard]] answer<std::size_t> read(mounted_file& file, std::uint64_t offset, byte_span out);
    [[nodiscard]] answer<void> write(mounted_file& file, std::uint64_t offset, byte_view data, bool clear_suid);
    [[nodiscard]] answer<void> check_room(mounted_file& file);
    [[nodiscard]] answer<void> allocate(mounted_file& file, std::uint64_t offset, std::uint64_t length, allocation how);
    [[nodiscard]] answer<std::uint64_t> seek(mounted_file& file, std::uint64_t offset, bool data);
    [[nodiscard]] answer<std::uint64_t> copy(mounted_file& from, std::uint64_t from_offset, mounted_file& to, std::uint64_t to_offset,
                                             std::uint64_t length);
    [[nodiscard]] answer<void> sync(inode_number ino);

    [[nodiscard]] answer<bytes> get_xattr(inode_number ino, std::string_view name);
    [[nodiscard]] answer<std::string> list_xattrs(inode_number ino);
    [[nodiscard]] answer<void> set_xattr(inode_number ino, std::string_view name, byte_view value, xattr_mode how, bool clear_setgid);
    [[nodiscard]] answer<void> remove_xattr(inode_number ino, std::string_view name);

private:
    struct place {  // an inode, and the filesystem it is in for as long as this lives
        filesystem& of;
        tree_ptr snapshot;
        inode_number ino;
    };
    [[nodiscard]] answer<place> find(inode_number ino);
    [[nodiscard]] answer<filesystem*> writable(inode_number ino);  // the head, if it is of that
    [[nodiscard]] bool is_free(std::string_view name, std::string_view instead);  // in the head's root; says so if not
    [[nodiscard]] bool reserved(inode_number directory, std::string_view name) const noexcept;
    [[nodiscard]] bool is_trash(inode_number directory, std::string_view name) const noexcept;
    [[nodiscard]] answer<void> admit_entry(inode_number directory);  // EPERM in the trash
    [[nodiscard]] answer<attributes> directory_attributes();
    // Calls f(filesystem, inner number); ESTALE if the snapshot was deleted, whatever else went wrong for that.
    template <class F>
    [[nodiscard]] auto in_tree(inode_number ino, F f) -> decltype(f(std::declval<place&>()));
    template <class F>
    [[nodiscard]] auto in_file(mounted_file& file, F f) -> decltype(f());
    [[nodiscard]] answer<void> require_open(mounted_file& file);
    [[nodiscard]] bool lost(const tree_ptr& snapshot, posix_error why);

    filesystem& m_head;
    std::optional<snapshot_directory> m_snapshots;
    std::optional<stats_file> m_stats;
    bool m_read_only = false;
};

}  // namespace cess::fs
