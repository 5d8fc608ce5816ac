#include "rehearsal.hpp"

#include <cerrno>
#include <exception>

#include <sys/wait.h>
#include <unistd.h>

namespace cess::blockdev {
namespace {

// On the pipe: the code, then the text.
void report(int fd, const result<void>& answer) {
    const auto code = answer ? errc::ok : answer.error().code;
    auto text = answer ? std::string() : answer.error().what.substr(0, 2000);
    text.insert(0, reinterpret_cast<const char*>(&code), sizeof code);
    (void)!::write(fd, text.data(), text.size());  // less than PIPE_BUF: whole or not at all
}

result<void> read_report(int fd) {
    std::string text(4096, '\0');
    std::size_t have = 0;
    for (;;) {
        const auto n = ::read(fd, text.data() + have, text.size() - have);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        have += static_cast<std::size_t>(n);
        if (have == text.size()) break;
    }
    errc code{};
    if (have < sizeof code) return error(errc::io, "the check before the start died");
    text.copy(reinterpret_cast<char*>(&code), sizeof code);
    if (code == errc::ok) return {};
    return error(code, text.substr(sizeof code, have - sizeof code));
}

}  // namespace

result<void> in_child(const std::function<result<void>()>& what) {
    int ends[2];
    if (::pipe(ends) != 0) return errno_error("pipe", errno);
    const auto child = ::fork();
    if (child < 0) {
        const auto failed = errno_error("fork", errno);
        ::close(ends[0]);
        ::close(ends[1]);
        return failed;
    }
    if (child == 0) {
        ::close(ends[0]);
        result<void> answer = error(errc::io, "out of memory");
        try {
            answer = what();
        } catch (const std::exception& e) {
            answer = error(errc::io, e.what());
        }
        report(ends[1], answer);
        ::_exit(0);
    }
    ::close(ends[1]);
    auto answer = read_report(ends[0]);
    ::close(ends[0]);
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {}
    return answer;
}

}  // namespace cess::blockdev
