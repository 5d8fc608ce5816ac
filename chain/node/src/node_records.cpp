#include "node_records.hpp"

#include "index.hpp"

namespace cess::chain {

result<indexed_range> node_records::indexed() const {
    const auto newest = certificate();
    auto range = m_from.state.indexed();
    if (!range) return error(errc::unsupported, "this node keeps no index");
    if (!newest) return error(errc::unavailable, "nothing is certified yet");
    range->upto = std::min(range->upto, newest->body.height);
    return *range;
}

result<void> node_records::check_indexed(block_height height) const {
    TRY(const auto range, indexed());
    if (height.value == 0 || height > range.upto)
        return error(errc::not_found, "block " + std::to_string(height.value) + " is not certified; blocks are 1 to " + std::to_string(range.upto.value) + " now");
    if (height < range.from)
        return error(errc::unavailable, "block " + std::to_string(height.value) + " is not in the index yet, which is being built and begins at " + std::to_string(range.from.value));
    return {};
}

result<bytes> node_records::encoded_block(block_height height) const {
    CHECK_OK(check_indexed(height));
    return m_from.read_block(height);
}

result<block_entry> node_records::block(block_height height) const {
    CHECK_OK(check_indexed(height));
    return index::block(m_from.store, height);
}

result<std::vector<transaction_entry>> node_records::transactions(block_height height, std::uint32_t from, std::size_t limit) const {
    CHECK_OK(check_indexed(height));
    return index::transactions(m_from.store, height, from, limit);
}

result<std::pair<transaction_place, transaction_entry>> node_records::find(const hash256& transaction) const {
    TRY(const auto range, indexed());
    auto found = index::find(m_from.store, transaction, range.upto);
    const bool counted = found && found->second.how == standing::counted;
    if (!counted && (found || found.error().code == errc::not_found) && range.from.value > 1)
        return error(errc::unavailable, "transaction " + transaction.hex() + " may stand before block " + std::to_string(range.from.value) + ", where the index begins");
    return found;
}

result<std::vector<transaction_place>> node_records::of_account(const account_id& account, const std::optional<transaction_place>& before, std::size_t limit) const {
    TRY(const auto range, indexed());
    return index::of_account(m_from.store, account, before, limit, range.upto);
}

result<std::vector<volume_id>> node_records::lineages_of(const segment_id& segment, const std::optional<volume_id>& after, std::size_t limit) const {
    TRY(const auto range, indexed());
    auto found = index::lineages_of(m_from.store, segment, after, limit);
    if (found && found->empty() && !after && range.from.value > 1)
        return error(errc::unavailable, "segment " + segment.hex() + " may have been committed before block " + std::to_string(range.from.value) + ", where the index begins");
    return found;
}

}  // namespace cess::chain
