#include "fs_model.hpp"

#include <algorithm>
#include <cerrno>

namespace cess::testing {

namespace {

// Where a value has what the mode shows.
constexpr std::size_t acl_owner = 6, acl_mask = 6 + 3 * 8, acl_other = 6 + 4 * 8;

std::uint32_t shown_by(const std::string& acl) {
    const auto digit = [&](std::size_t at) { return static_cast<std::uint32_t>(acl[at]); };
    return digit(acl_owner) << 6 | digit(acl_mask) << 3 | digit(acl_other);
}

void show(std::string& acl, std::uint32_t mode) {
    acl[acl_owner] = static_cast<char>(mode >> 6 & 7);
    acl[acl_mask] = static_cast<char>(mode >> 3 & 7);
    acl[acl_other] = static_cast<char>(mode & 7);
}

}  // namespace

std::string model_acl_value(const std::array<unsigned, 5>& permissions) {
    constexpr char tags[] = {1, 2, 4, 16, 32};
    std::string value("\2\0\0\0", 4);
    for (std::size_t i = 0; i < 5; ++i)
        value += std::string{tags[i], 0, static_cast<char>(permissions[i]), 0} + (i == 1 ? std::string("\7\0\0\0", 4) : std::string(4, '\xff'));
    return value;
}

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

int fs_model::make(int directory, const std::string& name, std::uint32_t mode, std::uint32_t umask, const std::string& target) {
    if (find(directory, name) >= 0) return EEXIST;
    const int project = project_of(directory);
    if (project != 0 && m_quotas.at(project).files_max > 0 && files_of(project) >= m_quotas.at(project).files_max) return EDQUOT;
    model_node node;
    node.project = project;
    node.mode = mode;
    node.content = target;
    node.parent = directory;
    node.links = 1;
    if (at(directory).mode & S_ISGID) {
        node.gid = at(directory).gid;
        if (S_ISDIR(mode)) node.mode |= S_ISGID;
    }
    const auto inherited = at(directory).xattrs.find(model_default_acl);
    if (inherited != at(directory).xattrs.end() && !S_ISLNK(mode)) {
        auto own = inherited->second;
        show(own, mode & shown_by(own));
        node.mode = (node.mode & ~0777U) | shown_by(own);
        node.xattrs[model_acl] = own;
        if (S_ISDIR(mode)) node.xattrs[model_default_acl] = inherited->second;
    } else if (!S_ISLNK(mode)) {
        node.mode &= ~umask;
    }
    at(directory).entries[name] = m_next;
    m_nodes.emplace(m_next++, node);
    return 0;
}

void fs_model::chmod(int node, std::uint32_t permissions) {
    auto& of = at(node);
    of.mode = (of.mode & S_IFMT) | permissions;
    if (const auto acl = of.xattrs.find(model_acl); acl != of.xattrs.end()) show(acl->second, permissions);
}

int fs_model::set_acl(int node, const std::string& name, const std::string& value) {
    auto& of = at(node);
    if (S_ISLNK(of.mode)) return EOPNOTSUPP;
    if (name == model_default_acl && !of.is_directory()) return EACCES;
    if (name == model_acl) of.mode = (of.mode & ~0777U) | shown_by(value);
    of.xattrs[name] = value;
    return 0;
}

int fs_model::remove_acl(int node, const std::string& name) {
    if (S_ISLNK(at(node).mode)) return EOPNOTSUPP;
    at(node).xattrs.erase(name);
    return 0;
}

int fs_model::link(int node, int directory, const std::string& name) {
    if (at(node).is_directory()) return EPERM;
    if (find(directory, name) >= 0) return EEXIST;
    if (project_of(node) != project_of(directory)) return EXDEV;
    at(directory).entries[name] = node;
    ++at(node).links;
    return 0;
}

void fs_model::lose_link(int node) {
    if (!at(node).is_directory() && --at(node).links > 0) return;
    if (quota_of(node)) m_quotas.erase(at(node).project);
    m_nodes.erase(node);
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
    const int from_project = project_of(from), to_project = project_of(to);
    if (from_project != to_project) {
        if (project_of(source) != to_project) return EXDEV;
        if (how == fs::rename_mode::exchange && project_of(target) != from_project) return EXDEV;
    }
    if (how == fs::rename_mode::exchange) {
        take_project(source, to);
        take_project(target, from);
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
    take_project(source, to);
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

const model_quota* fs_model::quota_of(int directory) const {
    const auto it = m_quotas.find(at(directory).project);
    return it == m_quotas.end() || it->second.root != directory ? nullptr : &it->second;
}

std::uint64_t fs_model::files_of(int project) const {
    std::uint64_t n = 0;
    for (const auto& [number, node] : m_nodes) n += node.project == project;
    return n;
}

void fs_model::take_project(int node, int directory) {
    if (project_of(node) == 0) at(node).project = project_of(directory);
}

void fs_model::count(int node, int project) {
    if (project_of(node) == 0) at(node).project = project;
    for (const auto& [name, child] : at(node).entries) count(child, project);
}

int fs_model::set_quota(int directory, std::uint64_t bytes_max, std::uint64_t files_max) {
    const bool limits = bytes_max > 0 || files_max > 0;
    if (quota_of(directory)) {
        if (limits) m_quotas.at(at(directory).project) = {directory, bytes_max, files_max};
        else m_quotas.erase(at(directory).project);
        return 0;
    }
    if (!limits) return 0;
    for (const auto& [project, quota] : m_quotas)
        if (within(directory, quota.root) || within(quota.root, directory)) return EBUSY;
    m_quotas.emplace(m_next_project, model_quota{directory, bytes_max, files_max});
    count(directory, m_next_project++);
    return 0;
}

std::uint32_t fs_model::links_of(int node) const {
    if (!at(node).is_directory()) return static_cast<std::uint32_t>(at(node).links);
    std::uint32_t n = 2;
    for (const auto& [name, child] : at(node).entries) n += at(child).is_directory();
    return n;
}

}  // namespace cess::testing
