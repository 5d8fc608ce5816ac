#include "mountinfo.hpp"

#include <cstdio>
#include <fstream>
#include <sstream>

namespace cess::fs {
namespace {

// The kernel writes space, tab, newline and backslash as \ooo.
std::string unescape(const std::string& text) {
    const auto octal = [](char c) { return c >= '0' && c <= '7'; };
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) && octal(text[i + 3])) {
            out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
            i += 3;
        } else {
            out.push_back(text[i]);
        }
    }
    return out;
}

// "36 35 98:0 /root /dir options [optional fields] - type source superoptions"
std::optional<mount_row> parse_row(const std::string& line) {
    std::istringstream in(line);
    std::string id, parent, device, root, directory, options, field;
    if (!(in >> id >> parent >> device >> root >> directory >> options)) return std::nullopt;
    while (in >> field && field != "-") {
    }
    mount_row row;
    if (!(in >> row.type >> row.source)) return std::nullopt;
    if (std::sscanf(device.c_str(), "%u:%u", &row.major, &row.minor) != 2) return std::nullopt;
    row.directory = unescape(directory);
    row.source = unescape(row.source);
    row.options = options;
    return row;
}

}  // namespace

std::vector<mount_row> parse_mountinfo(const std::string& text) {
    std::vector<mount_row> rows;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);)
        if (auto row = parse_row(line)) rows.push_back(std::move(*row));
    return rows;
}

result<std::vector<mount_row>> read_mountinfo() {
    std::ifstream file("/proc/self/mountinfo");
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) return error(errc::io, "cannot read /proc/self/mountinfo");
    return parse_mountinfo(text.str());
}

std::optional<mount_row> find_mount(const std::vector<mount_row>& rows, const std::string& directory) {
    for (auto it = rows.rbegin(); it != rows.rend(); ++it)
        if (it->directory == directory) return *it;
    return std::nullopt;
}

}  // namespace cess::fs
