#include "mutants.hpp"

#include <chain/consensus/validity.hpp>

#include <algorithm>

namespace cess::consensus {
namespace {

error refused(const char* why) { return {errc::protocol, std::string("block: ") + why}; }

result<void> check_place(const block_body& b, const epoch_context& in) {
    if (b.network != in.network) return refused("of another network");
    if (b.epoch != in.epoch) return refused("of another epoch");
    if (b.author >= in.by.members) return refused("by a stranger");
    if (b.round == 0 || b.round > limits::round) return refused("of a round that cannot be");
    if (b.durable_watermark >= b.round) return refused("its watermark is not below its round");
    return {};
}

result<void> check_parents(const block_body& b, const epoch_context& in) {
    if (b.parents.size() < in.by.parent_quorum) return refused("too few parents");
    for (std::size_t i = 0; i < b.parents.size(); ++i) {
        const auto& parent = b.parents[i];
        if (parent.round != b.round - 1) return refused("a parent of another round than the one before");
        if (parent.author >= in.by.members) return refused("a parent by a stranger");
        if (i > 0 && b.parents[i - 1].author >= parent.author) return refused("parents out of order");
    }
    return {};
}

// Its author's newest block before, if that is no parent: the author jumped.
result<const block_ref*> jumped_from(const block_body& b) {
    const auto own = [&b](const block_ref& ref) { return ref.author == b.author; };
    if (std::any_of(b.parents.begin(), b.parents.end(), own)) return nullptr;
    const auto newest = std::find_if(b.weak.rbegin(), b.weak.rend(), own);
    if (newest == b.weak.rend()) return refused("without its author's block before");
    return &*newest;
}

result<void> check_weak(const block_body& b, const epoch_context& in) {
    if (b.weak.size() > limits::weak_links) return refused("too many weak links");
    for (std::size_t i = 0; i < b.weak.size(); ++i) {
        const auto& link = b.weak[i];
        if (link.round + 1 >= b.round) return refused("a weak link to a round that is not older");
        if (link.author >= in.by.members) return refused("a weak link to a stranger");
        const auto place = [](const block_ref& ref) { return std::pair(ref.round, ref.author); };
        if (i > 0 && place(b.weak[i - 1]) >= place(link)) return refused("weak links out of order");
    }
    // No leader with this block in its history would add what lies deeper, but all members would log it for it.
    TRY(const auto* const jump, jumped_from(b));
    for (const auto& link : b.weak)
        if (link.round + in.by.depth < b.round && &link != jump) return refused("a weak link to what is forgotten");
    return {};
}

result<void> check_sizes(const block_body& b) {
    if (b.payload.size() > limits::payload_items) return refused("too much payload");
    std::size_t size = 0;
    for (const auto& item : b.payload) size += item.size();
    if (size > limits::payload_bytes) return refused("too much payload");
    if (b.certificate_signatures.size() > limits::certificate_signatures) return refused("too many certificate signatures");
    for (std::size_t i = 1; i < b.certificate_signatures.size(); ++i)
        if (b.certificate_signatures[i - 1].first >= b.certificate_signatures[i].first) return refused("certificate signatures out of order");
    return {};
}

result<void> check_share_place(const block_body& b, const epoch_context& in) {
    const bool wanted = in.by.coin_revealed_in(b.round).has_value();
    if (wanted && mutated(mutant::accept_any_share)) return {};
    if (b.coin_share.empty() == wanted) return refused(wanted ? "without its share of the coin" : "a coin share where none belongs");
    return {};
}

}  // namespace

result<void> check_form(const named_block& what, const epoch_context& in) {
    const auto& b = what.body();
    CHECK_OK(check_place(b, in));
    CHECK_OK(check_sizes(b));
    CHECK_OK(check_parents(b, in));
    CHECK_OK(check_weak(b, in));
    return check_share_place(b, in);
}

result<void> check_proofs(const named_block& what, const epoch_context& in, const keys& signers, const coin& shares) {
    const auto& b = what.body();
    if (!signers.holds(b.author, what.ref.digest, what.what.sig)) return refused("its signature does not hold");
    const auto revealed = in.by.coin_revealed_in(b.round);
    if (!revealed || mutated(mutant::accept_any_share) || shares.holds(*revealed, b.author, b.coin_share)) return {};
    return refused("not its author's share of the coin");
}

result<void> check(const named_block& what, const epoch_context& in, const keys& signers, const coin& shares) {
    CHECK_OK(check_form(what, in));
    return check_proofs(what, in, signers, shares);
}

}  // namespace cess::consensus
