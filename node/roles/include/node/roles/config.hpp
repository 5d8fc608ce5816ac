// What `cess-node` is told: one node, or a list of files with one node each that this process hosts together.
#pragma once

#include <chain/client/client.hpp>

#include <string>
#include <vector>

namespace cess::roles {

enum class role { storage, consensus };
[[nodiscard]] result<role> parse_role(std::string_view text);
[[nodiscard]] std::string_view to_string(role what) noexcept;

struct node_config {
    std::string role;                   // "storage", "consensus"
    std::string directory;
    std::string listen = "127.0.0.1:0";
    std::string address;                // told to others; empty: where it listens
    std::string genesis;                // hex of the encoded genesis
    std::vector<std::string> validators;  // "ID@host:port"
    std::string account;                // key file of the account that owns the node; empty: the node's own key is the account
    std::uint64_t capacity = 0;         // storage: bytes offered
    std::uint64_t disk_reserve = 256 * MiB;
    std::string failure_domain;         // storage; empty: the node by itself
    std::chrono::nanoseconds free_horizon = std::chrono::minutes(10);
    std::chrono::nanoseconds scrub_period = std::chrono::hours(7 * 24);
    std::uint64_t scrub_bandwidth = 16 * MiB;  // bytes a second
    std::uint64_t epoch_rounds = 65'536;  // consensus, in a committee
    std::uint64_t closed_epochs = 1;
    std::string explorer;               // consensus: host:port of the JSON API, empty: none
};

struct process_config {
    std::vector<std::string> nodes;  // paths of node files, relative to this file's folder
    std::string metrics;             // host:port, empty: none
    std::uint64_t network_threads = 2;
    std::uint64_t workers = 2;
    std::uint64_t journal_workers = 4;  // they wait for the disk, not for a processor
    std::string log_level = "info";
    std::string log_file;
    std::chrono::nanoseconds stop_grace = std::chrono::seconds(5);
};

struct loaded {
    process_config process;
    std::vector<node_config> nodes;
};

// What the command line may set over the file; empty: not given.
struct overrides {
    std::string role, directory, listen, metrics;
};

// Relative paths in a file are relative to its folder. `conf` may be empty if nothing is needed from it.
[[nodiscard]] result<loaded> load(const std::string& conf, const overrides& over);
// The effective configuration of the file as TOML (of each node file, where it lists several).
[[nodiscard]] result<std::string> dump(const std::string& conf, const overrides& over);

// "ID@host:port"
[[nodiscard]] result<net::peer> parse_peer(std::string_view text);
[[nodiscard]] std::string format_peer(const net::peer& who);
[[nodiscard]] result<chain::network_config> network_of(const node_config& of);

}  // namespace cess::roles
