#include "heights.hpp"

namespace cess::chain {

result<void> heights::number(const consensus::committed& commit, std::vector<committed_block>& out) {
    static constexpr std::uint64_t about_links = 512;
    const auto first = out.size();
    for (const auto& block : commit.blocks) {
        const auto& payload = block->body().payload;
        if (payload.empty()) continue;
        m_last = m_last.next();
        if (m_last == m_contained && block->ref.digest != m_digest)
            return error(errc::corrupt, "block " + std::to_string(m_last.value) + " of the committee is not the one that the state contains");
        if (m_last <= m_contained) continue;
        auto size = about_links;
        for (const auto& item : payload) size += item.size();
        out.push_back({m_last, block, false, false, size});
    }
    if (out.size() > first) out.back().certify = true;
    return {};
}

}  // namespace cess::chain
