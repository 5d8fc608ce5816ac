// The common coin: a value for each number that nobody knows before f+1 members have given their shares, and that all
// shares agree on. It names the leaders of coin slots, and whatever else must not be foreseen.
#pragma once

#include <chain/consensus/rules.hpp>

#include <map>

namespace cess::consensus {

class coin {
public:
    virtual ~coin() = default;
    // This member's share.
    [[nodiscard]] virtual bytes share(coin_number of) const = 0;
    // Whether `share` is the one that `member` can give.
    [[nodiscard]] virtual bool holds(coin_number of, author_index member, byte_view share) const = 0;
    // The value: the same whichever coin_quorum shares it is made of. REQUIRES: at least coin_quorum shares, all of which hold;
    // std::logic_error otherwise, since a value of too few is a value that others do not have
    [[nodiscard]] virtual hash256 combine(coin_number of, const std::map<author_index, bytes>& shares) const = 0;
};

// Which member a value names.
[[nodiscard]] author_index leader_by(const hash256& value, std::size_t members) noexcept;

}  // namespace cess::consensus
