#include "device.hpp"

#include "snapshots/numbering.hpp"

#include <core/base/log.hpp>

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cess::fs {
namespace {

int device_or(int session_device) noexcept {
    const auto& own = at_device::here();
    return own ? own->get() : session_device;
}

void note_request(face& in, byte_view request) {
    fuse_in_header head;
    fuse_init_in body;
    if (request.size() < sizeof head) return;
    std::memcpy(&head, request.data(), sizeof head);
    if (in.meter) in.meter->received(head.opcode, head.unique);
    if (head.opcode != FUSE_INIT) return;
    std::memset(&body, 0, sizeof body);
    std::memcpy(&body, request.data() + sizeof head, std::min(request.size() - sizeof head, sizeof body));
    in.offered_flags = body.flags;
    in.init_request = head.unique;
    in.agreed.request = to_bytes(request);
}

constexpr std::size_t setxattr_at = sizeof(fuse_in_header);
constexpr std::size_t setxattr_added = sizeof(fuse_setxattr_in) - FUSE_COMPAT_SETXATTR_IN_SIZE;

// libfuse knows the short form of the request only: what the long one adds becomes a bit of its flags. Gives the new size.
std::size_t shorten_setxattr(const face& in, std::byte* request, std::size_t size) {
    fuse_in_header head;
    fuse_setxattr_in body{};
    const bool is_long = in.long_setxattr.load(std::memory_order_relaxed);
    const auto length = is_long ? sizeof body : FUSE_COMPAT_SETXATTR_IN_SIZE;
    if (size < setxattr_at + length) return size;
    std::memcpy(&head, request, sizeof head);
    if (head.opcode != FUSE_SETXATTR) return size;
    std::memcpy(&body, request + setxattr_at, length);
    // A kernel that does not say takes setgid from all but root.
    const bool clear_setgid = is_long ? body.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID : head.uid != 0;
    body.flags &= ~static_cast<std::uint32_t>(setxattr_clear_setgid);
    if (clear_setgid) body.flags |= setxattr_clear_setgid;
    std::memcpy(request + setxattr_at, &body, FUSE_COMPAT_SETXATTR_IN_SIZE);
    if (!is_long) return size;
    auto* const rest = request + setxattr_at + length;
    std::memmove(rest - setxattr_added, rest, size - setxattr_at - length);
    head.len = static_cast<std::uint32_t>(size - setxattr_added);
    std::memcpy(request, &head, sizeof head);
    return size - setxattr_added;
}

ssize_t read_request(int fd, void* buffer, std::size_t room, void* userdata) {
    const auto n = ::read(device_or(fd), buffer, room);
    if (n <= 0) return n;
    auto& in = *static_cast<face*>(userdata);
    auto* const request = static_cast<std::byte*>(buffer);
    note_request(in, {request, static_cast<std::size_t>(n)});
    return static_cast<ssize_t>(shorten_setxattr(in, request, static_cast<std::size_t>(n)));
}

ssize_t answer_init(face& in, int fd, const iovec* parts) {
    fuse_init_out body;
    std::memcpy(&body, parts[1].iov_base, sizeof body);
    body.flags |= in.offered_flags & (FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT);
    in.long_setxattr = body.flags & FUSE_SETXATTR_EXT;
    in.agreed.answer = to_bytes({reinterpret_cast<const std::byte*>(&body), parts[1].iov_len});
    const iovec changed[2] = {parts[0], {&body, parts[1].iov_len}};
    return in.agreeing_again ? static_cast<ssize_t>(parts[0].iov_len + parts[1].iov_len) : ::writev(device_or(fd), changed, 2);
}

bool accepts_init(const fuse_out_header& head, const iovec* parts, int count) {
    return count == 2 && head.error == 0 && parts[1].iov_len <= sizeof(fuse_init_out) &&
           parts[1].iov_len >= offsetof(fuse_init_out, max_background);
}

ssize_t write_answer(int fd, iovec* parts, int count, void* userdata) {
    auto& in = *static_cast<face*>(userdata);
    fuse_out_header head;
    std::memcpy(&head, parts[0].iov_base, sizeof head);
    if (in.meter) {
        const byte_view body = count > 1 ? byte_view(static_cast<const std::byte*>(parts[1].iov_base), parts[1].iov_len) : byte_view();
        in.meter->answered(head.unique, -head.error, body);
    }
    if (const auto waiting = in.init_request.load(std::memory_order_relaxed); waiting != 0) {
        if (head.unique == waiting) {
            in.init_request = 0;
            if (accepts_init(head, parts, count)) return answer_init(in, fd, parts);
            if (in.agreeing_again) return static_cast<ssize_t>(parts[0].iov_len);  // it refuses
        }
    }
    return ::writev(device_or(fd), parts, count);
}

// Only what is in force is offered again, and what libfuse never answers to.
bytes offer_again(const fuse_agreement& before) {
    fuse_init_in offered{};
    fuse_init_out taken{};
    const auto body = byte_view(before.request).subspan(sizeof(fuse_in_header));
    std::memcpy(&offered, body.data(), std::min(body.size(), sizeof offered));
    std::memcpy(&taken, before.answer.data(), std::min(before.answer.size(), sizeof taken));
    offered.flags &= taken.flags | FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT;
    offered.flags2 &= taken.flags2;
    bytes request(sizeof(fuse_in_header) + sizeof offered);
    std::memcpy(request.data(), before.request.data(), sizeof(fuse_in_header));
    std::memcpy(request.data() + sizeof(fuse_in_header), &offered, sizeof offered);
    return request;
}

// How many requests may wait in the background was set once, in the kernel: who serves need not agree.
bool same_promises(bytes a, bytes b) {
    for (auto* each : {&a, &b}) {
        each->resize(sizeof(fuse_init_out));
        std::memset(each->data() + offsetof(fuse_init_out, max_background), 0, 2 * sizeof(std::uint16_t));
    }
    return a == b;
}

bool well_formed(const fuse_agreement& what) {
    if (what.request.size() < sizeof(fuse_in_header) + 16 || what.request.size() > 4096 || what.answer.size() > sizeof(fuse_init_out) ||
        what.answer.size() < offsetof(fuse_init_out, max_background))
        return false;
    fuse_in_header head;
    std::memcpy(&head, what.request.data(), sizeof head);
    return head.opcode == FUSE_INIT && head.unique != 0;
}

}  // namespace

result<void> use_own_device_io(fuse_session* session, int device) {
    static constexpr fuse_custom_io io{write_answer, read_request, nullptr, nullptr};
    if (const int failed = fuse_session_custom_io(session, &io, device); failed != 0) return errno_error("take over the FUSE device", -failed);
    return {};
}

result<void> agree_again(fuse_session* session, face& in, const fuse_agreement& before) {
    if (!well_formed(before)) return error(errc::protocol, "what was agreed on with the kernel cannot be read");
    auto request = offer_again(before);
    in.agreeing_again = true;
    note_request(in, request);
    fuse_buf raw{};
    raw.mem = request.data();
    raw.size = request.size();
    fuse_session_process_buf(session, &raw);
    in.agreeing_again = false;
    if (!same_promises(in.agreed.answer, before.answer))
        return error(errc::unsupported, "the running cessfs promised the kernel something else; unmount, and mount again");
    in.agreed = before;
    return {};
}

device_clone clone_device(fuse_session* of) {
    descriptor own(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
    std::uint32_t session_device = static_cast<std::uint32_t>(fuse_session_fd(of));
    if (own && ::ioctl(own.get(), FUSE_DEV_IOC_CLONE, &session_device) == 0) return std::make_shared<const descriptor>(std::move(own));
    log::warn("fs", "no queue of its own for a thread: {}", std::strerror(errno));
    return nullptr;
}

void measure_request(const request_meter& meter, byte_view request) noexcept {
    fuse_in_header head;
    if (request.size() < sizeof head) return;
    std::memcpy(&head, request.data(), sizeof head);
    meter.received(head.opcode, head.unique);
}

// As the callbacks are registered: aside<…>, and those that call done_later.
bool goes_elsewhere(byte_view request) noexcept {
    fuse_in_header head;
    if (request.size() < sizeof head) return false;
    std::memcpy(&head, request.data(), sizeof head);
    if (head.len != request.size()) return false;
    switch (head.opcode) {
    case FUSE_LSEEK:
    case FUSE_RENAME:
    case FUSE_RENAME2: return true;
    case FUSE_LOOKUP:
    case FUSE_MKDIR:
    case FUSE_RMDIR:
    case FUSE_READLINK:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
    case FUSE_OPEN:
    case FUSE_READ:
    case FUSE_GETATTR:
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR: return is_aside(inode_number{head.nodeid});
    default: return false;
    }
}

}  // namespace cess::fs
