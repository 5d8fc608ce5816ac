// Reading for checks: what the medium holds, past the page cache, and without pushing out of it what others use.
#pragma once

#include <core/os/file_system.hpp>

namespace cess::os {

// Read-only; otherwise as file_system::open. Of a disk that is not the operating system's, its own open.
[[nodiscard]] result<std::unique_ptr<file>> open_medium(file_system& on, const std::string& path);

}  // namespace cess::os
