// Who signs blocks, and whose signatures are believed.
#pragma once

#include <chain/consensus/block.hpp>
#include <core/crypto/crypto.hpp>

namespace cess::consensus {

class keys {
public:
    virtual ~keys() = default;
    [[nodiscard]] virtual signature sign(const hash256& digest) const = 0;  // as this member
    [[nodiscard]] virtual bool holds(author_index author, const hash256& digest, const signature& sig) const = 0;
};

// Ed25519 over "cess block v1" ‖ digest.
class ed25519_keys final : public keys {
public:
    ed25519_keys(crypto::signing_key own, std::vector<public_key> members) : m_own(std::move(own)), m_members(std::move(members)) {}
    [[nodiscard]] signature sign(const hash256& digest) const override;
    [[nodiscard]] bool holds(author_index author, const hash256& digest, const signature& sig) const override;

private:
    crypto::signing_key m_own;
    std::vector<public_key> m_members;
};

}  // namespace cess::consensus
