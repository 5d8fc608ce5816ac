#include <objectstore/layer/journal.hpp>

#include <algorithm>

namespace cess::layer {
namespace {

bytes additional_data(const storage::journal_ref& journal) {
    bytes out = to_bytes("cess journal entry v1");
    append(out, wire::encode(journal));
    return out;
}

}  // namespace

crypto::secret_key journal_key(const crypto::secret_key& volume_key, const salt256& salt) {
    return crypto::hkdf(volume_key, salt.view(), "cess journal v1");
}

entry_sealer::entry_sealer(storage::journal_ref journal, const crypto::secret_key& key, std::size_t payload_max)
    : m_journal(journal), m_aead(key), m_payload_max(payload_max) {}

sealed_entry entry_sealer::seal(entry_kind kind, byte_view payload) {
    bytes plain(1 + payload.size());
    plain[0] = static_cast<std::byte>(kind);
    if (!payload.empty()) std::memcpy(plain.data() + 1, payload.data(), payload.size());
    sealed_entry out;
    out.index = m_next;
    out.payload.resize(plain.size() + crypto::aead_tag_size);
    m_aead.seal(crypto::aead_nonce::from_index(m_next.value), additional_data(m_journal), plain, out.payload);
    out.previous = m_chain;
    out.chain = storage::chain_hash(m_journal, m_next, m_chain, out.payload);
    m_chain = out.chain;
    m_next = m_next.next();
    return out;
}

std::vector<sealed_entry> entry_sealer::seal_split(byte_view payload) {
    std::vector<sealed_entry> out;
    if (payload.size() <= m_payload_max) {
        out.push_back(seal(entry_kind::whole, payload));
        return out;
    }
    for (std::size_t at = 0; at < payload.size(); at += m_payload_max) {
        const auto part = payload.subspan(at, std::min(m_payload_max, payload.size() - at));
        const bool is_last = at + part.size() == payload.size();
        out.push_back(seal(at == 0 ? entry_kind::first : is_last ? entry_kind::last : entry_kind::middle, part));
    }
    return out;
}

entry_opener::entry_opener(storage::journal_ref journal, std::vector<crypto::secret_key> candidates)
    : m_journal(journal), m_candidates(std::move(candidates)) {}

result<plain_entry> entry_opener::open(entry_index index, byte_view sealed) {
    if (sealed.size() < entry_overhead) return error(errc::corrupt, "journal entry is too short");
    const auto additional = additional_data(m_journal);
    const auto nonce = crypto::aead_nonce::from_index(index.value);
    bytes plain(sealed.size() - crypto::aead_tag_size);
    if (!m_aead) {
        for (const auto& key : m_candidates) {
            crypto::aead attempt(key);
            if (!attempt.open(nonce, additional, sealed, plain)) continue;
            m_aead.emplace(std::move(attempt));
            break;
        }
        if (!m_aead) return error(errc::corrupt, "no key of the volume opens journal entry " + std::to_string(index.value));
    } else if (auto opened = m_aead->open(nonce, additional, sealed, plain); !opened) {
        return std::move(opened).error().with_context("journal entry " + std::to_string(index.value));
    }
    const auto kind = std::to_integer<std::uint8_t>(plain[0]);
    if (kind > static_cast<std::uint8_t>(entry_kind::last)) return error(errc::corrupt, "journal entry of an unknown kind");
    plain_entry out;
    out.kind = static_cast<entry_kind>(kind);
    plain.erase(plain.begin());
    out.payload = std::move(plain);
    return out;
}

chain_reader::chain_reader(storage::journal_ref journal, public_key session, std::vector<crypto::secret_key> candidates, entry_index from)
    : m_journal(journal), m_session(session), m_opener(journal, std::move(candidates)) {
    m_chain.base = m_chain.end = from;
}

result<void> chain_reader::add(const storage::journal_read_reply& page, byte_view body) {
    if (page.groups.empty()) return error(errc::corrupt, "journal page without groups");
    if (!m_started) {
        const auto start = page.groups.front().first;
        if (start > m_chain.base) return error(errc::corrupt, "journal page starts too late");
        if (start.value == 0 && !page.previous.is_zero()) return error(errc::corrupt, "journal starts in the middle");
        m_chain.base = m_chain.end = start;
        m_chain.chain = page.previous;
        m_started = true;
    } else if (page.previous != m_chain.chain) {
        return error(errc::corrupt, "journal pages do not chain");
    }
    for (const auto& group : page.groups) {
        std::uint64_t size = 0;
        for (const auto length : group.lengths) size += length;
        if (group.lengths.empty() || size > body.size()) return error(errc::corrupt, "journal page is cut short");
        CHECK_OK(add_group(group, body.first(size)));
        body = body.subspan(size);
    }
    if (!body.empty()) return error(errc::corrupt, "journal page with bytes left over");
    return {};
}

result<void> chain_reader::add_group(const storage::stored_group& group, byte_view body) {
    if (group.first != m_chain.end) return error(errc::corrupt, "journal group out of place");
    for (const auto length : group.lengths) {
        const auto payload = body.first(length);
        body = body.subspan(length);
        TRY(auto opened, m_opener.open(m_chain.end, payload));
        m_chain.chain = storage::chain_hash(m_journal, m_chain.end, m_chain.chain, payload);
        m_chain.end = m_chain.end.next();
        m_chain.entries.push_back(std::move(opened));
    }
    m_last_signature = group.sig;
    return {};
}

result<journal_chain> chain_reader::finish() && {
    if (m_chain.entries.empty()) return std::move(m_chain);
    const entry_index last{m_chain.end.value - 1};
    if (!crypto::verify(m_session, storage::group_digest(m_journal, last, m_chain.chain).view(), m_last_signature))
        return error(errc::corrupt, "journal is not signed by the session of its term");
    return std::move(m_chain);
}

std::optional<journal_seal> complete_seal(const journal_chain& chain) {
    if (chain.base.value != 0 || chain.entries.empty() || chain.entries.front().kind != entry_kind::seal) return std::nullopt;
    auto seal = wire::decode<journal_seal>(chain.entries.front().payload);
    if (!seal || chain.entries.size() < std::size_t{seal->copied} + 1) return std::nullopt;
    return *seal;
}

std::vector<plain_entry> countable(std::vector<plain_entry> entries) {
    std::vector<plain_entry> out, parts;
    for (auto& entry : entries) {
        switch (entry.kind) {
            case entry_kind::seal: break;
            case entry_kind::whole:
                parts.clear();
                out.push_back(std::move(entry));
                break;
            case entry_kind::first:
                parts.clear();
                parts.push_back(std::move(entry));
                break;
            case entry_kind::middle:
                if (!parts.empty()) parts.push_back(std::move(entry));
                break;
            case entry_kind::last:
                if (parts.empty()) break;
                for (auto& part : parts) out.push_back(std::move(part));
                out.push_back(std::move(entry));
                parts.clear();
                break;
        }
    }
    return out;
}

std::vector<bytes> assemble(const std::vector<plain_entry>& entries) {
    std::vector<bytes> out;
    for (const auto& entry : entries) {
        if (entry.kind == entry_kind::whole || entry.kind == entry_kind::first)
            out.push_back(entry.payload);
        else if (!out.empty())
            append(out.back(), entry.payload);
    }
    return out;
}

}  // namespace cess::layer
