// /proc/self/mountinfo: what is mounted where.
#pragma once

#include <core/base/result.hpp>

#include <optional>
#include <string>
#include <vector>

namespace cess::fs {

inline constexpr std::string_view mount_type = "fuse.cessfs";

struct mount_row {
    unsigned major = 0, minor = 0;
    std::string directory, options, type, source;
};

[[nodiscard]] result<std::vector<mount_row>> read_mountinfo();
[[nodiscard]] std::vector<mount_row> parse_mountinfo(const std::string& text);  // rows that do not parse are left out

// What is mounted on a directory (the topmost); empty if nothing is.
[[nodiscard]] std::optional<mount_row> find_mount(const std::vector<mount_row>& rows, const std::string& directory);

}  // namespace cess::fs
