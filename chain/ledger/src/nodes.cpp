#include "transition.hpp"

#include <algorithm>

namespace cess::ledger {
namespace {

constexpr std::uint64_t offered_sum_max = std::uint64_t{1} << 62;

result<void> check_text(std::string_view what, const std::string& text) {
    if (text.size() > limits::text_max) return error(errc::too_large, std::string(what) + " is longer than 256 bytes");
    if (!std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; })) return error(errc::invalid, std::string(what) + " may have only printable ASCII");
    return {};
}

std::uint64_t counted_offer(const node_record& node) noexcept { return node.role == node_role::storage ? node.offered : 0; }

}  // namespace

result<bytes> execute(transition& in, const register_node& what) {
    auto node = what.node;
    if (node.owner != in.who()) return error(errc::permission, "node " + node.id.brief() + ": the record names another owner than the signer");
    CHECK_OK(check_text("node address", node.address));
    CHECK_OK(check_text("failure domain", node.failure_domain));
    if (node.address.empty()) return error(errc::invalid, "node " + node.id.brief() + " has no address");
    if (node.offered > limits::offer_max) return error(errc::out_of_range, "node " + node.id.brief() + " offers more than 1 PiB");
    if (!crypto::verify(crypto::key_of(node.id), consent_message(in.at().network, node), what.consent))
        return error(errc::permission, "node " + node.id.brief() + ": its key does not consent");
    const auto* known = in.node(node.id);
    if (known && known->owner != in.who()) return error(errc::permission, "node " + node.id.brief() + " belongs to another account");
    if (known && known->role != node.role && known->committed > 0) return error(errc::busy, "node " + node.id.brief() + " holds fragments and cannot change its role");
    auto& totals = in.totals();
    const auto before = known ? counted_offer(*known) : 0;
    const auto others = totals.offered - std::min(totals.offered, before);
    if (others > offered_sum_max - counted_offer(node)) return error(errc::out_of_range, "the network's offers overflow");
    totals.offered = others + counted_offer(node);
    node.committed = known ? known->committed : 0;
    in.save(key::node(node.id), node);
    return bytes{};
}

}  // namespace cess::ledger
