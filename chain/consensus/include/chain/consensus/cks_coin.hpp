// The coin of Cachin, Kursawe and Shoup ("Random Oracles in Constantinople", 2000) on ristretto255.
//
// A secret s is shared by a polynomial of degree f: member i holds sᵢ, everybody knows Sᵢ = sᵢ·G. Coin k is a point
// Kₖ = H(network, epoch, k) that nobody knows the logarithm of; a share is sᵢ·Kₖ with a proof (Chaum–Pedersen, made
// non-interactive) that its logarithm is that of Sᵢ. Any f+1 shares interpolate to s·Kₖ, whose hash is the value; f of
// them say nothing of it. Today a dealer makes the sharing, and is trusted to forget it.
#pragma once

#include <chain/consensus/coin.hpp>
#include <core/crypto/crypto.hpp>
#include <core/crypto/ristretto.hpp>

namespace cess::consensus {

struct coin_sharing {
    std::vector<crypto::secret_key> secrets;               // by member
    std::vector<crypto::ristretto::point> verification;    // by member, for everybody
};
// Any `quorum` of `members` shares make a coin's value.
[[nodiscard]] coin_sharing deal_coin(random_source& random, std::size_t members, std::size_t quorum);

// Of one epoch. A share is 96 bytes: the point, the proof's challenge and answer.
class cks_coin final : public coin {
public:
    cks_coin(network_id network, std::uint64_t epoch, author_index self, const crypto::secret_key& secret,
             std::vector<crypto::ristretto::point> verification, std::size_t quorum)
        : m_network(network), m_epoch(epoch), m_self(self), m_secret(secret), m_verification(std::move(verification)), m_quorum(quorum) {}

    [[nodiscard]] bytes share(coin_number of) const override;
    [[nodiscard]] bool holds(coin_number of, author_index member, byte_view share) const override;
    [[nodiscard]] hash256 combine(coin_number of, const std::map<author_index, bytes>& shares) const override;

private:
    [[nodiscard]] bytes name_of(coin_number of) const;
    [[nodiscard]] crypto::ristretto::secret_scalar nonce_of(byte_view name) const;

    network_id m_network;
    std::uint64_t m_epoch;
    author_index m_self;
    crypto::secret_key m_secret;
    std::vector<crypto::ristretto::point> m_verification;
    std::size_t m_quorum;
};

}  // namespace cess::consensus
