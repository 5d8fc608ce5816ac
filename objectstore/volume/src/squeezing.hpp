// A buffer whose bytes were partly overwritten before it was stored is stored without them: as a container of itself, under
// its own number. docs/ARCHITECTURE.md has the argument for what may be left out.
#pragma once

#include "container.hpp"

namespace cess::volume {

struct squeezed_buffer {
    bytes content;                             // that is stored in its stead
    std::shared_ptr<const piece_index> index;  // of it
    std::uint64_t left_out = 0;                // bytes
    sequence_number complete_from;             // all that is left out, the changes up to this one had overwritten
};

// Nothing if it does not pay. REQUIRES: [0, used) of the buffer changes no more, and ranges of `overwritten` do not overlap.
[[nodiscard]] result<std::optional<squeezed_buffer>> squeeze(const segment_buffer& of, std::uint64_t used, std::vector<overwritten_range> overwritten);

}  // namespace cess::volume
