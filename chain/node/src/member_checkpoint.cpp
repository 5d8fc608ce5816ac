#include "member_checkpoint.hpp"

#include <core/wire/codec.hpp>

namespace cess::chain {

bytes epoch_family(char letter, std::uint64_t epoch) {
    bytes out{static_cast<std::byte>(letter)};
    for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<std::byte>(epoch >> shift));
    return out;
}

result<std::optional<member_checkpoint>> load_checkpoint(kv::store& from, std::uint64_t epoch) {
    std::optional<member_checkpoint> out;
    TRY(const auto found, from.get(epoch_family('C', epoch)));
    if (!found) return out;
    auto decoded = wire::decode<member_checkpoint>(*found);
    if (!decoded) return error(errc::corrupt, "the committee's checkpoint in the state store cannot be read; restore files and state store together");
    out = std::move(*decoded);
    return out;
}

result<void> store_checkpoint(kv::store& to, std::uint64_t epoch, const member_checkpoint& what) {
    kv::batch changes;
    changes.emplace(epoch_family('C', epoch), wire::encode(what));
    return to.commit(changes);
}

}  // namespace cess::chain
