#include "authority.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::storage {
namespace {

// The volume that a key of the ledger names; nothing if it is another kind of key.
std::optional<volume_id> volume_of_key(byte_view key) {
    if (key.size() < volume_id::size) return std::nullopt;
    const auto id = volume_id::from(key.last(volume_id::size));
    if (!equal(ledger::key::volume(id), key)) return std::nullopt;
    return id;
}

}  // namespace

const known_lease* known_volume::lease_of(term_number term) const noexcept {
    const auto at = std::find_if(leases.begin(), leases.end(), [&](const auto& l) { return l.term == term; });
    return at == leases.end() ? nullptr : &*at;
}

result<void> authority::load() {
    TRY(const auto entries, m_how.disk.list(m_how.paths.volumes()));
    // A file that a dying process renamed into place may be seen and not yet durable.
    if (!entries.empty()) CHECK_OK(m_how.disk.sync_directory(m_how.paths.volumes()));
    for (const auto& entry : entries) {
        const auto path = m_how.paths.volumes() + "/" + entry.name;
        const auto id = volume_id::parse(entry.name);
        if (!id) {  // a temporary file of a write that did not finish
            CHECK_OK(m_how.disk.remove(path));
            continue;
        }
        TRY(auto known, read_record<known_volume>(m_how.disk, path));
        if (known.volume != *id) return error(errc::corrupt, path + " is about another volume");
        m_known.emplace(*id, std::move(known));
    }
    return {};
}

result<std::optional<bytes>> authority::check(const ledger::proved_record& record) const { return m_trust.check(record); }

known_volume authority::summary(const ledger::volume_record& record, block_height at) const {
    known_volume known;
    known.volume = record.id;
    known.height = at;
    known.gone = record.deleting;
    known.fence = record.term;
    known.head_term = record.head.term;
    known.journal_base = record.head.journal_base;
    for (const auto& lease : record.leases) {
        const ledger::journal_member me{m_how.self, m_how.incarnation};
        const bool member = std::find(lease.members.begin(), lease.members.end(), me) != lease.members.end();
        known.leases.push_back({lease.term, lease.session, lease.reservation, member});
    }
    return known;
}

result<known_volume> authority::digest(const ledger::proved_record& record) const {
    TRY(const auto value, check(record));
    const auto id = volume_of_key(record.key);
    if (!id) return error(errc::invalid, "the record is not a volume's");
    const auto height = record.certificate.body.height;
    if (!value) {
        known_volume gone;
        gone.volume = *id;
        gone.height = height;
        gone.gone = true;
        return gone;
    }
    TRY(const auto volume, wire::decode<ledger::volume_record>(*value));
    if (volume.id != *id) return error(errc::invalid, "the record is about another volume");
    return summary(volume, height);
}

result<known_volume> authority::learn(const ledger::proved_record& record) {
    TRY(auto news, digest(record));
    const std::lock_guard writing(shard(news.volume));
    const auto known = find(news.volume);
    if (known && (news.height <= known->height || news.fence < known->fence)) {
        // An older record says nothing new. Terms only rise; a deleted volume keeps its fence.
        if (!(news.gone && news.height > known->height)) return *known;
        news.fence = known->fence;
    }
    if (!known && news.gone) return news;  // nothing of it is here: no need to remember a volume that never was
    {
        const std::lock_guard lock(m_mutex);
        if (!known && m_known.size() >= m_how.volumes_max) CHECK_OK(forget_gone());
    }
    auto same = news;
    if (known) same.height = known->height;
    // What only repeats what is known is remembered without a write: after a restart it can be shown again.
    if (!known || same != *known) CHECK_OK(write_checked(m_how.disk, m_how.paths.volume(news.volume), wire::encode(news)));
    const std::lock_guard lock(m_mutex);
    m_known[news.volume] = news;
    return news;
}

// A deleted volume's id is never used again, so what is forgotten of it can do no more than be shown once more: the sweeper
// then finds it gone again.
result<void> authority::forget_gone() {
    const auto at = std::find_if(m_known.begin(), m_known.end(), [](const auto& entry) { return entry.second.gone; });
    if (at == m_known.end()) return error(errc::exhausted, "this miner knows as many volumes as it may");
    if (const auto path = m_how.paths.volume(at->first); m_how.disk.exists(path)) CHECK_OK(m_how.disk.remove(path));
    m_known.erase(at);
    return {};
}

result<known_lease> authority::writer(const node_id& from, const volume_id& volume, term_number term) const {
    const std::lock_guard lock(m_mutex);
    const auto at = m_known.find(volume);
    if (at == m_known.end()) return error(errc::lease_required, "this miner has not seen a lease of volume " + volume.brief());
    const auto& known = at->second;
    if (term < known.fence) return error(errc::fenced, "volume " + volume.brief() + " is owned in term " + std::to_string(known.fence.value));
    if (known.gone) return error(errc::fenced, "volume " + volume.brief() + " is deleted");
    const auto* const lease = known.lease_of(term);
    if (!lease) return error(errc::lease_required, "this miner has not seen the lease of term " + std::to_string(term.value));
    if (crypto::id_of<node_id>(lease->session) != from) return error(errc::permission, "the caller's key is not the session key of the lease");
    return *lease;
}

std::optional<known_volume> authority::find(const volume_id& volume) const {
    const std::lock_guard lock(m_mutex);
    const auto at = m_known.find(volume);
    if (at == m_known.end()) return std::nullopt;
    return at->second;
}

term_number authority::fence_of(const volume_id& volume) const {
    const std::lock_guard lock(m_mutex);
    const auto at = m_known.find(volume);
    return at == m_known.end() ? term_number{} : at->second.fence;
}

}  // namespace cess::storage
