#include <chain/consensus/block.hpp>

#include <core/crypto/crypto.hpp>

namespace cess::consensus {

hash256 digest_of(const block_body& body) { return crypto::sha256(wire::encode(body)); }

block_ptr named(block what) {
    auto out = std::make_shared<named_block>();
    out->ref = {what.body.round, what.body.author, digest_of(what.body)};
    out->what = std::move(what);
    return out;
}

}  // namespace cess::consensus
