// From the committee's sequence to heights: each block with payload that enters the sequence has the next one, at all members alike.
#pragma once

#include <chain/consensus/sequencer.hpp>
#include <chain/node/ordering.hpp>

namespace cess::chain {

// So has the end of the epoch. Not thread-safe. Begins behind the commits up to `before`, whose blocks had `bytes`; what the state at
// `contained` ≥ `before` contains already is passed over.
class heights {
public:
    heights(block_height contained, hash256 digest, block_height before, std::uint64_t bytes)
        : m_contained(contained), m_digest(digest), m_last(before), m_bytes(bytes) {}
    // errc::corrupt if the block at the state's height is another than the one it contains.
    result<void> number(const consensus::committed& commit, std::vector<committed_block>& out);
    [[nodiscard]] block_height last() const noexcept { return m_last; }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return m_bytes; }  // of the blocks up to there

private:
    result<void> take(committed_block what, std::vector<committed_block>& out);
    const block_height m_contained;
    const hash256 m_digest;  // of the block at m_contained
    block_height m_last;
    std::uint64_t m_bytes;
};

}  // namespace cess::chain
