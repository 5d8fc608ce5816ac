#include <node/storage/protocol.hpp>

#include <core/crypto/blake3.hpp>
#include <core/crypto/crypto.hpp>

#include <algorithm>

namespace cess::storage {
namespace {

const crypto::blake3_context& leaf_context() {
    static const crypto::blake3_context context("cess 2026-11 fragment leaf");
    return context;
}
const crypto::blake3_context& node_context() {
    static const crypto::blake3_context context("cess 2026-11 fragment node");
    return context;
}
const crypto::blake3_context& entry_context() {
    static const crypto::blake3_context context("cess 2026-11 journal entry");
    return context;
}

}  // namespace

segment_id id_of(const segment_identity& identity) {
    const auto digest = crypto::sha256({as_view("cess segment v2"), wire::encode(identity)});
    return segment_id::from(digest.raw);
}

hash256 leaf_hash(byte_view leaf) { return leaf_context().hash(leaf); }

std::vector<hash256> leaf_hashes(byte_view fragment) {
    std::vector<hash256> leaves;
    leaves.reserve((fragment.size() + leaf_size - 1) / leaf_size);
    while (!fragment.empty()) {
        const auto leaf = fragment.first(std::min(leaf_size, fragment.size()));
        leaves.push_back(leaf_hash(leaf));
        fragment = fragment.subspan(leaf.size());
    }
    return leaves;
}

hash256 merkle_root(const std::vector<hash256>& leaves) {
    if (leaves.empty()) return leaf_hash({});
    const auto& context = node_context();
    auto level = leaves;
    while (level.size() > 1) {
        std::size_t out = 0;
        for (std::size_t i = 0; i < level.size(); i += 2)
            level[out++] = i + 1 < level.size() ? context.hash({level[i].view(), level[i + 1].view()}) : level[i];
        level.resize(out);
    }
    return level.front();
}

std::uint64_t fragment_length(const ledger::shape& geometry, std::uint64_t stored_length) noexcept {
    const std::uint64_t k = std::max<std::uint64_t>(geometry.k, 1);
    return stored_length / k + (stored_length % k != 0 ? 1 : 0);
}

put_plan plan_of(const put_request& what) {
    put_plan out;
    out.volume = what.volume;
    out.term = what.term;
    out.geometry = what.identity.geometry;
    out.stored_length = what.identity.stored_length;
    out.index = what.index;
    return out;
}

hash256 chain_hash(const journal_ref& journal, entry_index index, const hash256& previous, byte_view payload) {
    wire::encoder place;
    place(journal, index);
    return entry_context().hash({place.view(), previous.view(), payload});
}

hash256 group_digest(const journal_ref& journal, entry_index last, const hash256& chain) {
    wire::encoder place;
    place(journal, last);
    return crypto::sha256({as_view("cess journal group v1"), place.view(), chain.view()});
}

}  // namespace cess::storage
