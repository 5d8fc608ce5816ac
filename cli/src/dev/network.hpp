// The development network: a whole network on this machine, in one directory that remembers everything about it.
//
//   D/network.toml            what was chosen: miners, geometry, capacity
//   D/account.key             the account's key; D/client.toml names it
//   D/nodes/ROLE-N/           node.toml, node.key, data/; of a committee's member coin.key as well
//   D/process.toml            the nodes that one process hosts (without --separate)
//   D/run/NAME.pid, D/log/NAME.log, D/client/ (working state of open volumes)
//
// Not thread-safe; one `cess dev` at a time holds D's lock.
#pragma once

#include <chain/ledger/types.hpp>
#include <core/base/result.hpp>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace cess::cli::dev {

struct choices {
    std::uint64_t storage = 4;
    std::uint64_t consensus = 1;
    std::string geometry = "2+1";
    std::uint64_t capacity = 0;  // a miner's; chosen from the free space of the disk when the network is made
    bool separate = false;
};

// What the command line asked for; what is not given stays what it was, or takes its default.
struct wishes {
    std::optional<std::uint64_t> storage;
    std::optional<std::uint64_t> consensus;
    std::optional<std::string> geometry;
    std::optional<std::uint64_t> capacity;
    bool separate = false;
};

struct node_place {
    std::string name;  // "storage-1"
    std::string role;
    std::string directory;
    std::string listen;
    std::string metrics;
    std::string explorer;  // of a consensus node: address of its JSON API; empty: none
};

class network {
public:
    // Root: /var/lib/cess; others: $XDG_DATA_HOME/cess or ~/.local/share/cess.
    [[nodiscard]] static result<std::string> default_directory();
    // errc::not_found if there is no network in `directory`.
    [[nodiscard]] static result<network> open(const std::string& directory);
    // Makes what is missing: keys, genesis, files. What is there is kept; wishes that contradict it are refused.
    [[nodiscard]] static result<network> make(const std::string& directory, const wishes& how);

    [[nodiscard]] const std::string& directory() const noexcept { return m_directory; }
    [[nodiscard]] const choices& chosen() const noexcept { return m_chosen; }
    [[nodiscard]] const std::vector<node_place>& nodes() const noexcept { return m_nodes; }
    [[nodiscard]] bool is_new() const noexcept { return m_new; }
    [[nodiscard]] std::string path(const std::string& name) const { return m_directory + "/" + name; }
    [[nodiscard]] std::string client_config() const { return path("client.toml"); }

    struct process {
        std::string name;  // of its log and pid file
        std::string conf;
        std::vector<const node_place*> hosts;
    };
    [[nodiscard]] std::vector<process> processes() const;
    // Of every process that may run for it, in this mode or the other.
    [[nodiscard]] std::vector<std::string> pid_files() const;
    [[nodiscard]] std::string pid_file(const std::string& name) const { return path("run/" + name + ".pid"); }
    [[nodiscard]] std::string log_file(const std::string& name) const { return path("log/" + name + ".log"); }

private:
    result<void> choose(const wishes& how);
    result<void> write_all();
    result<void> write_consensus();
    result<void> make_committee();
    result<void> write_storage(std::uint64_t index);
    result<void> write_node(const std::string& name, const std::string& role, const std::string& listen, std::string explorer = {});
    result<void> write_client();
    result<void> write_process();
    // The node's file, if it is there.
    result<bool> read_node(const std::string& name);

    std::string m_directory;
    choices m_chosen;
    std::vector<node_place> m_nodes;
    std::string m_genesis;    // encoded, in hexadecimal
    std::vector<std::string> m_validators;  // "ID@host:port"
    std::set<std::uint16_t> m_ports;  // of its nodes
    bool m_new = false;
};

// Copies D/client.toml to ~/.config/cess/client.toml if there is none. True if that one is this network's now.
[[nodiscard]] result<bool> install_client_config(const network& of);

}  // namespace cess::cli::dev
