// One node of a process: what all roles have, and what each starts.
#pragma once

#include <core/base/metrics.hpp>
#include <core/net/offload.hpp>
#include <core/net/real_env.hpp>
#include <core/net/tls_transport.hpp>
#include <core/os/file_system.hpp>
#include <node/roles/host.hpp>

namespace cess::roles {

// Of the whole process.
struct shared_resources {
    net::real_env& world;
    net::worker_pool& workers;
    net::worker_pool& journal_workers;
    metrics& count;
};

class running_node {
public:
    virtual ~running_node() = default;
    [[nodiscard]] virtual host::node_status status() const = 0;
    // Stops serving, then the role, then what it stood on.
    virtual net::awaitable<result<void>> stop(net::duration grace) = 0;
};

// What every role stands on. The directory holds node.key, and `data` for the role itself.
struct foundation {
    std::unique_ptr<os::directory_lock> lock;
    crypto::signing_key key;
    chain::account owner;
    std::string data_directory;
    metrics count;  // rendered by the process's with the label node="…"

    foundation(std::unique_ptr<os::directory_lock> held, crypto::signing_key identity, chain::account account, std::string data);
    static result<std::unique_ptr<foundation>> make(shared_resources& on, const node_config& how);
    [[nodiscard]] node_id id() const { return crypto::id_of<node_id>(key.pub()); }
};

[[nodiscard]] result<std::unique_ptr<running_node>> start_storage(shared_resources& on, const node_config& how);
[[nodiscard]] result<std::unique_ptr<running_node>> start_consensus(shared_resources& on, const node_config& how);

}  // namespace cess::roles
