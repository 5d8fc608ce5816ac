// Becoming a daemon, with a parent that returns only when the daemon does its work.
#pragma once

#include <core/base/result.hpp>

#include <functional>

namespace cess::fs::program {

// Where a body says that it works, once, or why it does not.
class readiness {
public:
    explicit readiness(int fd) : m_fd(fd) {}  // -1: nobody waits
    ~readiness() { close(); }
    readiness(const readiness&) = delete;
    readiness& operator=(const readiness&) = delete;
    void ready();
    void failed(const error& why);  // one line on stderr if nobody waits
    [[nodiscard]] bool is_ready() const noexcept { return m_ready; }

private:
    void close();
    int m_fd;
    bool m_ready = false;
};

// Calls body in a child of its own session; gives the exit code for the parent: 0 as soon as it is ready, 1 with one
// line on stderr if it never was. REQUIRES: no other thread runs yet.
[[nodiscard]] int in_background(const char* program, const std::function<int(readiness&)>& body);

}  // namespace cess::fs::program
