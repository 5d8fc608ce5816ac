#include "fragment_store.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::storage {
namespace {

constexpr char digits[] = "0123456789abcdef";

std::optional<std::uint8_t> parse_byte(std::string_view text) {
    if (text.size() != 2) return std::nullopt;
    const auto value = from_hex(text);
    if (!value) return std::nullopt;
    return std::to_integer<std::uint8_t>(value->front());
}

}  // namespace

// ---- names and the index ---------------------------------------------------------------------------------

std::string fragment_store::path_of(const segment_id& segment, const copy& c) const {
    const std::string index{digits[c.index >> 4], digits[c.index & 0xf]};
    return m_paths.fragments(segment) + "/" + segment.hex() + "." + index + "." + c.tag.volume.hex() + "." + hex_number(c.tag.term.value);
}

std::optional<std::pair<segment_id, fragment_store::copy>> fragment_store::parse_name(std::string_view name) {
    if (name.size() != 64 + 1 + 2 + 1 + 32 + 1 + 16 || name[64] != '.' || name[67] != '.' || name[100] != '.') return std::nullopt;
    const auto segment = segment_id::parse(name.substr(0, 64));
    const auto index = parse_byte(name.substr(65, 2));
    const auto volume = volume_id::parse(name.substr(68, 32));
    const auto term = parse_hex_number(name.substr(101));
    if (!segment || !index || !volume || !term) return std::nullopt;
    return std::pair{*segment, copy{*index, {*volume, {*term}}, 0, false}};
}

result<void> fragment_store::load() {
    TRY(const auto directories, m_disk.list(m_paths.fragments()));
    for (const auto& directory : directories)
        if (directory.is_directory) CHECK_OK(load_directory(m_paths.fragments() + "/" + directory.name));
    return {};
}

result<void> fragment_store::load_directory(const std::string& path) {
    TRY(const auto entries, m_disk.list(path));
    // A process that died between a rename and its sync left a name that is seen but not durable yet.
    if (!entries.empty()) CHECK_OK(m_disk.sync_directory(path));
    for (const auto& entry : entries) {
        auto known = parse_name(entry.name);
        std::optional<std::uint64_t> length;
        TRY(const auto file, m_disk.open(path + "/" + entry.name, os::open_mode::read));
        TRY(const auto size, file->size());
        if (known) length = fragment_length_of_file(size);
        m_space.found(size);
        if (!length) {
            log::warn("storage", "not a whole fragment, left alone file={}/{}", path, entry.name);
            continue;
        }
        known->second.length = *length;
        known->second.named = true;
        const std::lock_guard lock(m_mutex);
        note(known->first, known->second);
    }
    return {};
}

void fragment_store::note(const segment_id& segment, const copy& c) {
    m_index[segment].push_back(c);
    ++m_count;
    if (c.committed()) return;
    m_provisional.insert({c.tag, segment});
    m_reserved[c.tag] += fragment_file_size(c.length);
}

void fragment_store::forget(const segment_id& segment, const copy& c) {
    const auto at = m_index.find(segment);
    if (at == m_index.end()) return;
    auto& all = at->second;
    const auto same = [&](const copy& other) { return other.index == c.index && other.tag == c.tag; };
    const auto found = std::find_if(all.begin(), all.end(), same);
    if (found == all.end()) return;
    all.erase(found);
    --m_count;
    const bool tag_left = std::any_of(all.begin(), all.end(), [&](const copy& other) { return other.tag == c.tag; });
    if (all.empty()) m_index.erase(at);
    if (c.committed()) return;
    if (!tag_left) m_provisional.erase({c.tag, segment});
    const auto reserved = m_reserved.find(c.tag);
    if (reserved == m_reserved.end()) return;
    reserved->second -= std::min(reserved->second, fragment_file_size(c.length));
    if (reserved->second == 0) m_reserved.erase(reserved);
}

fragment_store::copies fragment_store::matching(const segment_id& segment, const volume_id& volume) const {
    const std::lock_guard lock(m_mutex);
    copies out;
    if (const auto at = m_index.find(segment); at != m_index.end())
        std::copy_if(at->second.begin(), at->second.end(), std::back_inserter(out), [&](const copy& c) { return c.tag.volume == volume; });
    return out;
}

