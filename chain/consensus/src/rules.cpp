#include <chain/consensus/rules.hpp>

#include <numeric>

namespace cess::consensus {

rules rules::of(std::size_t members) {
    static constexpr std::size_t all_lead_up_to = 10;
    rules out;
    out.members = members;
    out.permutation.resize(members);
    std::iota(out.permutation.begin(), out.permutation.end(), author_index{0});
    out.leaders = std::min(members, all_lead_up_to);
    const auto quorum = members - out.faulty_max();
    out.parent_quorum = out.certificate_quorum = out.commit_quorum = out.skip_quorum = out.close_quorum = quorum;
    out.coin_quorum = out.faulty_max() + 1;
    return out;
}

}  // namespace cess::consensus
