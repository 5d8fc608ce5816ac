// How the network is: what the ledger says, and whether each miner answers.
#pragma once

#include <node/storage/health.hpp>
#include <objectstore/client/client.hpp>

#include <optional>

namespace cess::cli {

struct miner_health {
    ledger::node_record record;
    bool answers = false;
    std::uint64_t used = 0;  // by its own word
    std::string problem;     // why it does not answer
    std::optional<storage::health_reply> store;  // what scrubbing found; none from a miner that does not know the question
};

// A consensus node by itself: what it has certified.
struct validator_health {
    node_id id;
    std::string address;
    std::optional<block_height> height;
    std::string problem;  // why it does not answer
};

struct network_health {
    std::optional<chain::client::status> chain;
    std::string chain_problem;
    std::vector<validator_health> validators;
    std::vector<miner_health> miners;  // registered storage nodes
    [[nodiscard]] bool sound() const;   // everybody answers
    [[nodiscard]] bool intact() const;  // and nobody has lost anything that is known
};

// How many heights a consensus node is behind the farthest; none if it does not answer.
[[nodiscard]] std::optional<std::uint64_t> behind(const network_health& of, const validator_health& who);
// Those of a committee that do not answer or are behind, a line each; nothing for a single validator.
void print_committee(const network_health& of);

// Asks everybody at once; ends within `patience`.
[[nodiscard]] network_health look(client::runtime& on, net::duration patience);

}  // namespace cess::cli
