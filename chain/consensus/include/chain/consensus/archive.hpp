// What this member has ever accepted, which reaches further back than the DAG.
#pragma once

#include <chain/consensus/block.hpp>

namespace cess::consensus {

// The index of the owner's log. A block is accepted only if all it refers to was: also what lies below the DAG's floor, since
// another member's floor may be lower, and waits for ever for what is named and does not exist.
class archive {
public:
    virtual ~archive() = default;
    [[nodiscard]] virtual bool holds(const block_ref& what) const = 0;
};

}  // namespace cess::consensus
