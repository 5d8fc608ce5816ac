// Makes the kernel write a file's dirty pages back, without letting go of them.
//
// Asking for it through the FUSE device would block in the kernel, where no signal reaches, with the device held open: were the
// daemon killed then, nobody would answer those writes and nobody end the connection. So a thread that has nothing open but the
// file itself asks, and when the others are gone the kernel aborts the connection and all that waits for it.
#pragma once

#include <fs/types.hpp>

namespace cess::fs {

// EPERM: this way is not to be had: the daemon may not open files by their number (that takes CAP_DAC_READ_SEARCH), the kernel knows
// no such file, `directory` is no longer the mount of this device, or the kernel is older than Linux 6.16 and would not wait.
// Any thread; REQUIRES: others take the writes.
[[nodiscard]] answer<void> write_pages_back(const std::string& directory, unsigned device_minor, inode_number ino, std::uint64_t generation);

}  // namespace cess::fs
