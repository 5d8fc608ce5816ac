// The common small read: blocks that lie in one fragment, asked of its holder alone, of whom nothing is known that
// speaks against it. No coroutine, no timer and no second miner come into it unless it fails or is late; then the
// machinery of segment_read.hpp does what is to be done.
#pragma once

#include "layer_core.hpp"
#include "run_queue.hpp"

namespace cess::layer {

// Whether `what` is small enough: a matter of its layout alone.
[[nodiscard]] bool in_one_small_range(const run& what) noexcept;

// False, and nothing is asked, if the run is not small, or there is a reason to doubt. Otherwise `done` is called once,
// on a network thread, with the opened blocks or why there are none.
using first_answer = std::function<void(first_outcome, result<opened_blocks>)>;
[[nodiscard]] bool try_holder(layer_core& core, const run& what, first_answer done);

}  // namespace cess::layer
