#include "local_socket.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <limits>

namespace cess::fs::program {
namespace {

using clock = std::chrono::steady_clock;
constexpr std::size_t files_max = 4;
constexpr auto death_max = std::chrono::seconds(10);

// Until the descriptor is ready for `events`, or closed at the other end.
result<void> wait_for(int fd, short events, clock::time_point until) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()).count();
        pollfd wait{fd, events, 0};
        const int n = ::poll(&wait, 1, left > 0 ? static_cast<int>(left) : 0);
        if (n > 0) return {};
        if (n < 0 && errno != EINTR) return errno_error("poll", errno);
        if (n == 0 && left <= 0) return error(errc::timeout, "no answer in time");
    }
}

result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    if (path.size() >= sizeof at.sun_path) return error(errc::name_too_long, path);
    std::memcpy(at.sun_path, path.c_str(), path.size() + 1);
    return at;
}

error closed() { return {errc::unavailable, "the other process has gone"}; }

bool try_again(int number) { return number == EAGAIN || number == EWOULDBLOCK || number == EINTR; }

// The files of one sendmsg or recvmsg.
struct ancillary {
    alignas(cmsghdr) char room[CMSG_SPACE(files_max * sizeof(int))]{};

    void put(msghdr& to, const std::vector<int>& files) {
        to.msg_control = room;
        to.msg_controllen = CMSG_SPACE(files.size() * sizeof(int));
        auto* head = CMSG_FIRSTHDR(&to);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(files.size() * sizeof(int));
        std::memcpy(CMSG_DATA(head), files.data(), files.size() * sizeof(int));
    }
    static void get(msghdr& from, std::vector<descriptor>& files) {
        for (auto* head = CMSG_FIRSTHDR(&from); head; head = CMSG_NXTHDR(&from, head)) {
            if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
            for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= head->cmsg_len; at += sizeof(int)) {
                int fd = -1;
                std::memcpy(&fd, CMSG_DATA(head) + at, sizeof fd);
                files.emplace_back(fd);
            }
        }
    }
};

result<void> send_all(int fd, byte_view text, const std::vector<int>& files, clock::time_point until) {
    for (bool first = true; !text.empty();) {
        CHECK_OK(wait_for(fd, POLLOUT, until));
        iovec part{const_cast<std::byte*>(text.data()), text.size()};
        msghdr head{};
        head.msg_iov = &part;
        head.msg_iovlen = 1;
        ancillary along;
        if (first && !files.empty()) along.put(head, files);
        const auto n = ::sendmsg(fd, &head, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && try_again(errno)) continue;
        if (n < 0) return errno == EPIPE || errno == ECONNRESET ? closed() : errno_error("send", errno);
        first = false;
        text = text.subspan(static_cast<std::size_t>(n));
    }
    return {};
}

result<void> receive_all(int fd, byte_span text, std::vector<descriptor>& files, clock::time_point until) {
    while (!text.empty()) {
        CHECK_OK(wait_for(fd, POLLIN, until));
        iovec part{text.data(), text.size()};
        msghdr head{};
        head.msg_iov = &part;
        head.msg_iovlen = 1;
        ancillary along;
        head.msg_control = along.room;
        head.msg_controllen = sizeof along.room;
        const auto n = ::recvmsg(fd, &head, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0 && try_again(errno)) continue;
        if (n == 0 || (n < 0 && errno == ECONNRESET)) return closed();
        if (n < 0) return errno_error("receive", errno);
        ancillary::get(head, files);
        if (files.size() > files_max || (head.msg_flags & MSG_CTRUNC)) return error(errc::protocol, "too many files with a message");
        text = text.subspan(static_cast<std::size_t>(n));
    }
    return {};
}

}  // namespace

result<local_peer> local_peer::over(descriptor socket) {
    ucred who{};
    socklen_t size = sizeof who;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return errno_error("ask who is there", errno);
    if (who.uid != ::geteuid()) return error(errc::permission, "process " + std::to_string(who.pid) + " is another user's");
    descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, who.pid, 0)));
    if (!process) return errno_error("process " + std::to_string(who.pid), errno);
    local_peer peer(std::move(socket), who.pid, std::move(process));
    if (peer.gone()) return closed();  // else the number is still its own
    return peer;
}

