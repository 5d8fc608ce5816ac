#include "memory_volume.hpp"

#include <algorithm>

namespace cess::testing {
namespace vol = cess::volume;

memory_volume::memory_volume(bool history, std::uint64_t size) : m_history(history) {
    m_record.name = "memory";
    m_record.term = term_number{1};
    m_record.size = size;
}

void memory_volume::cut(blob& from, std::uint64_t offset, std::uint64_t length) {
    if (length == 0) return;
    const auto end = offset + length;
    auto it = from.lower_bound(offset);
    if (it != from.begin()) {
        auto before = std::prev(it);
        const auto before_end = before->first + before->second.size();
        if (before_end > offset) {
            if (before_end > end) from.emplace(end, bytes(before->second.begin() + static_cast<std::ptrdiff_t>(end - before->first), before->second.end()));
            before->second.resize(offset - before->first);
            it = from.lower_bound(offset);
        }
    }
    while (it != from.end() && it->first < end) {
        const auto run_end = it->first + it->second.size();
        if (run_end > end) from.emplace(end, bytes(it->second.end() - static_cast<std::ptrdiff_t>(run_end - end), it->second.end()));
        it = from.erase(it);
    }
}

void memory_volume::execute(state& on, const vol::change::edit& e, byte_view data) {
    switch (e.kind) {
        case vol::edit_kind::put: on.keys.insert_or_assign(e.key, e.value); break;
        case vol::edit_kind::erase: on.keys.erase(e.key); break;
        case vol::edit_kind::write: {
            auto& b = on.blobs[e.blob];
            // Sequential writes grow one run, so that long files stay cheap.
            if (auto last = b.empty() ? b.end() : std::prev(b.end()); last != b.end() && last->first + last->second.size() == e.offset && last->second.size() < 4 * MiB) {
                append(last->second, data);
                break;
            }
            cut(b, e.offset, data.size());
            b.emplace(e.offset, to_bytes(data));
            break;
        }
        case vol::edit_kind::zero: cut(on.blobs[e.blob], e.offset, e.length); break;
        case vol::edit_kind::share: {
            blob copied;
            for (const auto& [at, run] : on.blobs[e.from]) {
                const auto begin = std::max(at, e.from_offset), end = std::min(at + run.size(), e.from_offset + e.length);
                if (begin < end)
                    copied.emplace(begin - e.from_offset + e.offset,
                                   bytes(run.begin() + static_cast<std::ptrdiff_t>(begin - at), run.begin() + static_cast<std::ptrdiff_t>(end - at)));
            }
            auto& to = on.blobs[e.blob];
            cut(to, e.offset, e.length);
            to.merge(copied);
            break;
        }
        case vol::edit_kind::drop: on.blobs.erase(e.blob); break;
    }
}

result<sequence_number> memory_volume::apply(const vol::change& what) {
    const std::lock_guard lock(m_mutex);
    if (m_broken) return error(errc::read_only, "the volume was broken by a test");
    if (m_fail_in > 0 && --m_fail_in == 0) return error(m_fail_with, "a test refused this change");
    std::vector<owned_edit> kept;
    for (const auto& e : what.edits()) {
        execute(m_now, e, e.data);
        if (m_history) kept.push_back({e, to_bytes(e.data)});
    }
    if (m_history) m_pending.push_back(std::move(kept));
    return sequence_number{++m_applied};
}

result<void> memory_volume::sync(sequence_number) { return sync(); }

result<void> memory_volume::sync() {
    const std::lock_guard lock(m_mutex);
    if (m_broken) return error(errc::io, "the volume was broken by a test");
    for (const auto& change : m_pending)
        for (const auto& e : change) execute(m_durable, e.edit, e.data);
    m_pending.clear();
    m_synced = m_applied;
    return {};
}

void memory_volume::crash(random_source& random) { crash_to(random.below(volatile_changes() + 1)); }

void memory_volume::crash_to(std::size_t surviving) {
    const std::lock_guard lock(m_mutex);
    for (std::size_t i = 0; i < std::min(surviving, m_pending.size()); ++i)
        for (const auto& e : m_pending[i]) execute(m_durable, e.edit, e.data);
    m_pending.clear();
    m_now = m_durable;
    m_synced = m_applied;
    m_record.term = m_record.term.next();
    m_tell = {};
}

std::size_t memory_volume::volatile_changes() const {
    const std::lock_guard lock(m_mutex);
    return m_pending.size();
}

void memory_volume::fail_at(std::uint64_t nth, errc code) {
    const std::lock_guard lock(m_mutex);
    m_fail_in = nth;
    m_fail_with = code;
}

void memory_volume::break_down() {
    std::function<void(const error&)> tell;
    {
        const std::lock_guard lock(m_mutex);
        m_broken = true;
        tell = m_tell;
    }
    if (tell) tell(error(errc::fenced, "broken by a test"));
}

std::size_t memory_volume::blob_count() const {
    const std::lock_guard lock(m_mutex);
    return static_cast<std::size_t>(std::count_if(m_now.blobs.begin(), m_now.blobs.end(), [](const auto& b) { return !b.second.empty(); }));
}

std::shared_ptr<memory_volume> memory_volume::frozen() const {
    const std::lock_guard lock(m_mutex);
    auto out = std::make_shared<memory_volume>(false);
    out->m_record = m_record;
    out->m_record.head.sequence = {m_applied};
    out->m_now = m_now;
    return out;
}

result<std::optional<bytes>> memory_volume::get(byte_view key) {
    const std::lock_guard lock(m_mutex);
    const auto it = m_now.keys.find(to_bytes(key));
    if (it == m_now.keys.end()) return std::optional<bytes>();
    return std::optional<bytes>(it->second);
}

void memory_volume::after_scan(char letter, std::function<void()> what) {
    const std::lock_guard lock(m_mutex);
    m_scan_letter = letter;
    m_after_scan = std::move(what);
}

result<std::vector<vol::key_value>> memory_volume::scan(byte_view prefix, byte_view from, std::size_t limit) {
    std::unique_lock lock(m_mutex);
    std::vector<vol::key_value> out;
    const auto start = std::max(to_bytes(prefix), to_bytes(from));
    for (auto it = m_now.keys.lower_bound(start); it != m_now.keys.end() && out.size() < limit; ++it) {
        if (it->first.size() < prefix.size() || !equal(byte_view(it->first).first(prefix.size()), prefix)) break;
        out.push_back({it->first, it->second});
    }
    if (m_after_scan && !prefix.empty() && prefix.front() == static_cast<std::byte>(m_scan_letter)) {
        const auto what = std::exchange(m_after_scan, {});
        lock.unlock();
        what();
    }
    return out;
}

result<void> memory_volume::read(vol::blob_id id, std::uint64_t offset, byte_span out) {
    const std::lock_guard lock(m_mutex);
    std::fill(out.begin(), out.end(), std::byte{0});
    const auto found = m_now.blobs.find(id);
    if (found == m_now.blobs.end()) return {};
    auto it = found->second.upper_bound(offset);
    if (it != found->second.begin()) --it;
    for (; it != found->second.end() && it->first < offset + out.size(); ++it) {
        const auto begin = std::max(it->first, offset), end = std::min(it->first + it->second.size(), offset + out.size());
        if (begin < end) std::memcpy(out.data() + (begin - offset), it->second.data() + (begin - it->first), end - begin);
    }
    return {};
}

result<std::vector<vol::range>> memory_volume::map(vol::blob_id id, std::uint64_t offset, std::uint64_t length) {
    const std::lock_guard lock(m_mutex);
    std::vector<vol::range> out;
    const auto add = [&](std::uint64_t begin, std::uint64_t end, bool data) {
        if (begin >= end) return;
        if (!out.empty() && out.back().data == data) out.back().length += end - begin;
        else out.push_back({begin, end - begin, data});
    };
    auto at = offset;
    const auto end = offset + length;
    if (const auto found = m_now.blobs.find(id); found != m_now.blobs.end()) {
        for (const auto& [begin, run] : found->second) {
            const auto from = std::max(begin, at), to = std::min(begin + run.size(), end);
            if (from >= to) continue;
            add(at, from, false);
            add(from, to, true);
            at = to;
        }
    }
    add(at, end, false);
    return out;
}

result<std::vector<vol::located_range>> memory_volume::locate(vol::blob_id id, std::uint64_t offset, std::uint64_t end, std::size_t limit) {
    const std::lock_guard lock(m_mutex);
    std::vector<vol::located_range> out;
    const auto found = m_now.blobs.find(id);
    if (found == m_now.blobs.end()) return out;
    for (const auto& [at, run] : found->second) {
        const auto from = std::max(at, offset), to = std::min(at + run.size(), end);
        if (from >= to) continue;
        if (out.size() == limit) break;
        vol::placed_range place;
        place.offset = place.at = from;
        place.length = to - from;
        place.segment = {m_applied};
        std::memcpy(place.lineage.raw.data(), &id, sizeof id);
        out.push_back({place, nullptr});
    }
    return out;
}

result<std::vector<vol::placed_range>> memory_volume::places(vol::blob_id id, std::uint64_t offset, std::uint64_t end, std::size_t limit) {
    TRY(const auto ranges, locate(id, offset, end, limit));
    std::vector<vol::placed_range> out;
    for (const auto& range : ranges) out.push_back(range.place);
    return out;
}

result<std::vector<vol::blob_id>> memory_volume::blobs(vol::blob_id from, std::size_t limit) {
    const std::lock_guard lock(m_mutex);
    std::vector<vol::blob_id> out;
    for (auto it = m_now.blobs.lower_bound(from); it != m_now.blobs.end() && out.size() < limit; ++it)
        if (!it->second.empty()) out.push_back(it->first);
    return out;
}

vol::usage memory_volume::usage_now() {
    const std::lock_guard lock(m_mutex);
    vol::usage u;
    u.size = m_record.size;
    u.network_free = m_network_free;
    return u;
}

sequence_number memory_volume::applied() const noexcept {
    const std::lock_guard lock(m_mutex);
    return {m_applied};
}
sequence_number memory_volume::durable() const noexcept {
    const std::lock_guard lock(m_mutex);
    return {m_synced};
}
result<void> memory_volume::resize(std::uint64_t size) {
    const std::lock_guard lock(m_mutex);
    m_record.size = size;
    return {};
}
void memory_volume::on_failure(std::function<void(const error&)> tell) {
    const std::lock_guard lock(m_mutex);
    m_tell = std::move(tell);
}

}  // namespace cess::testing
