// Programs that belong to `cess`: beside it (a build folder, /usr/local/bin), else found by name.
#pragma once

#include <filesystem>
#include <string>

namespace cess::cli {

[[nodiscard]] inline std::string sibling(const std::string& name) {
    std::error_code failed;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
    if (failed) return name;
    const auto beside = self.parent_path() / name;
    return std::filesystem::exists(beside, failed) ? beside.string() : name;
}

}  // namespace cess::cli
