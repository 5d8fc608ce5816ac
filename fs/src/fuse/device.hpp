// How the session reads requests and writes answers: as libfuse would itself, but for what libfuse 3.14 cannot ask the
// kernel for. FUSE_HANDLE_KILLPRIV_V2 makes us clear setuid and setgid on writes; in return the kernel remembers that a
// file has no capabilities, instead of asking for them before every write(2).
#pragma once

#include "fuse_api.hpp"

#include <core/base/result.hpp>

namespace cess::fs {

// REQUIRES: the session is mounted and not yet served.
[[nodiscard]] result<void> use_own_device_io(fuse_session* session);

}  // namespace cess::fs
