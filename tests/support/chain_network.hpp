// A ledger network of one validator on the simulator's thread: what tests that need a chain stand on.
#pragma once

#include <chain/client/client.hpp>
#include <chain/node/validator.hpp>
#include <core/net/local_network.hpp>

#include <support/simulation.hpp>

namespace cess::test {

inline crypto::signing_key key_from(std::uint64_t seed) {
    seeded_random random(seed);
    return crypto::signing_key::generate(random);
}

inline chain::account account_from(std::uint64_t seed) {
    const auto key = key_from(seed);
    return {key, crypto::hkdf(key.seed(), {}, "cess volume key wrapping v1")};
}

inline ledger::genesis genesis_of(const crypto::signing_key& validator) {
    ledger::genesis g;
    g.name = "test";
    g.first.members = {validator.pub()};
    g.default_geometry = {2, 1};
    g.created_unix = 1;
    return g;
}

}  // namespace cess::test
