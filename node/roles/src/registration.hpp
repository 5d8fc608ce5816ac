// Keeps a node's record in the ledger what the node says of itself.
#pragma once

#include <chain/client/client.hpp>
#include <core/crypto/crypto.hpp>

#include <atomic>

namespace cess::roles {

struct registration {
    net::env& world;
    chain::client& ledger;
    chain::account owner;
    crypto::signing_key node;
    ledger::node_record record;
    std::atomic<bool>& registered;
};

// Looks the record up, registers it if it is missing or differs, and looks again now and then, until cancelled.
net::awaitable<void> keep_registered(registration how);

}  // namespace cess::roles
