#include "snapshot_numbers.hpp"

#include "numbering.hpp"

#include <chain/ledger/types.hpp>

#include <algorithm>

namespace cess::fs {

answer<void> snapshot_numbers::load() {
    if (m_loaded) return {};
    // Those that were deleted since a mount last looked may still be among them.
    FS_TRY(const auto rows, m_store.data().scan(format::snapshot_prefix(), {}, 2 * ledger::limits::views_max));
    for (const auto& row : rows) {
        FS_TRY(const auto at, format::last_number(row.key));
        FS_TRY(const auto record, store::decode<format::snapshot_record>(row.value));
        if (at == 0) m_next = std::max(m_next, record.number);
        else m_numbers.emplace(sequence_number{at}, record.number);
    }
    m_loaded = true;
    return {};
}

std::vector<held_snapshot> snapshot_numbers::list() const {
    const std::lock_guard lock(m_mutex);
    std::vector<held_snapshot> out;
    out.push_back({sequence_number{}, m_next});
    for (const auto& [at, number] : m_numbers) out.push_back({at, number});
    return out;
}

void snapshot_numbers::restore(const std::vector<held_snapshot>& numbers) {
    const std::lock_guard lock(m_mutex);
    for (const auto& each : numbers) {
        if (each.at == sequence_number{}) m_next = std::max(m_next, each.number);
        else m_numbers.emplace(each.at, each.number);
    }
}

answer<void> snapshot_numbers::give_out(const std::vector<sequence_number>& all, bool keep) {
    auto numbers = m_numbers;
    auto next = m_next;
    volume::change change;
    std::erase_if(numbers, [&](const auto& each) {
        const bool gone = std::find(all.begin(), all.end(), each.first) == all.end();
        if (gone) change.erase(format::snapshot_key(each.first));
        return gone;
    });
    for (const auto at : all) {
        if (next == snapshot_number_end || !numbers.emplace(at, next).second) continue;
        change.put(format::snapshot_key(at), wire::encode(format::snapshot_record{next}));
        next = next.next();
    }
    if (next == m_next) return {};  // all have theirs
    change.put(format::snapshot_key({}), wire::encode(format::snapshot_record{next}));
    if (keep) {
        FS_CHECK(m_store.apply(change));
        FS_CHECK(m_store.sync());
    }
    m_numbers = std::move(numbers);
    m_next = next;
    return {};
}

answer<std::vector<snapshot_number>> snapshot_numbers::of(const std::vector<sequence_number>& all, bool keep) {
    const std::lock_guard lock(m_mutex);
    FS_CHECK(load());
    FS_CHECK(give_out(all, keep));
    std::vector<snapshot_number> out;
    for (const auto at : all) {
        const auto it = m_numbers.find(at);
        out.push_back(it == m_numbers.end() ? snapshot_number{} : it->second);
    }
    return out;
}

}  // namespace cess::fs
