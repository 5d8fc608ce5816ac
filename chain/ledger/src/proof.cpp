#include <chain/ledger/proof.hpp>
#include <chain/ledger/tree.hpp>

#include <algorithm>
#include <mutex>

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

hash256 epoch_genesis(const certificate_body& last) { return crypto::sha256(tagged("cess epoch v1", wire::encode(last))); }

hash256 next_commit_digest(const hash256& previous, const hash256& block_digest) {
    return crypto::sha256({previous.view(), block_digest.view()});
}

// ---- trust ------------------------------------------------------------------------------------------------

struct trust::epochs {
    struct term {
        std::shared_ptr<const std::vector<public_key>> members;  // shared by epochs with the same ones
        std::optional<block_height> ended;
    };
    mutable std::mutex mutex;
    std::uint64_t first = 0;
    std::vector<term> terms;     // from the first on
    std::uint64_t wanted = 0;    // the highest that a certificate was of
    [[nodiscard]] std::uint64_t newest() const noexcept { return first + terms.size() - 1; }
};

trust::trust(network_id network, committee now) : m_network(network), m_epochs(std::make_shared<epochs>()) {
    m_epochs->first = now.epoch;
    m_epochs->terms.push_back({std::make_shared<const std::vector<public_key>>(std::move(now.members)), std::nullopt});
}

committee trust::now() const {
    const std::lock_guard lock(m_epochs->mutex);
    return {m_epochs->newest(), *m_epochs->terms.back().members};
}

bool trust::wants_handovers() const {
    const std::lock_guard lock(m_epochs->mutex);
    return m_epochs->wanted > m_epochs->newest();
}

result<void> trust::check(const state_certificate& certificate) const {
    const auto& body = certificate.body;
    if (body.network != m_network) return refused("of another network");
    epochs::term of;
    {
        const std::lock_guard lock(m_epochs->mutex);
        if (body.epoch < m_epochs->first) return refused("of an epoch before the one that is trusted");
        m_epochs->wanted = std::max(m_epochs->wanted, body.epoch);
        if (body.epoch > m_epochs->newest())
            return error(errc::unavailable, "state certificate: of epoch " + std::to_string(body.epoch) + ", the newest that is known here is " + std::to_string(m_epochs->newest()));
        of = m_epochs->terms[body.epoch - m_epochs->first];
    }
    if (of.ended && body.height > *of.ended) return refused("from past its epoch's end");
    const committee signers{body.epoch, *of.members};
    if (signers.members.empty()) return refused("the trusted committee is empty");
    if (certificate.signatures.size() < signers.quorum()) return refused("signed by less than a quorum");
    const auto message = message_of(body);
    std::size_t last = 0;
    bool first = true;
    for (const auto& [index, sig] : certificate.signatures) {
        if (index >= signers.members.size()) return refused("signed by a stranger");
        if (!first && index <= last) return refused("signatures out of order");
        if (!crypto::verify(signers.members[index], message, sig)) return refused("a signature does not hold");
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
    const auto& body = certificate.body;
    if (body.next.epoch == body.epoch) return {};
    if (body.next.epoch != body.epoch + 1 || body.next.members.empty()) return refused("names a committee that cannot follow this one");
    const std::lock_guard lock(m_epochs->mutex);
    if (body.epoch != m_epochs->newest()) return {};
    auto& last = m_epochs->terms.back();
    last.ended = body.height;
    auto members = body.next.members == *last.members ? last.members : std::make_shared<const std::vector<public_key>>(body.next.members);
    m_epochs->terms.push_back({std::move(members), std::nullopt});
    return {};
}

}  // namespace cess::ledger
