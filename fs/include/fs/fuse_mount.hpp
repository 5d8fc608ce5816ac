// A filesystem mounted through FUSE. mount() makes the mount point work; serve() answers the kernel, on several threads of
// its own, until somebody unmounts; ask_to_leave() unmounts from within, as a signal handler's thread does.
#pragma once

#include <fs/filesystem.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace cess::fs {

struct mount_options {
    std::string directory;        // absolute, without symbolic links
    std::string source;           // what /proc/mounts shows: the volume
    bool read_only = false;
    bool allow_other = false;
    bool debug = false;           // every request on stderr
    double entry_timeout = 3600;  // seconds for which the kernel may trust a name …
    double attr_timeout = 3600;   // … and attributes, before it asks again
    unsigned threads = 16;
    std::vector<std::string> words;  // mount(8)'s own, passed on: nosuid, nodev, noexec, sync, …
};

// Can something of ours be mounted there? One line if not: no such directory, already a mount point.
[[nodiscard]] result<void> check_mount_point(const std::string& directory);

class fuse_mount {
public:
    // One line of error: no such directory, not permitted, already a mount point.
    [[nodiscard]] static result<std::unique_ptr<fuse_mount>> mount(filesystem& of, mount_options how);
    ~fuse_mount();  // unmounts, if still mounted; REQUIRES: serve() is not running

    // Blocks; `ready` is called when the kernel and we have agreed, and the mount answers.
    [[nodiscard]] result<void> serve(std::function<void()> ready);

    // Unmounts while serve() goes on, so that the kernel can write back what it holds. If the mount stays busy for
    // `patience`, writes back and cuts it off: open files get ENOTCONN. Any thread but serve()'s.
    void ask_to_leave(std::chrono::milliseconds patience);

    [[nodiscard]] unsigned device_minor() const noexcept;  // of the mount's anonymous device: its name in run files

private:
    struct parts;
    explicit fuse_mount(std::unique_ptr<parts> all);
    std::unique_ptr<parts> m_parts;
};

}  // namespace cess::fs
