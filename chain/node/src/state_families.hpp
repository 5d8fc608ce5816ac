// Families of keys in a consensus node's one store, each behind a letter.
#pragma once

#include <core/base/bytes.hpp>

namespace cess::chain {

inline constexpr char state_family = 'S', tree_family = 'T', own_family = 'M', index_family = 'X';

[[nodiscard]] inline bytes in_family(char family, const bytes& key) {
    bytes out;
    out.reserve(key.size() + 1);
    out.push_back(static_cast<std::byte>(family));
    append(out, key);
    return out;
}

}  // namespace cess::chain
