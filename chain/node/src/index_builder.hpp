// The index over what a node certified before it kept one: a second machine applies the same blocks in a store of its own, a
// few at a time, and its index is copied at the end. The node's own machine is not involved, and a build that was
// interrupted goes on where its store stands.
//
// Blocking; one thread at a time.
#pragma once

#include "machine.hpp"

namespace cess::chain {

class index_builder {
public:
    struct sources {
        kv::store& scratch;
        machine& of;        // whose index is completed
        kv::store& store;   // its store
        const ledger::genesis& origin;
        bool verified;      // the signatures in the blocks were checked before they were ordered
        std::function<result<bytes>(block_height)> read_block;
    };
    explicit index_builder(sources from) : m_from(std::move(from)) {}

    result<bool> step();  // false: complete

private:
    result<void> apply_some(block_height upto);

    const sources m_from;
    std::unique_ptr<machine> m_machine;
    bytes m_copied;
};

}  // namespace cess::chain
