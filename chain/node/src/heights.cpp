#include "heights.hpp"

namespace cess::chain {

result<void> heights::number(const consensus::committed& commit, std::vector<committed_block>& out) {
    static constexpr std::uint64_t about_links = 512;
    const auto first = out.size();
    for (const auto& block : commit.blocks) {
        const auto& payload = block->body().payload;
        if (payload.empty()) continue;
        auto size = about_links;
        for (const auto& item : payload) size += item.size();
        m_bytes += size;
        CHECK_OK(take({{}, block, false, false, size, false}, out));
    }
    if (commit.closes) CHECK_OK(take({{}, commit.blocks.back(), false, false, about_links, true}, out));
    if (out.size() > first) out.back().certify = true;
    return {};
}

result<void> heights::take(committed_block what, std::vector<committed_block>& out) {
    m_last = m_last.next();
    if (m_last == m_contained && what.block->ref.digest != m_digest)
        return error(errc::corrupt, "block " + std::to_string(m_last.value) + " of the committee is not the one that the state contains");
    if (m_last <= m_contained) return {};
    what.height = m_last;
    out.push_back(std::move(what));
    return {};
}

}  // namespace cess::chain
