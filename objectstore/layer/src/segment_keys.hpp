// Keys of segments, derived once: derivation takes longer than opening a block does. Thread-safe.
#pragma once

#include "segment_format.hpp"

#include <map>
#include <mutex>

namespace cess::layer {

class segment_keys {
public:
    // Of the segment with this record. REQUIRES: `volume_key` is its lineage's of its key generation
    [[nodiscard]] crypto::secret_key of(const ledger::segment_record& segment, const crypto::secret_key& volume_key);

private:
    static constexpr std::size_t kept_max = 4096;
    using name = std::tuple<volume_id, std::uint32_t, salt256>;  // lineage, key generation, salt
    struct derivation {
        crypto::secret_key from, key;
    };

    std::mutex m_mutex;
    std::map<name, derivation> m_known;  // emptied when it is full: what is in use is there again in a moment
};

}  // namespace cess::layer
