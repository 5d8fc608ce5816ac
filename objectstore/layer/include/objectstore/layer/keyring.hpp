// The keys of a volume and of what it inherits, as its owner holds them in memory.
#pragma once

#include <chain/client/client.hpp>
#include <core/crypto/crypto.hpp>

#include <map>
#include <vector>

namespace cess::layer {

// Volume keys by (lineage, generation), unwrapped for their owner.
class keyring {
public:
    void add(volume_id lineage, std::uint32_t generation, crypto::secret_key key);
    static result<keyring> unwrap(const chain::account& owner, const std::vector<ledger::wrapped_key>& wrapped);
    static ledger::wrapped_key wrap(const chain::account& owner, volume_id lineage, std::uint32_t generation, const crypto::secret_key& key, random_source& random);
    [[nodiscard]] result<crypto::secret_key> find(volume_id lineage, std::uint32_t generation) const;

    [[nodiscard]] std::vector<crypto::secret_key> all() const;

private:
    std::map<std::pair<volume_id, std::uint32_t>, crypto::secret_key> m_keys;
};

}  // namespace cess::layer
