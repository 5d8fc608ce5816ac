// A file descriptor that is closed with its object.
#pragma once

#include <cerrno>
#include <string>
#include <utility>

#include <unistd.h>

namespace cess::cli {

class descriptor {
public:
    explicit descriptor(int fd = -1) noexcept : m_fd(fd) {}
    ~descriptor() { (void)close(); }
    descriptor(descriptor&& from) noexcept : m_fd(std::exchange(from.m_fd, -1)) {}
    descriptor& operator=(descriptor&& from) noexcept {
        std::swap(m_fd, from.m_fd);
        return *this;
    }

    explicit operator bool() const noexcept { return m_fd >= 0; }
    [[nodiscard]] int get() const noexcept { return m_fd; }
    int release() noexcept { return std::exchange(m_fd, -1); }
    // Leads to the very inode, a symbolic link's too: for calls that take no descriptor, or none of O_PATH.
    [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(m_fd); }
    // 0, or an errno: of what was written and could not be kept.
    [[nodiscard]] int close() noexcept {
        const int fd = std::exchange(m_fd, -1);
        return fd >= 0 && ::close(fd) != 0 ? errno : 0;
    }

private:
    int m_fd;
};

}  // namespace cess::cli
