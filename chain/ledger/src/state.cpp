#include <chain/ledger/state.hpp>

#include <algorithm>

namespace cess::ledger {
namespace {

bool has_prefix(const bytes& key, const bytes& prefix) { return key.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), key.begin()); }

template <class Map>
auto first_past(Map& map, const bytes& prefix, const bytes& after) {
    return after.empty() || after < prefix ? map.lower_bound(prefix) : map.upper_bound(after);
}

}  // namespace

std::optional<bytes> memory_state::get(const bytes& key) {
    const auto found = m_entries.find(key);
    if (found == m_entries.end()) return std::nullopt;
    return found->second;
}
void memory_state::put(const bytes& key, bytes value) { m_entries[key] = std::move(value); }
void memory_state::erase(const bytes& key) { m_entries.erase(key); }
std::vector<state_entry> memory_state::scan(const bytes& prefix, const bytes& after, std::size_t limit) {
    std::vector<state_entry> out;
    for (auto at = first_past(m_entries, prefix, after); at != m_entries.end() && out.size() < limit && has_prefix(at->first, prefix); ++at)
        out.push_back({at->first, at->second});
    return out;
}

std::optional<bytes> buffered_state::get(const bytes& key) {
    const auto found = m_changes.find(key);
    return found != m_changes.end() ? found->second : m_below.get(key);
}
void buffered_state::put(const bytes& key, bytes value) { m_changes.insert_or_assign(key, std::move(value)); }
void buffered_state::erase(const bytes& key) { m_changes.insert_or_assign(key, std::nullopt); }

std::vector<state_entry> buffered_state::scan(const bytes& prefix, const bytes& after, std::size_t limit) {
    std::vector<state_entry> out;
    auto mine = first_past(m_changes, prefix, after);
    const auto mine_left = [&] { return mine != m_changes.end() && has_prefix(mine->first, prefix); };
    auto cursor = after;
    bool more = true;  // below
    while (out.size() < limit && more) {
        const auto want = limit - out.size();
        const auto below = m_below.scan(prefix, cursor, want);
        more = below.size() == want;
        for (const auto& entry : below) {
            for (; mine_left() && mine->first < entry.key && out.size() < limit; ++mine)
                if (mine->second) out.push_back({mine->first, *mine->second});
            if (out.size() >= limit) return out;
            if (mine_left() && mine->first == entry.key) {
                if (mine->second) out.push_back({entry.key, *mine->second});
                ++mine;
            } else {
                out.push_back(entry);
            }
            cursor = entry.key;
        }
    }
    for (; mine_left() && out.size() < limit; ++mine)
        if (mine->second) out.push_back({mine->first, *mine->second});
    return out;
}

void buffered_state::pass_on() {
    for (auto& [key, value] : m_changes) {
        if (value) m_below.put(key, std::move(*value));
        else m_below.erase(key);
    }
    m_changes.clear();
}

}  // namespace cess::ledger
