// Reading what nobody will ask for soon again: past the cache, but for what it has already.
#pragma once

#include "layer_core.hpp"

namespace cess::layer {

// Like block_fetch::read, one piece after the other. Blocks; thread-safe.
result<void> read_past_cache(layer_core& core, const keyring& keys, const std::vector<piece>& pieces);

}  // namespace cess::layer
