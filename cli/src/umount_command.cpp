#include "context.hpp"
#include "sibling.hpp"

#include <filesystem>
#include <fstream>

#include <unistd.h>

namespace cess::cli {
namespace {

// mountinfo writes blanks and the like as \ooo.
std::string unescaped(const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto octal = [&](std::size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
        if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
            out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

// The type of the topmost filesystem mounted at `directory`; empty if nothing is.
std::string mounted_type(const std::string& directory) {
    std::ifstream table("/proc/self/mountinfo");
    std::string found;
    for (std::string line; std::getline(table, line);) {
        std::istringstream words(line);
        std::string word;
        std::string where;
        for (int i = 0; i < 5; ++i) words >> where;
        while (words >> word && word != "-") {}
        if (words >> word && unescaped(where) == directory) found = word;
    }
    return found;
}

result<int> unmount(const std::string& directory) {
    // A dead mount's directory cannot be resolved any more; its parent can.
    const auto given = std::filesystem::path(directory).lexically_normal();
    std::error_code failed;
    auto parent = std::filesystem::canonical(given.has_filename() ? (given.has_parent_path() ? given.parent_path() : ".") : given.parent_path().parent_path(), failed);
    const auto name = given.has_filename() ? given.filename() : given.parent_path().filename();
    auto absolute = failed ? given.string() : (parent / name).string();
    if (name == "." || name == "..") {
        const auto whole = std::filesystem::canonical(given, failed);
        if (!failed) absolute = whole.string();
    }
    const auto type = mounted_type(absolute);
    if (type.empty()) return error(errc::not_found, directory + " is not mounted");
    if (type != "fuse.cessfs") return error(errc::unsupported, directory + " is a " + type + " mount, not cessfs; use umount");
    const auto helper = sibling("umount.fuse.cessfs");
    ::execlp(helper.c_str(), "umount.fuse.cessfs", absolute.c_str(), static_cast<char*>(nullptr));
    return errno_error("umount.fuse.cessfs (part of cessfs, expected in PATH)", errno);
}

}  // namespace

void add_umount_command(CLI::App& app, context& c) {
    auto* command = app.add_subcommand("umount", "Unmount a filesystem and wait until everything is stored");
    const auto directory = std::make_shared<std::string>();
    command->add_option("directory", *directory, "Where it is mounted")->required()->option_text("DIR");
    command->callback([&c, directory] { c.action = [directory] { return unmount(*directory); }; });
}

}  // namespace cess::cli
