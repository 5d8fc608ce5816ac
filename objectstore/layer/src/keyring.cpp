#include <objectstore/layer/keyring.hpp>

namespace cess::layer {
namespace {

bytes additional_data(const volume_id& lineage, std::uint32_t generation) {
    bytes out = to_bytes("cess volume key v1");
    append(out, lineage.view());
    append(out, wire::encode(generation));
    return out;
}

}  // namespace

void keyring::add(volume_id lineage, std::uint32_t generation, crypto::secret_key key) {
    m_keys.insert_or_assign({lineage, generation}, std::move(key));
}

result<keyring> keyring::unwrap(const chain::account& owner, const std::vector<ledger::wrapped_key>& wrapped) {
    keyring out;
    for (const auto& key : wrapped) {
        auto raw = crypto::unwrap(owner.wrapping, additional_data(key.lineage, key.generation), key.box);
        if (!raw || raw->size() != crypto::secret_key::size) return error(errc::permission, "the account's key does not open the volume's keys");
        out.add(key.lineage, key.generation, crypto::secret_key(*raw));
    }
    return out;
}

ledger::wrapped_key keyring::wrap(const chain::account& owner, volume_id lineage, std::uint32_t generation, const crypto::secret_key& key,
                                  random_source& random) {
    ledger::wrapped_key out;
    out.lineage = lineage;
    out.generation = generation;
    out.box = crypto::wrap(owner.wrapping, additional_data(lineage, generation), key.view(), random);
    return out;
}

result<crypto::secret_key> keyring::find(volume_id lineage, std::uint32_t generation) const {
    const auto found = m_keys.find({lineage, generation});
    if (found == m_keys.end()) return error(errc::permission, "no key for lineage " + lineage.brief() + " generation " + std::to_string(generation));
    return found->second;
}

std::vector<crypto::secret_key> keyring::all() const {
    std::vector<crypto::secret_key> out;
    for (const auto& [name, key] : m_keys) out.push_back(key);
    return out;
}

}  // namespace cess::layer
