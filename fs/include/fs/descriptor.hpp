// A file descriptor and its owner.
#pragma once

#include <unistd.h>

#include <utility>

namespace cess::fs {

class descriptor {
public:
    descriptor() = default;
    explicit descriptor(int fd) noexcept : m_fd(fd) {}  // -1: none
    ~descriptor() { reset(); }
    descriptor(descriptor&& other) noexcept : m_fd(std::exchange(other.m_fd, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        if (this != &other) {
            reset();
            m_fd = std::exchange(other.m_fd, -1);
        }
        return *this;
    }

    [[nodiscard]] int get() const noexcept { return m_fd; }
    explicit operator bool() const noexcept { return m_fd >= 0; }
    [[nodiscard]] int release() noexcept { return std::exchange(m_fd, -1); }
    void reset() noexcept {
        if (m_fd >= 0) ::close(m_fd);
        m_fd = -1;
    }

private:
    int m_fd = -1;
};

}  // namespace cess::fs
