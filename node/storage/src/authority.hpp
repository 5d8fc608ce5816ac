// What the ledger has said about volumes, as far as this miner has been shown it: which leases stand, which term is
// the newest, up to where journals are needed. Everything here is durable before anybody acts on it.
//
// The newest term seen fences: puts and appends of lower ones are refused for ever, also after a restart.
#pragma once

#include "store_files.hpp"

#include <chain/ledger/proof.hpp>

#include <map>
#include <mutex>

namespace cess::storage {

struct known_lease {
    term_number term;
    public_key session;
    std::uint64_t reservation = 0;
    bool member = false;  // of its journal: this miner, with this incarnation
    template <class S, class C> static void describe(S& s, C& c) { c(s.term, s.session, s.reservation, s.member); }
    friend bool operator==(const known_lease&, const known_lease&) = default;
};

struct known_volume {
    static constexpr std::uint8_t wire_version = 1;
    volume_id volume;
    block_height height;     // of the certificate it was read from
    bool gone = false;       // deleted, or being deleted: nothing of it is needed
    term_number fence;       // the newest term
    term_number head_term;   // of the final root
    entry_index journal_base;  // of that root, in that term's journal
    std::vector<known_lease> leases;
    template <class S, class C> static void describe(S& s, C& c) {
        c(s.volume, s.height, s.gone, s.fence, s.head_term, s.journal_base, s.leases);
    }
    friend bool operator==(const known_volume&, const known_volume&) = default;

    [[nodiscard]] const known_lease* lease_of(term_number term) const noexcept;
    // The ledger says that this journal holds nothing that is still needed.
    [[nodiscard]] bool journal_dead(term_number term) const noexcept { return gone || (term < fence && !lease_of(term)); }
};

// Thread-safe; blocking (disk).
class authority {
public:
    struct setting {
        os::file_system& disk;
        store_paths paths;
        node_id self;
        incarnation_id incarnation;
        std::size_t volumes_max;
    };
    authority(setting how, ledger::trust trust) : m_how(std::move(how)), m_trust(std::move(trust)) {}

    result<void> load();  // at open, before anything else
    // Believes a volume's record, or its proved absence, if it is certified and newer than what is known; durable when
    // it returns. The volume as it is then known.
    result<known_volume> learn(const ledger::proved_record& record);
    [[nodiscard]] result<std::optional<bytes>> check(const ledger::proved_record& record) const;
    [[nodiscard]] const network_id& network() const noexcept { return m_trust.network(); }

    // May `from` write under this term? errc::fenced, lease_required or permission.
    [[nodiscard]] result<known_lease> writer(const node_id& from, const volume_id& volume, term_number term) const;
    [[nodiscard]] std::optional<known_volume> find(const volume_id& volume) const;
    [[nodiscard]] term_number fence_of(const volume_id& volume) const;

private:
    [[nodiscard]] result<known_volume> digest(const ledger::proved_record& record) const;
    [[nodiscard]] known_volume summary(const ledger::volume_record& record, block_height at) const;
    result<void> forget_gone();  // makes room for one volume. REQUIRES: m_mutex
    std::mutex& shard(const volume_id& volume) { return m_shards[std::to_integer<std::size_t>(volume.raw[0]) % m_shards.size()]; }

    const setting m_how;
    ledger::trust m_trust;
    std::array<std::mutex, 16> m_shards;  // one writer a volume's file
    mutable std::mutex m_mutex;
    std::map<volume_id, known_volume> m_known;
};

}  // namespace cess::storage
