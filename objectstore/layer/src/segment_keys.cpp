#include "segment_keys.hpp"

namespace cess::layer {

crypto::secret_key segment_keys::of(const ledger::segment_record& segment, const crypto::secret_key& volume_key) {
    const name wanted(segment.lineage, segment.key_generation, segment.salt);
    {
        const std::lock_guard hold(m_mutex);
        if (const auto known = m_known.find(wanted); known != m_known.end() && known->second.from == volume_key) return known->second.key;
    }
    auto derived = segment_key(volume_key, segment.salt);
    const std::lock_guard hold(m_mutex);
    if (m_known.size() >= kept_max) m_known.clear();
    m_known.insert_or_assign(wanted, derivation{volume_key, derived});
    return derived;
}

}  // namespace cess::layer
