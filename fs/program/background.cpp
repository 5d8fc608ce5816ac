#include "background.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace cess::fs::program {
namespace {

constexpr char ready_byte = '\1';
constexpr auto start_deadline = std::chrono::minutes(5);  // each step of a mount has its own, shorter one

void write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const auto n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;  // the parent is gone: nobody to tell
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

// What else was open where we were started would stay busy for as long as the mount is there: the mount itself, perhaps.
void close_inherited(int but) {
    ::close_range(STDERR_FILENO + 1, static_cast<unsigned>(but) - 1, 0);
    ::close_range(static_cast<unsigned>(but) + 1, ~0U, 0);
}

void leave_terminal() {
    ::setsid();
    if (::chdir("/") != 0) std::perror("cessfs: chdir /");
    if (const int null = ::open("/dev/null", O_RDWR); null >= 0) {
        ::dup2(null, STDIN_FILENO);
        ::dup2(null, STDOUT_FILENO);
        ::dup2(null, STDERR_FILENO);
        if (null > STDERR_FILENO) ::close(null);
    }
}

// All that the child says until it is ready or ends.
std::string listen(int fd) {
    std::string said;
    const auto until = std::chrono::steady_clock::now() + start_deadline;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
        if (left <= 0) return "the mount did not work within five minutes";
        pollfd wait{fd, POLLIN, 0};
        if (::poll(&wait, 1, static_cast<int>(left)) < 0 && errno != EINTR) return "poll failed";
        if (!(wait.revents & (POLLIN | POLLHUP))) continue;
        char text[1024];
        const auto n = ::read(fd, text, sizeof text);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return said;
        said.append(text, static_cast<std::size_t>(n));
        if (said.find(ready_byte) != said.npos) return said;
    }
}

}  // namespace

void readiness::ready() {
    if (m_ready) return;
    m_ready = true;
    if (m_fd >= 0) write_all(m_fd, std::string_view(&ready_byte, 1));
    close();
}

void readiness::failed(const error& why) {
    if (m_fd >= 0) write_all(m_fd, why.message());
    else std::fprintf(stderr, "cessfs: %s\n", why.message().c_str());
    close();
}

void readiness::close() {
    if (m_fd >= 0) ::close(m_fd);
    m_fd = -1;
}

int in_background(const char* program, const std::function<int(readiness&)>& body) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        std::fprintf(stderr, "%s: cannot make a pipe\n", program);
        return 1;
    }
    const pid_t child = ::fork();
    if (child < 0) {
        std::fprintf(stderr, "%s: cannot start the daemon\n", program);
        return 1;
    }
    if (child == 0) {
        ::close(ends[0]);
        leave_terminal();
        close_inherited(ends[1]);
        readiness report(ends[1]);
        std::exit(body(report));
    }
    ::close(ends[1]);
    auto said = listen(ends[0]);
    ::close(ends[0]);
    if (!said.empty() && said.back() == ready_byte) return 0;
    if (said.empty()) said = "the daemon died before the mount worked";
    std::fprintf(stderr, "%s: %s\n", program, said.c_str());
    return 1;
}

}  // namespace cess::fs::program