// ---- reservations ----------------------------------------------------------------------------------------

fragment_store::ticket& fragment_store::ticket::operator=(ticket&& from) noexcept {
    if (this == &from) return *this;
    release();
    m_of = std::exchange(from.m_of, nullptr);
    m_tag = from.m_tag;
    m_length = from.m_length;
    return *this;
}

void fragment_store::ticket::release() noexcept {
    auto* const of = std::exchange(m_of, nullptr);
    if (!of) return;
    const std::lock_guard lock(of->m_mutex);
    const auto at = of->m_reserved.find(m_tag);
    if (at == of->m_reserved.end()) return;
    at->second -= std::min(at->second, m_length);
    if (at->second == 0) of->m_reserved.erase(at);
}

result<fragment_store::ticket> fragment_store::reserve(const fragment_tag& tag, std::uint64_t length, std::uint64_t limit) {
    const auto size = fragment_file_size(length);  // as it stands on the disk: tiny fragments are not free
    const std::lock_guard lock(m_mutex);
    const auto at = m_reserved.find(tag);
    const auto taken = at == m_reserved.end() ? 0 : at->second;
    if (taken > limit || size > limit - taken)
        return error(errc::no_space, "the reservation of volume " + tag.volume.brief() + " is used up: " + format_size(taken) + " of " + format_size(limit));
    m_reserved[tag] += size;
    return ticket(*this, tag, size);
}

// ---- putting ---------------------------------------------------------------------------------------------

result<bool> fragment_store::adopt(const fragment_ref& fragment, const fragment_tag& tag, std::uint64_t limit) {
    const std::lock_guard changing(shard(fragment.segment));
    for (const auto& c : matching(fragment.segment, tag.volume)) {
        if (c.index != fragment.index) continue;
        if (!c.committed() && c.tag.term < tag.term) {
            TRY(auto reserved, reserve(tag, c.length, limit));
            reserved.release();  // retag counts it
            CHECK_OK(retag(fragment.segment, c, tag));
        }
        CHECK_OK(settle_names(fragment.segment));
        return true;
    }
    return false;
}

result<void> fragment_store::retag(const segment_id& segment, const copy& from, const fragment_tag& to) {
    auto changed = from;
    changed.tag = to;
    changed.named = false;
    CHECK_OK(m_disk.rename(path_of(segment, from), path_of(segment, changed)));
    const std::lock_guard lock(m_mutex);
    forget(segment, from);
    note(segment, changed);
    return {};
}

result<void> fragment_store::settle_names(const segment_id& segment) {
    const auto all_named = [&] {
        const std::lock_guard lock(m_mutex);
        const auto at = m_index.find(segment);
        return at == m_index.end() || std::all_of(at->second.begin(), at->second.end(), [](const copy& c) { return c.named; });
    };
    if (all_named()) return {};
    CHECK_OK(m_disk.sync_directory(m_paths.fragments(segment)));
    const std::lock_guard lock(m_mutex);
    if (const auto at = m_index.find(segment); at != m_index.end())
        for (auto& c : at->second) c.named = true;
    return {};
}

result<void> fragment_store::publish(const fragment_ref& fragment, const fragment_tag& tag, finished file) {
    const std::lock_guard changing(shard(fragment.segment));
    for (const auto& c : matching(fragment.segment, tag.volume)) {
        if (c.index != fragment.index || (!c.committed() && c.tag.term < tag.term)) continue;
        CHECK_OK(m_disk.remove(file.path));  // another upload was faster
        return settle_names(fragment.segment);
    }
    const copy made{fragment.index, tag, file.length, false};
    CHECK_OK(m_disk.rename(file.path, path_of(fragment.segment, made)));
    file.claim.keep();
    file.reserved.release();  // note() counts it
    {
        // Known from here on, so that its bytes are counted and it can be deleted, whatever the sync says.
        const std::lock_guard lock(m_mutex);
        note(fragment.segment, made);
    }
    return settle_names(fragment.segment);
}

// ---- reading ---------------------------------------------------------------------------------------------

