// Signatures and a coin that cost nothing, for simulations in which nobody forges. Anybody could: the secrets are in the seed.
#pragma once

#include <chain/consensus/coin.hpp>
#include <chain/consensus/keys.hpp>

namespace cess::simulation {

// A signature is the digest with the author's number mixed in.
class cheap_keys final : public consensus::keys {
public:
    explicit cheap_keys(consensus::author_index self) : m_self(self) {}
    [[nodiscard]] signature sign(const hash256& digest) const override { return made(m_self, digest); }
    [[nodiscard]] bool holds(consensus::author_index author, const hash256& digest, const signature& sig) const override {
        return sig == made(author, digest);
    }

private:
    static signature made(consensus::author_index author, const hash256& digest) {
        signature out;
        std::copy(digest.raw.begin(), digest.raw.end(), out.raw.begin());
        out.raw[32] = static_cast<std::byte>(author & 0xff);
        out.raw[33] = static_cast<std::byte>(author >> 8);
        return out;
    }
    consensus::author_index m_self;
};

// Shamir's sharing of a number a coin over GF(2³¹ − 1), so that a wrong share makes a wrong value.
class cheap_coin final : public consensus::coin {
public:
    cheap_coin(std::uint64_t seed, consensus::author_index self, std::size_t quorum) : m_seed(seed), m_self(self), m_quorum(quorum) {}
    [[nodiscard]] bytes share(consensus::coin_number of) const override { return wire::encode(share_of(of, m_self)); }
    [[nodiscard]] bool holds(consensus::coin_number of, consensus::author_index member, byte_view share) const override {
        return equal(share, wire::encode(share_of(of, member)));
    }
    [[nodiscard]] hash256 combine(consensus::coin_number, const std::map<consensus::author_index, bytes>& shares) const override {
        std::uint64_t secret = 0;
        std::size_t used = 0;
        for (auto i = shares.begin(); used < m_quorum && i != shares.end(); ++i, ++used) {
            const auto given = wire::decode<std::uint64_t>(i->second);
            auto term = given ? *given % prime : 0;
            std::size_t others = 0;
            for (auto j = shares.begin(); others < m_quorum && j != shares.end(); ++j, ++others)
                if (i != j) term = term * (j->first + 1U) % prime * inverse((prime + j->first - i->first) % prime) % prime;
            secret = (secret + term) % prime;
        }
        seeded_random spread(secret);
        return spread.id<hash256>();
    }

private:
    static constexpr std::uint64_t prime = 0x7fffffff;
    static std::uint64_t inverse(std::uint64_t of) {
        std::uint64_t out = 1;
        for (auto exponent = prime - 2; exponent > 0; exponent >>= 1, of = of * of % prime)
            if (exponent & 1) out = out * of % prime;
        return out;
    }
    [[nodiscard]] std::uint64_t share_of(consensus::coin_number of, consensus::author_index member) const {
        seeded_random coefficients(m_seed * 1000003 + of);
        std::uint64_t out = 0;
        for (std::size_t i = 0; i < m_quorum; ++i) out = (out * (member + 1U) + coefficients.below(prime)) % prime;
        return out;
    }

    std::uint64_t m_seed;
    consensus::author_index m_self;
    std::size_t m_quorum;
};

}  // namespace cess::simulation
