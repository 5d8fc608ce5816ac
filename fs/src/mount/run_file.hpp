// How a mount's daemon tells others that it lives, and how it ended: a file named after the mount's device number, locked
// by the daemon for its life. Who waits for the daemon waits for the lock, and then reads how it went.
#pragma once

#include <core/base/result.hpp>
#include <fs/descriptor.hpp>

#include <chrono>
#include <memory>
#include <string>

namespace cess::fs {

// Held by the daemon.
class run_file {
public:
    [[nodiscard]] static result<std::unique_ptr<run_file>> create(unsigned device_minor);
    ~run_file();  // who watches has the file open: its name can go, unless another mount has the number, and the name, by now
    run_file(const run_file&) = delete;
    run_file& operator=(const run_file&) = delete;

    void ended(const result<void>& how) noexcept;  // the process exits next; only that releases the lock

    // A daemon that replaces another gets its file, and with it the lock: who watches does not notice.
    [[nodiscard]] static std::unique_ptr<run_file> adopt(descriptor file, unsigned device_minor);
    [[nodiscard]] int descriptor_to_lend() const noexcept { return m_fd; }
    void handed_over() noexcept { m_handed_over = true; }  // its name is the other's

private:
    run_file(int fd, std::string path) : m_fd(fd), m_path(std::move(path)) {}
    [[nodiscard]] bool has_its_name() const noexcept;
    int m_fd;
    std::string m_path;
    bool m_ended = false, m_handed_over = false;
};

// Where the daemon of a mount listens for one that is to replace it. The folder is there once a run file is.
[[nodiscard]] std::string replacement_socket(unsigned device_minor);

// Held by who waits: opened before the unmount, since the device number is free for others after it.
class run_file_watch {
public:
    static run_file_watch open(unsigned device_minor);
    ~run_file_watch();
    run_file_watch(run_file_watch&& other) noexcept : m_fd(other.m_fd) { other.m_fd = -1; }
    run_file_watch& operator=(run_file_watch&&) = delete;

    // Until the daemon is gone: its outcome, or errc::timeout. At once without a daemon.
    [[nodiscard]] result<void> wait(std::chrono::milliseconds deadline) const;

private:
    explicit run_file_watch(int fd) : m_fd(fd) {}
    int m_fd;
};

}  // namespace cess::fs
