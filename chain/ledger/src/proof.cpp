#include <chain/ledger/proof.hpp>
#include <chain/ledger/tree.hpp>

namespace cess::ledger {
namespace {

bytes tagged(std::string_view tag, byte_view text) {
    auto out = to_bytes(tag);
    append(out, text);
    return out;
}

error refused(const char* why) { return {errc::permission, std::string("state certificate: ") + why}; }

}  // namespace

network_id id_of(const genesis& g) { return network_id::from(crypto::sha256(tagged("cess genesis v1", wire::encode(g))).view()); }

bytes message_of(const certificate_body& body) { return tagged("cess certificate v1", wire::encode(body)); }

signature sign(const crypto::signing_key& member, const certificate_body& body) { return member.sign(message_of(body)); }

certificate_body origin_of(const genesis& g) {
    certificate_body body;
    body.network = id_of(g);
    body.epoch = g.first.epoch;
    body.commit_digest = hash256::from(body.network.view());
    body.next = g.first;
    return body;
}

hash256 next_commit_digest(const hash256& previous, const hash256& block_digest) {
    return crypto::sha256({previous.view(), block_digest.view()});
}

result<void> trust::check(const state_certificate& certificate) const {
    const auto& body = certificate.body;
    if (body.network != m_network) return refused("of another network");
    if (body.epoch != m_committee.epoch) return refused("of another epoch than the trusted committee's");
    if (m_committee.members.empty()) return refused("the trusted committee is empty");
    if (certificate.signatures.size() < m_committee.quorum()) return refused("signed by less than a quorum");
    const auto message = message_of(body);
    std::size_t last = 0;
    bool first = true;
    for (const auto& [index, sig] : certificate.signatures) {
        if (index >= m_committee.members.size()) return refused("signed by a stranger");
        if (!first && index <= last) return refused("signatures out of order");
        if (!crypto::verify(m_committee.members[index], message, sig)) return refused("a signature does not hold");
        last = index;
        first = false;
    }
    return {};
}

result<std::optional<bytes>> trust::check(const proved_record& record) const {
    CHECK_OK(check(record.certificate));
    TRY(const auto proved, ledger::follow(record.proof, record.certificate.body.state_root, crypto::sha256(record.key)));
    if (proved.has_value() != record.value.has_value()) return error(errc::corrupt, "state proof: shows the opposite of what comes with it");
    if (proved && crypto::sha256(*record.value) != *proved) return error(errc::corrupt, "state proof: of another value");
    return record.value;
}

result<void> trust::follow(const state_certificate& certificate) {
    CHECK_OK(check(certificate));
    const auto& next = certificate.body.next;
    if (next == m_committee) return {};
    if (next.epoch != m_committee.epoch + 1 || next.members.empty()) return refused("names a committee that cannot follow this one");
    m_committee = next;
    return {};
}

}  // namespace cess::ledger
