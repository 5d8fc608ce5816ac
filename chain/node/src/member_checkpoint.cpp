#include "member_checkpoint.hpp"

#include <core/wire/codec.hpp>

namespace cess::chain {
namespace {

bytes key() { return to_bytes("C"); }  // a family of its own

}  // namespace

result<std::optional<member_checkpoint>> load_checkpoint(kv::store& from) {
    std::optional<member_checkpoint> out;
    TRY(const auto found, from.get(key()));
    if (!found) return out;
    auto decoded = wire::decode<member_checkpoint>(*found);
    if (!decoded) return error(errc::corrupt, "the committee's checkpoint in the state store cannot be read; restore files and state store together");
    out = std::move(*decoded);
    return out;
}

result<void> store_checkpoint(kv::store& to, const member_checkpoint& what) {
    kv::batch changes;
    changes.emplace(key(), wire::encode(what));
    return to.commit(changes);
}

}  // namespace cess::chain