result<std::shared_ptr<const fragment_file>> fragment_store::open(const fragment_ref& fragment, bool fresh) {
    std::string path;
    if (!fresh) {
        const std::lock_guard lock(m_mutex);
        if (const auto at = m_open_index.find({fragment.segment, fragment.index}); at != m_open_index.end()) {
            m_open.splice(m_open.end(), m_open, at->second);
            return at->second->second;
        }
    }
    const std::lock_guard changing(shard(fragment.segment));  // the name cannot change between looking and opening
    {
        const std::lock_guard lock(m_mutex);
        if (const auto at = m_index.find(fragment.segment); at != m_index.end())
            for (const auto& c : at->second)
                if (c.index == fragment.index) path = path_of(fragment.segment, c);
    }
    if (path.empty()) return error(errc::not_found, "fragment " + fragment.segment.brief() + "/" + std::to_string(fragment.index));
    TRY(auto file, fragment_file::open(m_disk, path, fragment));
    cache(fragment, file);
    return file;
}

void fragment_store::cache(const fragment_ref& fragment, std::shared_ptr<const fragment_file> file) {
    const std::lock_guard lock(m_mutex);
    const std::pair key{fragment.segment, fragment.index};
    if (m_open_index.contains(key)) return;
    m_open.emplace_back(fragment, std::move(file));
    m_open_index[key] = std::prev(m_open.end());
    while (m_open.size() > m_open_max) {
        m_open_index.erase({m_open.front().first.segment, m_open.front().first.index});
        m_open.pop_front();
    }
}

void fragment_store::close_cached(const segment_id& segment) {
    const std::lock_guard lock(m_mutex);
    for (auto at = m_open_index.lower_bound({segment, 0}); at != m_open_index.end() && at->first.first == segment;) {
        m_open.erase(at->second);
        at = m_open_index.erase(at);
    }
}

// ---- settling and deleting -------------------------------------------------------------------------------

result<void> fragment_store::commit(const segment_id& segment, const volume_id& volume) {
    const std::lock_guard changing(shard(segment));
    for (const auto& c : matching(segment, volume)) {
        if (c.committed()) continue;
        const auto now = matching(segment, volume);
        const bool twice = std::any_of(now.begin(), now.end(), [&](const copy& o) { return o.committed() && o.index == c.index; });
        CHECK_OK(twice ? drop(segment, c) : retag(segment, c, {volume, {}}));
    }
    return settle_names(segment);
}

result<void> fragment_store::drop(const segment_id& segment, const copy& c) {
    close_cached(segment);
    CHECK_OK(m_disk.remove(path_of(segment, c)));
    m_space.give_back(fragment_file_size(c.length));
    const std::lock_guard lock(m_mutex);
    forget(segment, c);
    return {};
}

template <class Doomed>
result<std::size_t> fragment_store::remove_if(const segment_id& segment, const volume_id& volume, Doomed doomed) {
    const std::lock_guard changing(shard(segment));
    std::size_t removed = 0;
    for (const auto& c : matching(segment, volume)) {
        if (!doomed(c)) continue;
        CHECK_OK(drop(segment, c));
        ++removed;
    }
    if (removed > 0) CHECK_OK(m_disk.sync_directory(m_paths.fragments(segment)));
    return removed;
}

result<std::size_t> fragment_store::remove_all(const segment_id& segment, const volume_id& volume) {
    return remove_if(segment, volume, [](const copy&) { return true; });
}

result<std::size_t> fragment_store::remove_provisional(const segment_id& segment, const fragment_tag& tag) {
    return remove_if(segment, tag.volume, [&](const copy& c) { return c.tag == tag && !c.committed(); });
}

std::vector<provisional_segment> fragment_store::provisional(provisional_segment& cursor, std::size_t limit) const {
    const std::lock_guard lock(m_mutex);
    std::vector<provisional_segment> out;
    auto at = m_provisional.upper_bound(cursor);
    for (; at != m_provisional.end() && out.size() < limit; ++at) out.push_back(*at);
    cursor = at == m_provisional.end() || out.empty() ? provisional_segment{} : out.back();
    return out;
}

std::size_t fragment_store::count() const {
    const std::lock_guard lock(m_mutex);
    return m_count;
}

std::size_t fragment_store::provisional_count() const {
    const std::lock_guard lock(m_mutex);
    return m_provisional.size();
}

}  // namespace cess::storage
