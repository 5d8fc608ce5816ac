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
    [[nodiscard]] answer<space> free_space();

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
    std::uint32_t mode = 0;     // type and permissions, the umask applied
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

// A file somebody has open. Thread-safe; the kernel says when it ends.
struct open_file {
    std::shared_ptr<inode> node;
    bool writes = false;
    std::atomic<bool> told{false};  // of changes that were lost; once
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
    // Whether a writer may go on filling the kernel's cache: ENOSPC while what was refused last still does not fit.
    [[nodiscard]] answer<void> check_room(open_file& file);
    // close(2): EIO once when changes of this file were lost.
    [[nodiscard]] answer<void> flush(open_file& file);
    [[nodiscard]] answer<void> sync(inode_number ino);
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

enum class xattr_mode { any, create, replace };

class xattrs {
public:
    explicit xattrs(context& in) : m_in(in) {}
    [[nodiscard]] answer<bytes> get(inode_number ino, std::string_view name);
    [[nodiscard]] answer<std::string> list(inode_number ino);  // names, each ended by a NUL
    [[nodiscard]] answer<void> set(inode_number ino, std::string_view name, byte_view value, xattr_mode how);
    [[nodiscard]] answer<void> remove(inode_number ino, std::string_view name);

private:
    context& m_in;
};

}  // namespace cess::fs
