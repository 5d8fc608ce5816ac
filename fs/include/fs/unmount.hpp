// Unmounting, and knowing what is mounted. A plain umount(2) of a FUSE filesystem returns while its daemon still writes;
// this waits until the daemon has made everything durable, given the volume back and gone.
#pragma once

#include <core/base/result.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace cess::fs {

struct unmount_options {
    std::chrono::milliseconds deadline = std::chrono::minutes(2);  // for the daemon to finish
    bool lazy = false;   // detach now, end when the last user leaves; does not wait
    bool force = false;  // cut off: what waits for the daemon gets an error
};

// errc::not_found: not a mounted filesystem of ours. errc::busy: in use. errc::timeout: unmounted, but the daemon has not
// finished in time (it goes on). errc::io: the daemon says that it could not make everything durable.
[[nodiscard]] result<void> unmount(const std::string& directory, const unmount_options& how);

struct mounted {
    std::string volume, directory, options;
    unsigned device_minor = 0;
};
[[nodiscard]] result<std::vector<mounted>> list_mounts();

}  // namespace cess::fs
