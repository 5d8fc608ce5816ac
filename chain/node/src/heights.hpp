// From the committee's sequence to heights: each block with payload that enters the sequence has the next one, at all members alike.
#pragma once

#include <chain/consensus/sequencer.hpp>
#include <chain/node/ordering.hpp>

namespace cess::chain {

// Not thread-safe. Begins at the first commit; what the state at `last` contains already is passed over.
class heights {
public:
    explicit heights(block_height last, hash256 digest) : m_contained(last), m_digest(digest) {}
    // errc::corrupt if the block at the state's height is another than the one it contains.
    result<void> number(const consensus::committed& commit, std::vector<committed_block>& out);

private:
    const block_height m_contained;
    const hash256 m_digest;  // of the block at m_contained
    block_height m_last;
};

}  // namespace cess::chain
