// A conversation between two processes of one user on one machine: whole messages over a unix socket, each with a bound and
// a deadline, and open files that go along.
#pragma once

#include <core/base/bytes.hpp>
#include <core/base/result.hpp>
#include <fs/descriptor.hpp>

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace cess::fs::program {

class local_peer {
public:
    // errc::permission: it is another user's. errc::unavailable: it is gone already.
    [[nodiscard]] static result<local_peer> over(descriptor socket);
    [[nodiscard]] static result<local_peer> connect(const std::string& path);  // errc::not_found: nobody listens

    struct letter {
        bytes text;
        std::vector<descriptor> files;
    };
    // errc::unavailable: the other one has closed, or died. errc::timeout, errc::protocol.
    [[nodiscard]] result<void> send(byte_view text, const std::vector<int>& files, std::chrono::milliseconds within);
    [[nodiscard]] result<letter> receive(std::size_t size_max, std::chrono::milliseconds within);
    [[nodiscard]] result<void> wait(std::chrono::milliseconds within) const;  // until something came, or it has gone
    [[nodiscard]] bool gone() const;  // it has closed, or died
    // What has come by now is the last that can: later messages fail at the sender.
    void stop_receiving() noexcept;

    [[nodiscard]] pid_t pid() const noexcept { return m_pid; }
    void ask_to_end() noexcept;   // SIGTERM, to no other process that got its number
    void end_process() noexcept;  // kills it; when this returns, it does nothing any more

private:
    local_peer(descriptor socket, pid_t pid, descriptor process) : m_socket(std::move(socket)), m_pid(pid), m_process(std::move(process)) {}
    descriptor m_socket;
    pid_t m_pid;
    descriptor m_process;
};

class local_listener {
public:
    // Takes the place of a socket that somebody left there. The path must be short enough for the kernel.
    [[nodiscard]] static result<local_listener> open(const std::string& path);
    ~local_listener();  // the path goes, unless another listens there by now
    local_listener(local_listener&& other) noexcept = default;
    local_listener& operator=(local_listener&&) = delete;

    // errc::timeout: nobody came.
    [[nodiscard]] result<local_peer> accept(std::chrono::milliseconds within);

private:
    local_listener(descriptor socket, std::string path) : m_socket(std::move(socket)), m_path(std::move(path)) {}
    descriptor m_socket;
    std::string m_path;
    dev_t m_device = 0;  // of what the path names
    ino_t m_inode = 0;
};

}  // namespace cess::fs::program
