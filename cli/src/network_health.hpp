// How the network is: what the ledger says, and whether each miner answers.
#pragma once

#include <objectstore/client/client.hpp>

#include <optional>

namespace cess::cli {

struct miner_health {
    ledger::node_record record;
    bool answers = false;
    std::uint64_t used = 0;  // by its own word
    std::string problem;     // why it does not answer
};

struct network_health {
    std::optional<chain::client::status> chain;
    std::string chain_problem;
    std::vector<miner_health> miners;  // registered storage nodes
    [[nodiscard]] bool sound() const;
};

// Asks everybody at once; ends within `patience`.
[[nodiscard]] network_health look(client::runtime& on, net::duration patience);

}  // namespace cess::cli
