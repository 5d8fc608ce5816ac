#include <chain/consensus/block.hpp>

#include <core/crypto/crypto.hpp>

namespace cess::consensus {

hash256 digest_of(const block_body& body) { return crypto::sha256(wire::encode(body)); }

std::size_t memory_of(const block_body& body) {
    std::size_t out = sizeof(named_block) + body.coin_share.size() + sizeof(block_ref) * (body.parents.size() + body.weak.size()) +
                      sizeof(body.certificate_signatures[0]) * body.certificate_signatures.size();
    for (const auto& item : body.payload) out += sizeof item + item.size();
    return out;
}

block_ptr named(block what) {
    auto out = std::make_shared<named_block>();
    out->ref = {what.body.round, what.body.author, digest_of(what.body)};
    out->what = std::move(what);
    return out;
}

}  // namespace cess::consensus
