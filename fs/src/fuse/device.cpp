#include "device.hpp"
#include "face.hpp"

#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace cess::fs {
namespace {

void note_init(face& in, const std::byte* request, std::size_t size) {
    fuse_in_header head;
    fuse_init_in body;
    if (size < sizeof head) return;
    std::memcpy(&head, request, sizeof head);
    if (head.opcode != FUSE_INIT) return;
    std::memset(&body, 0, sizeof body);
    std::memcpy(&body, request + sizeof head, std::min(size - sizeof head, sizeof body));
    in.offered_flags = body.flags;
    in.init_request = head.unique;
}

ssize_t read_request(int fd, void* buffer, std::size_t room, void* userdata) {
    const auto n = ::read(fd, buffer, room);
    if (n > 0) note_init(*static_cast<face*>(userdata), static_cast<const std::byte*>(buffer), static_cast<std::size_t>(n));
    return n;
}

ssize_t answer_init(const face& in, int fd, const iovec* parts) {
    fuse_init_out body;
    std::memcpy(&body, parts[1].iov_base, sizeof body);
    body.flags |= in.offered_flags & FUSE_HANDLE_KILLPRIV_V2;
    iovec changed[2] = {parts[0], {&body, parts[1].iov_len}};
    return ::writev(fd, changed, 2);
}

ssize_t write_answer(int fd, iovec* parts, int count, void* userdata) {
    auto& in = *static_cast<face*>(userdata);
    if (const auto waiting = in.init_request.load(std::memory_order_relaxed); waiting != 0) {
        fuse_out_header head;
        std::memcpy(&head, parts[0].iov_base, sizeof head);
        if (head.unique == waiting) {
            in.init_request = 0;
            if (count == 2 && head.error == 0 && parts[1].iov_len <= sizeof(fuse_init_out) && parts[1].iov_len >= offsetof(fuse_init_out, max_background))
                return answer_init(in, fd, parts);
        }
    }
    return ::writev(fd, parts, count);
}

}  // namespace

result<void> use_own_device_io(fuse_session* session) {
    static constexpr fuse_custom_io io{write_answer, read_request, nullptr, nullptr};
    if (const int failed = fuse_session_custom_io(session, &io, fuse_session_fd(session)); failed != 0)
        return errno_error("take over the FUSE device", -failed);
    return {};
}

}  // namespace cess::fs