result<local_peer> local_peer::connect(const std::string& path) {
    TRY(const auto at, address_of(path));
    descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) return errno_error("make a socket", errno);
    const timeval patience{10, 0};  // while the queue of those who wait to be heard is full
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0) return errno_error("bound a wait", errno);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
        return errno == ENOENT || errno == ECONNREFUSED ? error(errc::not_found, "nobody listens at " + path)
                                                         : errno_error("connect to " + path, errno);
    return over(std::move(socket));
}

result<void> local_peer::send(byte_view text, const std::vector<int>& files, std::chrono::milliseconds within) {
    const auto until = clock::now() + within;
    if (text.size() > std::numeric_limits<std::uint32_t>::max()) return error(errc::protocol, "a message is too large");
    const auto size = static_cast<std::uint32_t>(text.size());
    std::byte head[sizeof size];
    std::memcpy(head, &size, sizeof size);  // the same machine reads it
    CHECK_OK(send_all(m_socket.get(), head, files, until));
    return send_all(m_socket.get(), text, {}, until);
}

result<local_peer::letter> local_peer::receive(std::size_t size_max, std::chrono::milliseconds within) {
    const auto until = clock::now() + within;
    std::uint32_t size = 0;
    std::byte head[sizeof size];
    letter out;
    CHECK_OK(receive_all(m_socket.get(), head, out.files, until));
    std::memcpy(&size, head, sizeof size);
    if (size > size_max) return error(errc::protocol, "a message of " + std::to_string(size) + " bytes is too large");
    // Grows with what really comes.
    constexpr std::size_t step = 1 * MiB;
    while (out.text.size() < size) {
        const auto before = out.text.size();
        out.text.resize(std::min<std::size_t>(size, before + step));
        CHECK_OK(receive_all(m_socket.get(), byte_span(out.text).subspan(before), out.files, until));
    }
    return out;
}

result<void> local_peer::wait(std::chrono::milliseconds within) const { return wait_for(m_socket.get(), POLLIN, clock::now() + within); }

bool local_peer::gone() const {
    pollfd look{m_socket.get(), POLLRDHUP, 0};
    return ::poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

void local_peer::stop_receiving() noexcept { ::shutdown(m_socket.get(), SHUT_RD); }

void local_peer::ask_to_end() noexcept { ::syscall(SYS_pidfd_send_signal, m_process.get(), SIGTERM, nullptr, 0); }

void local_peer::end_process() noexcept {
    ::syscall(SYS_pidfd_send_signal, m_process.get(), SIGKILL, nullptr, 0);
    (void)wait_for(m_process.get(), POLLIN, clock::now() + death_max);  // one that the kernel holds on to runs no more either
}

result<local_listener> local_listener::open(const std::string& path) {
    TRY(const auto at, address_of(path));
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno_error("replace " + path, errno);
    descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return errno_error("make a socket", errno);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) return errno_error("bind " + path, errno);
    local_listener out(std::move(socket), path);
    struct stat named {};
    if (::lstat(path.c_str(), &named) != 0) return errno_error("look at " + path, errno);
    out.m_device = named.st_dev;
    out.m_inode = named.st_ino;
    if (::chmod(path.c_str(), 0600) != 0) return errno_error("protect " + path, errno);
    if (::listen(out.m_socket.get(), 4) != 0) return errno_error("listen at " + path, errno);
    return out;
}

local_listener::~local_listener() {
    struct stat now {};
    if (!m_socket || ::lstat(m_path.c_str(), &now) != 0) return;
    if (now.st_dev == m_device && now.st_ino == m_inode) ::unlink(m_path.c_str());
}

result<local_peer> local_listener::accept(std::chrono::milliseconds within) {
    CHECK_OK(wait_for(m_socket.get(), POLLIN, clock::now() + within));
    descriptor socket(::accept4(m_socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) return errno == EAGAIN || errno == ECONNABORTED ? error(errc::timeout, "nobody came") : errno_error("accept", errno);
    return local_peer::over(std::move(socket));
}

}  // namespace cess::fs::program
