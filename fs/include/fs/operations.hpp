// The operations of the filesystem, one class a family. FUSE's glue calls them on the thread that received the
// request; tests call them directly. All are thread-safe, block as the engine does, and change a volume in one atomic
// change each: after a failure nothing has happened, in memory neither.
//
// An operation that returns attributes of an inode to the kernel adds one reference to it; forget() gives them back.
// The caller is trusted to have checked permissions (the mount sets default_permissions).
#pragma once

#include <core/base/bytes.hpp>
#include <fs/types.hpp>

#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

namespace cess::fs {

struct context;
struct inode;

class lookups {
public:
    explicit lookups(context& in) : m_in(in) {}
    // Empty: there is no such name. "." and ".." work on directories (for NFS export). Adds a reference.
    [[nodiscard]] answer<std::optional<attributes>> lookup(inode_number directory, std::string_view name);
    void forget(inode_number ino, std::uint64_t references) noexcept;
    [[nodiscard]] answer<attributes> get_attributes(inode_number ino);
    [[nodiscard]] answer<std::string> read_link(inode_number ino);
    // What statfs(2) tells of a place: within a quota, the quota.
    [[nodiscard]] answer<space> free_space(inode_number ino);

private:
    context& m_in;
};

class attribute_changes {
public:
    explicit attribute_changes(context& in) : m_in(in) {}
    [[nodiscard]] answer<attributes> set(inode_number ino, const attribute_change& what);

private:
    context& m_in;
};

// What a new inode is to be.
struct new_inode {
    std::uint32_t mode = 0;     // type and permissions as wanted
    std::uint32_t umask = 0;    // takes away of them, unless the directory has a default ACL, which then decides
    std::uint64_t rdev = 0;
    caller by;
    std::string_view target;    // of a symbolic link
};

class creation {
public:
    explicit creation(context& in) : m_in(in) {}
    // EEXIST when the name is taken. Adds a reference.
    [[nodiscard]] answer<attributes> make(inode_number directory, std::string_view name, const new_inode& what);
    // Another name for an inode. Adds a reference.
    [[nodiscard]] answer<attributes> link(inode_number ino, inode_number directory, std::string_view name);

private:
    context& m_in;
};

class removal {
public:
    explicit removal(context& in) : m_in(in) {}
    [[nodiscard]] answer<void> unlink(inode_number directory, std::string_view name);
    [[nodiscard]] answer<void> remove_directory(inode_number directory, std::string_view name);

private:
    [[nodiscard]] answer<void> remove(inode_number directory, std::string_view name, bool want_directory);
    context& m_in;
};

enum class rename_mode { replace, keep_target, exchange };

class renaming {
public:
    explicit renaming(context& in) : m_in(in) {}
    [[nodiscard]] answer<void> rename(inode_number from, std::string_view name, inode_number to, std::string_view new_name, rename_mode how);

private:
    context& m_in;
};

class listings {
public:
    explicit listings(context& in) : m_in(in) {}
    // Entries past `after` (0: from "." on), at most `limit`, in an order that never changes: an entry that stays is
    // listed exactly once however the directory changes meanwhile. `referenced` adds a reference to every inode listed
    // but "." and "..", so that its attributes can be had; who does not pass it on to the kernel forgets it.
    [[nodiscard]] answer<std::vector<listed_entry>> list(inode_number directory, entry_cookie after, std::size_t limit, bool referenced);

private:
    context& m_in;
};

// A file somebody has open. Thread-safe; the kernel says when it ends. What is neither in the volume nor in held_file is lost
// when another process takes the mount over.
struct open_file {
    std::shared_ptr<inode> node;
    bool writes = false;
    bool reads = false;
    bool keeps_access_time = false;  // O_NOATIME
};

struct allocation {
    bool keep_size = false, punch_hole = false, zero_range = false;
};

class files {
public:
    explicit files(context& in) : m_in(in) {}
    [[nodiscard]] answer<std::unique_ptr<open_file>> open(inode_number ino, bool writes, bool truncate, bool clear_suid = false);
    void release(std::unique_ptr<open_file> file) noexcept;
    // Fills the front of `out`; fewer bytes than asked for only at the end of the file.
    [[nodiscard]] answer<std::size_t> read(open_file& file, std::uint64_t offset, byte_span out);
    // `clear_suid`: whoever writes is not privileged, and did not go through the page cache.
    [[nodiscard]] answer<void> write(open_file& file, std::uint64_t offset, byte_view data, bool clear_suid);
    // Whether a writer may go on filling the kernel's cache: ENOSPC or EDQUOT while what was refused last still does not fit.
    [[nodiscard]] answer<void> check_room(open_file& file);
    [[nodiscard]] answer<void> allocate(open_file& file, std::uint64_t offset, std::uint64_t length, allocation how);
    // SEEK_DATA (`data`) or SEEK_HOLE.
    [[nodiscard]] answer<std::uint64_t> seek(open_file& file, std::uint64_t offset, bool data);
    // Shares what it copies. The number of bytes copied; 0 at the source's end.
    [[nodiscard]] answer<std::uint64_t> copy(open_file& from, std::uint64_t from_offset, open_file& to, std::uint64_t to_offset, std::uint64_t length);

private:
    [[nodiscard]] answer<bool> store_bytes(inode& node, std::uint64_t offset, byte_view data, bool clear_suid);  // whether the mode changed
    [[nodiscard]] answer<std::uint64_t> share(open_file& from, std::uint64_t from_offset, open_file& to, std::uint64_t to_offset, std::uint64_t length);
    context& m_in;
};

struct listed_quota {
    project_id project;
    quota what;
    std::string directory;  // its path from the root: "/", "/a/b"; of a very long one, the end
};

// Quotas of directories: what a tree may use. Everything below such a directory belongs to its project; no quota lies
// within another's tree. An inode with names in several trees is counted in one of them.
class quotas {
public:
    explicit quotas(context& in) : m_in(in) {}
    // Of the directory itself; empty: it has none.
    [[nodiscard]] answer<std::optional<quota>> get(inode_number directory);
    // Begins a quota, changes its limits, or ends it (no limit). What is in the tree already is counted in the background;
    // until then it does not weigh. EBUSY within or above another quota's tree, ENOSPC when there are too many.
    [[nodiscard]] answer<void> set(inode_number directory, quota_limits to);
    // The same with what `edit` makes of the limits as they are.
    [[nodiscard]] answer<void> edit(inode_number directory, const std::function<answer<void>(quota_limits&)>& edit);
    // The first past `after`; empty: there is none.
    [[nodiscard]] answer<std::optional<listed_quota>> next(project_id after);
    // One bounded step of counting, for who does it himself (settings::count_quotas); false: nothing is left to do.
    [[nodiscard]] answer<bool> count();

private:
    context& m_in;
};

// What loses its last name goes there instead, while the volume has a trash: an ordinary entry of a directory for each hour,
// which may be listed, renamed out and removed. What was there for the days that it keeps things is removed in the background.
class trash {
public:
    explicit trash(context& in) : m_in(in) {}
    [[nodiscard]] bool exists() const noexcept;
    [[nodiscard]] std::uint32_t days() const noexcept;  // 0: what is deleted goes at once, and what is there too
    // EEXIST if the root has an entry of the trash's name.
    [[nodiscard]] answer<void> set_days(std::uint32_t days);
    // Whether a directory is of the trash, where nothing is made.
    [[nodiscard]] answer<bool> holds(inode_number directory) const;
    // One bounded step, for who does it himself (settings::expire_trash); false: nothing more is due.
    [[nodiscard]] answer<bool> expire();

private:
    context& m_in;
};

// The days, in decimal, of the root; not listed.
inline constexpr std::string_view trash_attribute = "cess.trash.days";

inline constexpr std::string_view quota_attribute_prefix = "cess.quota.";

enum class xattr_mode { any, create, replace };

// Quotas too are reached through extended attributes, "cess.quota." and max_bytes, max_files (decimal; 0: no limit),
// bytes, files, state (read only), or after.N: the first quota past number N. They are not listed.
class xattrs {
public:
    explicit xattrs(context& in) : m_in(in) {}
    [[nodiscard]] answer<bytes> get(inode_number ino, std::string_view name);
    [[nodiscard]] answer<std::string> list(inode_number ino);  // names, each ended by a NUL
    // ACLs take any mode. `clear_setgid`: whoever sets an access ACL is neither privileged nor in the file's group.
    [[nodiscard]] answer<void> set(inode_number ino, std::string_view name, byte_view value, xattr_mode how, bool clear_setgid = false);
    [[nodiscard]] answer<void> remove(inode_number ino, std::string_view name);

private:
    context& m_in;
};

}  // namespace cess::fs
