// The system calls and helpers that take a mount away.
#pragma once

#include <core/base/result.hpp>

#include <string>

namespace cess::fs {

struct detach_options {
    bool lazy = false, force = false;
};
// umount2(2) for root, fusermount3 for others. errc::busy when in use.
[[nodiscard]] result<void> detach_mount(const std::string& directory, detach_options how);

}  // namespace cess::fs
