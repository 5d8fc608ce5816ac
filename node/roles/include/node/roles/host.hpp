// Hosts nodes: one in production, a whole network on a laptop and in tests. All nodes of a process share its threads
// and its worker pools, and have everything else for themselves: key, directory, port, connections, metrics. They
// speak to each other over the same sockets and TLS as strangers do.
#pragma once

#include <node/roles/config.hpp>

#include <memory>
#include <string>
#include <vector>

namespace cess::roles {

// Owned by main. Calls block; not thread-safe.
class host {
public:
    // Starts threads: call after any fork. On failure everything that was started is stopped again.
    static result<std::unique_ptr<host>> start(loaded with);
    virtual ~host() = default;  // stops

    struct node_status {
        role what;
        node_id id;
        std::string address;
        bool registered = false;  // the ledger knows it under this address
        std::string explorer = {};  // address of its JSON API; empty: none
    };
    [[nodiscard]] virtual std::vector<node_status> nodes() const = 0;
    [[nodiscard]] virtual std::string metrics_address() const = 0;  // empty if there is none
    // Refuses new requests, gives those under way the grace of the configuration, and closes the stores.
    virtual void stop() = 0;
};

}  // namespace cess::roles
