#include <core/kv/store.hpp>

#include <algorithm>
#include <mutex>

namespace cess::kv {

struct memory_store::contents {
    std::mutex mutex;
    std::map<bytes, bytes> now;
    std::map<bytes, bytes> flushed;
    std::map<std::string, std::map<bytes, bytes>> copies;
};

memory_store::memory_store() : m_contents(std::make_unique<contents>()) {}
memory_store::~memory_store() = default;

result<std::optional<bytes>> memory_store::get(const bytes& key) {
    std::lock_guard lock(m_contents->mutex);
    const auto found = m_contents->now.find(key);
    if (found == m_contents->now.end()) return std::optional<bytes>();
    return std::optional(found->second);
}

result<std::vector<entry>> memory_store::scan(const bytes& prefix, const bytes& after, std::size_t limit) {
    std::lock_guard lock(m_contents->mutex);
    const auto& all = m_contents->now;
    std::vector<entry> out;
    for (auto at = after < prefix ? all.lower_bound(prefix) : all.upper_bound(after); at != all.end() && out.size() < limit; ++at) {
        if (at->first.size() < prefix.size() || !std::equal(prefix.begin(), prefix.end(), at->first.begin())) break;
        out.push_back({at->first, at->second});
    }
    return out;
}

result<void> memory_store::commit(const batch& changes) {
    std::lock_guard lock(m_contents->mutex);
    for (const auto& [key, value] : changes) {
        if (value) m_contents->now[key] = *value;
        else m_contents->now.erase(key);
    }
    return {};
}

result<void> memory_store::flush() {
    std::lock_guard lock(m_contents->mutex);
    m_contents->flushed = m_contents->now;
    return {};
}

result<void> memory_store::keep_copy(const std::string& name) {
    std::lock_guard lock(m_contents->mutex);
    m_contents->copies.emplace(name, m_contents->now);
    return {};
}

result<std::unique_ptr<store>> memory_store::open_copy(const std::string& name) {
    std::lock_guard lock(m_contents->mutex);
    const auto found = m_contents->copies.find(name);
    if (found == m_contents->copies.end()) return error(errc::not_found, "copy " + name + " of the state");
    auto out = std::make_unique<memory_store>();
    out->m_contents->now = out->m_contents->flushed = found->second;
    return std::unique_ptr<store>(std::move(out));
}

result<void> memory_store::drop_copies(const std::string& but) {
    std::lock_guard lock(m_contents->mutex);
    std::erase_if(m_contents->copies, [&](const auto& copy) { return copy.first != but; });
    return {};
}

void memory_store::crash() {
    std::lock_guard lock(m_contents->mutex);
    m_contents->now = m_contents->flushed;
}

}  // namespace cess::kv
