// The one door to the disk for everything that must survive a power cut: fragments, journals, the validator's
// log. Tests put a disk behind it that forgets and tears what was not synced (tests/support/faulty_disk.hpp).
//
// Durability contract, as POSIX gives it: data is durable after `sync` on its file; a name (created, renamed,
// removed) is durable after `sync_directory` on its directory. Nothing else is.
// Blocking; thread-safe for different files, and for read/write at different ranges of one file.
#pragma once

#include <core/base/bytes.hpp>

#include <memory>
#include <string>
#include <vector>

namespace cess::os {

class file {
public:
    virtual ~file() = default;
    // Reads up to out.size() bytes; fewer only at the end of the file.
    virtual result<std::size_t> read_at(std::uint64_t offset, byte_span out) = 0;
    // What is in memory, from the front: fewer bytes, or none, where the medium would have to be waited for.
    virtual result<std::size_t> read_at_once(std::uint64_t, byte_span) { return std::size_t{0}; }
    virtual result<void> write_at(std::uint64_t offset, byte_view data) = 0;
    virtual result<void> truncate(std::uint64_t size) = 0;
    virtual result<void> sync() = 0;  // fdatasync
    virtual result<std::uint64_t> size() = 0;
    // A hint: nobody is going to read this soon. What of it is in memory and on stable storage may go.
    virtual void let_go(std::uint64_t, std::uint64_t) {}  // offset, length
};

enum class open_mode { read, create_new, read_write };  // create_new fails with errc::exists

struct directory_entry {
    std::string name;
    bool is_directory = false;
};
struct space {
    std::uint64_t total = 0;
    std::uint64_t available = 0;
};

class file_system {
public:
    virtual ~file_system() = default;
    virtual result<std::unique_ptr<file>> open(const std::string& path, open_mode mode) = 0;
    virtual result<void> rename(const std::string& from, const std::string& to) = 0;  // replaces `to` atomically
    virtual result<void> remove(const std::string& path) = 0;
    virtual result<void> make_directories(const std::string& path) = 0;  // with parents, each made durable in its parent
    virtual result<void> sync_directory(const std::string& path) = 0;
    virtual result<std::vector<directory_entry>> list(const std::string& path) = 0;
    virtual result<space> statistics(const std::string& path) = 0;
    virtual bool exists(const std::string& path) = 0;
};

[[nodiscard]] file_system& posix_file_system();

// Exclusive advisory lock on a directory for the life of the object ("is another process running on it?").
class directory_lock {
public:
    static result<std::unique_ptr<directory_lock>> take(const std::string& directory);  // errc::busy names the holder's pid
    ~directory_lock();

private:
    explicit directory_lock(int fd) : m_fd(fd) {}
    int m_fd;
};

// Writes path atomically and durably: temporary file, sync, rename, sync of the directory. Mode 0600 if `secret`.
result<void> write_file_durably(file_system& on, const std::string& path, byte_view data);
result<bytes> read_file(file_system& on, const std::string& path, std::uint64_t size_max);

}  // namespace cess::os
