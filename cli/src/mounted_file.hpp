// What a mount tells of a file in it.
#pragma once

#include <core/base/result.hpp>
#include <fs/placement.hpp>

namespace cess::cli {

// Of the inode at `path`, a link itself too; errc::unsupported if no cessfs serves it.
[[nodiscard]] result<fs::placement> placement_from(const std::string& path, std::uint64_t offset);

}  // namespace cess::cli
