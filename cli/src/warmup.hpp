// Reads whole trees of a mount, several files at a time, past the kernel's page cache: what is read stays in the caches of
// the process that serves the mount.
#pragma once

#include <core/base/result.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace cess::cli {

struct warmed {
    std::uint64_t files = 0, bytes = 0, failed = 0;
    std::vector<std::string> problems;  // the first few of those that failed
};

// Does not leave the filesystems that the paths are in, nor follow links. Shows progress on a terminal.
[[nodiscard]] result<warmed> warm_up(const std::vector<std::string>& paths, unsigned threads);

}  // namespace cess::cli
