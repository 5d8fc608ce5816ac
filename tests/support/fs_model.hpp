// What POSIX says a tree of files is, in the simplest form that can be compared with a filesystem under test.
#pragma once

#include <fs/operations.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cess::testing {

struct model_node {
    std::uint32_t mode = 0, uid = 0, gid = 0;
    std::string content;  // of a file, or a symbolic link's target
    std::map<std::string, std::string> xattrs;  // ACLs among them
    std::map<std::string, int> entries;  // of a directory
    int parent = 0;                      // of a directory
    int links = 0;                       // of anything else
    int project = 0;                     // that counts it, or did until it ended
    [[nodiscard]] bool is_directory() const { return S_ISDIR(mode); }
    [[nodiscard]] bool is_file() const { return S_ISREG(mode); }
    friend bool operator==(const model_node&, const model_node&) = default;
};

inline const std::string model_acl = "system.posix_acl_access", model_default_acl = "system.posix_acl_default";

// The model's ACLs have one form: these permissions for the owner, a user, the owning group, the mask and others.
[[nodiscard]] std::string model_acl_value(const std::array<unsigned, 5>& permissions);
struct model_quota {
    int root = 0;
    std::uint64_t bytes_max = 0, files_max = 0;
};

// Nodes by number; 0 is the root. Operations answer with an errno, 0 for success, and change nothing otherwise.
class fs_model {
public:
    fs_model();

    int make(int directory, const std::string& name, std::uint32_t mode, std::uint32_t umask, const std::string& target);
    int link(int node, int directory, const std::string& name);
    int unlink(int directory, const std::string& name);
    int remove_directory(int directory, const std::string& name);
    int rename(int from, const std::string& name, int to, const std::string& new_name, fs::rename_mode how);
    int write(int file, std::uint64_t offset, const std::string& data);
    int resize(int file, std::uint64_t size);
    int zero(int file, std::uint64_t offset, std::uint64_t length, bool keep_size);
    void chmod(int node, std::uint32_t permissions);
    int set_acl(int node, const std::string& name, const std::string& value);
    int remove_acl(int node, const std::string& name);
    // With all counted at once. A limit of 0 is none; without any, the quota ends.
    int set_quota(int directory, std::uint64_t bytes_max, std::uint64_t files_max);

    [[nodiscard]] model_node& at(int node) { return m_nodes.at(node); }
    [[nodiscard]] const model_node& at(int node) const { return m_nodes.at(node); }
    [[nodiscard]] int find(int directory, const std::string& name) const;  // -1: none
    [[nodiscard]] bool exists(int node) const { return m_nodes.contains(node); }
    [[nodiscard]] const std::map<int, model_node>& nodes() const { return m_nodes; }
    [[nodiscard]] int last_made() const { return m_next - 1; }
    [[nodiscard]] std::uint32_t links_of(int node) const;
    [[nodiscard]] const model_quota* quota_of(int directory) const;  // its own; null: none
    // What a node's project is, 0: none.
    [[nodiscard]] int project_of(int node) const { return m_quotas.contains(at(node).project) ? at(node).project : 0; }
    [[nodiscard]] std::uint64_t files_of(int project) const;

private:
    [[nodiscard]] bool within(int below, int top) const;
    void lose_link(int node);
    void take_project(int node, int directory);
    void count(int node, int project);
    std::map<int, model_node> m_nodes;
    std::map<int, model_quota> m_quotas;  // by project
    int m_next = 1, m_next_project = 1;
};

}  // namespace cess::testing
