#include "json.hpp"

namespace cess::chain {
namespace {

json keyring_of(const std::vector<ledger::wrapped_key>& keys) {
    auto out = json::array();
    for (const auto& key : keys) {
        json row;
        row["lineage"] = key.lineage.hex();
        row["generation"] = key.generation;
        out.push_back(std::move(row));
    }
    return out;
}

template <class Ids>
json hex_list(const Ids& ids) {
    auto out = json::array();
    for (const auto& id : ids) out.push_back(id.hex());
    return out;
}

}  // namespace

std::string_view to_string(ledger::node_role role) noexcept {
    switch (role) {
        case ledger::node_role::storage: return "storage";
        case ledger::node_role::consensus: return "consensus";
        case ledger::node_role::cache: return "cache";
    }
    return "unknown";
}

json to_json(const ledger::shape& shape) {
    json out;
    out["k"] = shape.k;
    out["m"] = shape.m;
    return out;
}

json to_json(const ledger::node_record& node) {
    json out;
    out["id"] = node.id.hex();
    out["role"] = to_string(node.role);
    out["owner"] = node.owner.hex();
    out["address"] = node.address;
    out["failure_domain"] = node.failure_domain;
    out["offered"] = wide(node.offered);
    out["committed"] = wide(node.committed);
    return out;
}

json to_json(const ledger::segment_record& segment) {
    json out;
    out["lineage"] = segment.lineage.hex();
    out["number"] = wide(segment.number.value);
    out["id"] = segment.id.hex();
    out["geometry"] = to_json(segment.geometry);
    out["length"] = wide(segment.length);
    out["fragment_length"] = wide(ledger::fragment_length(segment));
    out["block_size"] = segment.block_size;
    out["key_generation"] = segment.key_generation;
    out["holders"] = hex_list(segment.holders);
    out["birth"] = wide(segment.birth.value);
    out["death"] = segment.death.value == 0 ? json() : json(wide(segment.death.value));
    return out;
}

json to_json(const ledger::root& root) {
    json out;
    out["sequence"] = wide(root.sequence.value);
    out["term"] = root.term.value;
    out["journal_base"] = wide(root.journal_base.value);
    out["manifest"] = root.manifest ? to_json(*root.manifest) : json();
    return out;
}

json to_json(const ledger::lease& lease) {
    json out;
    out["term"] = lease.term.value;
    out["session"] = lease.session.hex();
    out["endpoint"] = lease.endpoint;
    out["released"] = lease.endpoint.empty();
    out["tolerated"] = lease.tolerated;
    out["reservation"] = wide(lease.reservation);
    out["members"] = json::array();
    for (const auto& member : lease.members) {
        json row;
        row["miner"] = member.miner.hex();
        row["incarnation"] = member.incarnation.hex();
        out["members"].push_back(std::move(row));
    }
    return out;
}

json to_json(const ledger::view_record& view) {
    json out;
    out["name"] = view.name;
    out["kind"] = view.kind == ledger::view_kind::snapshot ? "snapshot" : "clone_base";
    out["size"] = wide(view.size);
    out["created_unix"] = view.created_unix;
    out["clones"] = view.clones;
    out["root"] = to_json(view.at);
    return out;
}

json to_json(const ledger::freed_record& freed) {
    json out;
    out["lineage"] = freed.lineage.hex();
    out["id"] = freed.id.hex();
    out["since"] = freed.since.value;
    out["holders"] = hex_list(freed.holders);
    return out;
}

json to_json(const ledger::committee& committee) {
    json out;
    out["epoch"] = committee.epoch;
    out["quorum"] = committee.quorum();
    out["faulty_max"] = committee.faulty_max();
    out["members"] = hex_list(committee.members);
    return out;
}

json to_json(const ledger::state_certificate& certificate) {
    const auto& body = certificate.body;
    json out;
    out["network"] = body.network.hex();
    out["epoch"] = body.epoch;
    out["height"] = body.height.value;
    out["commit_digest"] = body.commit_digest.hex();
    out["state_root"] = body.state_root.hex();
    out["next"]["epoch"] = body.next.epoch;
    out["next"]["members"] = hex_list(body.next.members);
    out["message"] = to_hex(ledger::message_of(body));
    out["signatures"] = json::array();
    for (const auto& [member, sig] : certificate.signatures) {
        json row;
        row["member"] = member;
        row["signature"] = sig.hex();
        out["signatures"].push_back(std::move(row));
    }
    return out;
}

json to_json(const ledger::tree_proof& proof) {
    json out;
    out["path"] = json::array();
    for (const auto& level : proof.path) {
        json row;
        row["present"] = level.present;
        row["children"] = hex_list(level.children);
        out["path"].push_back(std::move(row));
    }
    out["leaf"] = json();
    if (!proof.leaf) return out;
    json leaf;
    leaf["key_hash"] = proof.leaf->first.hex();
    leaf["value_hash"] = proof.leaf->second.hex();
    out["leaf"] = std::move(leaf);
    return out;
}

json summary_of(const ledger::volume_record& volume) {
    json out;
    out["id"] = volume.id.hex();
    out["name"] = volume.name;
    out["owner"] = volume.owner.hex();
    out["type"] = ledger::to_string(volume.type);
    out["size"] = wide(volume.size);
    out["used"] = wide(volume.used);
    out["geometry"] = to_json(volume.geometry);
    out["term"] = volume.term.value;
    out["sequence"] = wide(volume.head.sequence.value);
    out["created_unix"] = volume.created_unix;
    out["deleting"] = volume.deleting;
    return out;
}

json to_json(const ledger::volume_record& volume) {
    auto out = summary_of(volume);
    out["block_size"] = volume.block_size;
    out["reserved"] = wide(volume.reserved);
    out["freed_upto"] = wide(volume.freed_upto.value);
    out["keyring"] = keyring_of(volume.keyring);
    out["root"] = to_json(volume.head);
    out["base"] = json();
    if (volume.base) {
        json base;
        base["volume"] = volume.base->volume.hex();
        base["view"] = volume.base->name;
        out["base"] = std::move(base);
    }
    out["lease"] = volume.leases.empty() ? json() : to_json(volume.leases.back());
    out["older_leases"] = json::array();
    for (std::size_t i = 0; i + 1 < volume.leases.size(); ++i) out["older_leases"].push_back(to_json(volume.leases[i]));
    return out;
}

}  // namespace cess::chain
