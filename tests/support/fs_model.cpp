#include "fs_model.hpp"

#include <algorithm>
#include <cerrno>

namespace cess::testing {

fs_model::fs_model() {
    model_node root;
    root.mode = S_IFDIR | 0755;
    m_nodes.emplace(0, root);
}

int fs_model::find(int directory, const std::string& name) const {
    const auto& entries = at(directory).entries;
    const auto it = entries.find(name);
    return it == entries.end() ? -1 : it->second;
}

int fs_model::make(int directory, const std::string& name, std::uint32_t mode, const std::string& target) {
    if (find(directory, name) >= 0) return EEXIST;
    model_node node;
    node.mode = mode;
    node.content = target;
    node.parent = directory;
    node.links = 1;
    if (at(directory).mode & S_ISGID) {
        node.gid = at(directory).gid;
        if (S_ISDIR(mode)) node.mode |= S_ISGID;
    }
    at(directory).entries[name] = m_next;
    m_nodes.emplace(m_next++, node);
    return 0;
}

int fs_model::link(int node, int directory, const std::string& name) {
    if (at(node).is_directory()) return EPERM;
    if (find(directory, name) >= 0) return EEXIST;
    at(directory).entries[name] = node;
    ++at(node).links;
    return 0;
}

void fs_model::lose_link(int node) {
    if (at(node).is_directory() || --at(node).links == 0) m_nodes.erase(node);
}

int fs_model::unlink(int directory, const std::string& name) {
    const int node = find(directory, name);
    if (node < 0) return ENOENT;
    if (at(node).is_directory()) return EISDIR;
    at(directory).entries.erase(name);
    lose_link(node);
    return 0;
}

int fs_model::remove_directory(int directory, const std::string& name) {
    const int node = find(directory, name);
    if (node < 0) return ENOENT;
    if (!at(node).is_directory()) return ENOTDIR;
    if (!at(node).entries.empty()) return ENOTEMPTY;
    at(directory).entries.erase(name);
    lose_link(node);
    return 0;
}

bool fs_model::within(int below, int top) const {
    for (int node = below;; node = at(node).parent) {
        if (node == top) return true;
        if (node == 0) return false;
    }
}

int fs_model::rename(int from, const std::string& name, int to, const std::string& new_name, fs::rename_mode how) {
    const int source = find(from, name);
    if (source < 0) return ENOENT;
    const int target = find(to, new_name);
    if (how == fs::rename_mode::keep_target && target >= 0) return EEXIST;
    if (how == fs::rename_mode::exchange && target < 0) return ENOENT;
    if (source == target) return 0;
    if (at(source).is_directory() && within(to, source)) return EINVAL;
    if (target >= 0 && at(target).is_directory() && within(from, target)) return how == fs::rename_mode::exchange ? EINVAL : ENOTEMPTY;
    if (how == fs::rename_mode::exchange) {
        at(from).entries[name] = target;
        at(to).entries[new_name] = source;
        if (at(source).is_directory()) at(source).parent = to;
        if (at(target).is_directory()) at(target).parent = from;
        return 0;
    }
    if (target >= 0) {
        if (at(source).is_directory() && !at(target).is_directory()) return ENOTDIR;
        if (!at(source).is_directory() && at(target).is_directory()) return EISDIR;
        if (!at(target).entries.empty()) return ENOTEMPTY;
    }
    at(from).entries.erase(name);
    at(to).entries[new_name] = source;
    if (at(source).is_directory()) at(source).parent = to;
    if (target >= 0) lose_link(target);
    return 0;
}

int fs_model::write(int file, std::uint64_t offset, const std::string& data) {
    auto& content = at(file).content;
    if (content.size() < offset + data.size()) content.resize(offset + data.size());
    content.replace(offset, data.size(), data);
    return 0;
}

int fs_model::resize(int file, std::uint64_t size) {
    at(file).content.resize(size);
    return 0;
}

int fs_model::zero(int file, std::uint64_t offset, std::uint64_t length, bool keep_size) {
    auto& content = at(file).content;
    if (!keep_size && content.size() < offset + length) content.resize(offset + length);
    const auto end = std::min<std::uint64_t>(content.size(), offset + length);
    if (offset < end) std::fill(content.begin() + static_cast<std::ptrdiff_t>(offset), content.begin() + static_cast<std::ptrdiff_t>(end), '\0');
    return 0;
}

std::uint32_t fs_model::links_of(int node) const {
    if (!at(node).is_directory()) return static_cast<std::uint32_t>(at(node).links);
    std::uint32_t n = 2;
    for (const auto& [name, child] : at(node).entries) n += at(child).is_directory();
    return n;
}

}  // namespace cess::testing
