#include "life.hpp"

#include <algorithm>
#include <set>

namespace cess::ledger {
namespace {

result<void> check_members(transition& in, const volume_record& volume, const std::vector<journal_member>& members) {
    if (members.size() > limits::members_max) return error(errc::too_large, "journal of more than 64 members");
    const auto needed = static_cast<std::size_t>(volume.geometry.m) + 1;
    if (members.size() < needed) return error(errc::invalid, "volume " + volume.name + " needs at least " + std::to_string(needed) + " journal members");
    std::set<node_id> seen;
    for (const auto& member : members) {
        const auto* node = in.node(member.miner);
        if (!node || node->role != node_role::storage) return error(errc::not_found, "journal member: storage miner " + member.miner.brief());
        if (!seen.insert(member.miner).second) return error(errc::invalid, "journal member " + member.miner.brief() + " is named twice");
    }
    return {};
}

void drop_older(volume_record& volume, term_number than) {
    std::erase_if(volume.leases, [&](const lease& l) { return l.term < than; });
}

constexpr std::uint64_t settled_with_a_root = 64;

result<void> check_head(const volume_record& volume, const root& head) {
    const auto wrong = [&](const char* why) { return error(errc::invalid, "root of volume " + volume.name + ": " + why); };
    if (head.term != volume.term) return wrong("names another term than its transaction");
    if (head.sequence < volume.head.sequence) return wrong("is older than the head");
    if (head.term == volume.head.term && head.journal_base < volume.head.journal_base) return wrong("its journal base goes back");
    return {};
}

}  // namespace

result<bytes> execute(transition& in, const take_lease& what) {
    TRY(auto volume, in.owned(what.volume));
    if (what.expected != volume.term)
        return error(errc::conflict, "volume " + volume.name + " is in term " + std::to_string(volume.term.value) + ", not " + std::to_string(what.expected.value));
    if (volume.term.value >= limits::term_max) return error(errc::out_of_range, "volume " + volume.name + " has used up its terms; clone it");
    if (volume.leases.size() >= limits::leases_max) return error(errc::exhausted, "volume " + volume.name + ": 64 owners left no root; seal the older leases");
    if (what.endpoint.size() > limits::text_max) return error(errc::too_large, "owner's endpoint is longer than 256 bytes");
    if (what.session.is_zero()) return error(errc::invalid, "lease without a session key");
    CHECK_OK(check_members(in, volume, what.members));
    in.unreserve(volume, volume.reserved);
    CHECK_OK(in.reserve(volume, what.reservation));
    volume.term = volume.term.next();
    lease granted;
    granted.volume = volume.id;
    granted.term = volume.term;
    granted.session = what.session;
    granted.endpoint = what.endpoint;
    granted.members = what.members;
    granted.tolerated = volume.geometry.m;
    granted.reservation = what.reservation;
    granted.journal_salt = what.journal_salt;
    volume.leases.push_back(granted);
    in.save(volume);
    return wire::encode(granted);
}

result<bytes> execute(transition& in, const release_lease& what) {
    TRY(auto volume, in.held(what.volume, what.term));
    volume.leases.back().endpoint.clear();
    in.unreserve(volume, volume.reserved);
    in.save(volume);
    return bytes{};
}

result<bytes> execute(transition& in, const extend_reservation& what) {
    TRY(auto volume, in.held(what.volume, what.term));
    auto& current = volume.leases.back().reservation;
    if (what.reservation < current) return error(errc::invalid, "volume " + volume.name + ": a reservation only grows");
    CHECK_OK(in.reserve(volume, what.reservation - current));
    current = what.reservation;
    in.save(volume);
    return bytes{};
}

result<bytes> execute(transition& in, const seal_leases& what) {
    TRY(auto volume, in.held(what.volume, what.term));
    drop_older(volume, what.term);
    in.save(volume);
    return bytes{};
}

result<bytes> execute(transition& in, const add_segments& what) {
    if (what.segments.size() > limits::segments_max) return error(errc::too_large, "more than 4096 segments in one transaction");
    TRY(auto volume, in.held(what.volume, what.term));
    CHECK_OK(lineage(in, volume).add(what.segments));
    in.save(volume);
    return bytes{};
}

// The manifest must be a live segment of the volume itself, or the one it inherited and still stands on.
result<void> check_manifest(transition& in, const volume_record& volume, const root& at) {
    if (!at.manifest) return {};
    const auto wrong = [&](const char* why) { return error(errc::invalid, "root of volume " + volume.name + ": its manifest " + why); };
    if (at.manifest->lineage != volume.id) {
        if (volume.base && volume.head.manifest == at.manifest) return {};
        return wrong("is of another lineage");
    }
    const auto known = in.find<segment_record>(key::segment(volume.id, at.manifest->number));
    if (!known) return wrong("is not among the volume's segments");
    auto named = *at.manifest;
    named.death = known->death;
    if (named != *known) return wrong("differs from the segment of that number");
    if (known->birth > at.sequence) return wrong("is younger than it");
    if (known->death.value != 0 && known->death <= at.sequence) return wrong("is dead");
    return {};
}

result<bytes> execute(transition& in, const commit_root& what) {
    if (what.added.size() > limits::segments_max || what.dead.size() > limits::segments_max || what.moved.size() > limits::segments_max)
        return error(errc::too_large, "more than 4096 segments in one transaction");
    TRY(auto volume, in.held(what.volume, what.term));
    CHECK_OK(check_head(volume, what.head));
    if (what.head.manifest && what.head.manifest->lineage != volume.id) CHECK_OK(check_manifest(in, volume, what.head));  // while the old head stands
    volume.head = what.head;
    if (volume.head.manifest) volume.head.manifest->death = {};
    lineage life(in, volume);
    CHECK_OK(life.add(what.added));
    CHECK_OK(life.move(what.moved));
    CHECK_OK(life.kill(what.dead));
    if (!what.head.manifest || what.head.manifest->lineage == volume.id) CHECK_OK(check_manifest(in, volume, volume.head));
    drop_older(volume, what.term);
    if (const auto past = in.find<sequence_number>(key::withdrawn(volume.id)); past && *past <= volume.head.sequence) in.erase(key::withdrawn(volume.id));
    life.settle_pending(settled_with_a_root);
    life.settle_astray(settled_with_a_root);
    in.save(volume);
    return bytes{};
}

}  // namespace cess::ledger
