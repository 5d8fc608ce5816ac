#include <chain/consensus/coin.hpp>
#include <chain/consensus/keys.hpp>

namespace cess::consensus {
namespace {

bytes message_of(const hash256& digest) {
    auto out = to_bytes("cess block v1");
    append(out, digest.view());
    return out;
}

}  // namespace

signature ed25519_keys::sign(const hash256& digest) const { return m_own.sign(message_of(digest)); }

bool ed25519_keys::holds(author_index author, const hash256& digest, const signature& sig) const {
    return author < m_members.size() && crypto::verify(m_members[author], message_of(digest), sig);
}

author_index leader_by(const hash256& value, std::size_t members) noexcept {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < sizeof number; ++i) number = number << 8 | std::to_integer<std::uint64_t>(value.raw[i]);
    return static_cast<author_index>(number % members);
}

}  // namespace cess::consensus
