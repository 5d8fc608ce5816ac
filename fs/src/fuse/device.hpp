// How the session reads requests and writes answers: as libfuse would itself, but for what libfuse 3.14 cannot ask the
// kernel for. FUSE_HANDLE_KILLPRIV_V2 makes us clear setuid and setgid on writes; in return the kernel remembers that a
// file has no capabilities, instead of asking for them before every write(2). FUSE_SETXATTR_EXT makes it say whether who sets
// an ACL keeps setgid, which only the kernel knows: it has the caller's groups and capabilities.
#pragma once

#include "face.hpp"

namespace cess::fs {

// In the flags that libfuse hands to the setxattr callback: a bit that setxattr(2) has no use for.
inline constexpr int setxattr_clear_setgid = 1 << 30;

// Reads and writes `device`, which the session owns from now on. REQUIRES: the session is not yet served.
[[nodiscard]] result<void> use_own_device_io(fuse_session* session, int device);

// Brings a session of a mount that is taken over to where the kernel believes it is: libfuse sees the kernel's FUSE_INIT once
// more, and its answer is kept from the kernel. errc::unsupported when we would agree on anything else today.
// REQUIRES: use_own_device_io.
[[nodiscard]] result<void> agree_again(fuse_session* session, face& in, const fuse_agreement& before);

// A queue of its own for a thread; null if the kernel gives none.
[[nodiscard]] device_clone clone_device(fuse_session* of);

// A request that nobody measures yet is measured from now on, by this thread.
void measure_request(const request_meter& meter, byte_view request) noexcept;

// Whether the callback of such a request leaves it to another thread, where it may wait for the kernel's pages or for a snapshot.
[[nodiscard]] bool goes_elsewhere(byte_view request) noexcept;

}  // namespace cess::fs
