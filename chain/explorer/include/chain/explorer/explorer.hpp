// The JSON/HTTP API of a consensus node, read-only: what block explorers are built on. docs/api.md has every path.
//
// Answers from what the node has certified, never from anything else. Reads happen on a thread of the API's own behind a short
// queue: a flood of requests is told to come again, and the node's own work does not notice. One thread, so that the state's
// lock, which the node takes to store a certified state, is soon free again.
#pragma once

#include <chain/node/records.hpp>
#include <core/base/metrics.hpp>
#include <core/net/env.hpp>

#include <memory>
#include <string>

namespace cess::chain {

// stop() before destruction, and before what it reads from.
class explorer {
public:
    struct options {
        std::string listen = "127.0.0.1:0";
        std::size_t connections_max = 64;
        std::size_t queue_max = 64;  // requests that wait for the reading thread
        net::duration queue_time_max = std::chrono::seconds(10);  // what waited longer is refused: nobody may wait for it any more
        net::duration head_timeout = std::chrono::seconds(5);
        net::duration idle_timeout = std::chrono::seconds(30);
    };
    static result<std::unique_ptr<explorer>> start(net::env& world, const records& on, metrics& count, options how);
    virtual ~explorer() = default;
    [[nodiscard]] virtual std::string address() const = 0;  // with the real port
    virtual net::awaitable<void> stop() = 0;
};

}  // namespace cess::chain
