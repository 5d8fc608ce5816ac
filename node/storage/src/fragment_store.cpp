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

fault fault_of(const segment_id& segment, std::uint8_t index, const volume_id& volume) {
    fault out;
    out.kind = static_cast<std::uint8_t>(fault_kind::length);
    out.segment = segment;
    out.index = index;
    out.volume = volume;
    return out;
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
        TRY(const auto file, m_disk.open(path + "/" + entry.name, os::open_mode::read));
        TRY(const auto size, file->size());
        m_space.found(size);
        if (!known) {
            log::warn("storage", "not a fragment, left alone file={}/{}", path, entry.name);
            continue;
        }
        known->second.size = size;  // also of one that is cut short: it is reported, and the ledger may free it
        if (!fragment_length_of_file(size)) (void)m_faults.note(fault_of(known->first, known->second.index, known->second.tag.volume));
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
    m_reserved[c.tag] += c.size;
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
    reserved->second -= std::min(reserved->second, c.size);
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
        if (c.index != fragment.index || m_faults.find({fragment.segment, c.index, tag.volume})) continue;
        if (!c.committed() && c.tag.term < tag.term) {
            TRY(auto reserved, reserve(tag, fragment_length_of_file(c.size).value_or(0), limit));
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
    const auto renamed = m_disk.rename(path_of(segment, from), path_of(segment, changed));
    // A file that is known to be gone keeps its state here and in the book of faults.
    if (!renamed && (renamed.error() != errc::not_found || !m_faults.find({segment, from.index, from.tag.volume}))) return renamed.error();
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
    std::optional<copy> damaged;  // of an older term
    for (const auto& c : matching(fragment.segment, tag.volume)) {
        if (c.index != fragment.index) continue;
        const bool older = !c.committed() && c.tag.term < tag.term;
        if (older && m_faults.find({fragment.segment, c.index, tag.volume})) damaged = c;
        if (older) continue;
        if (m_faults.find({fragment.segment, c.index, tag.volume})) return replace(fragment.segment, c, std::move(file));
        CHECK_OK(m_disk.remove(file.path));  // another upload was faster
        return settle_names(fragment.segment);
    }
    const copy made{fragment.index, tag, fragment_file_size(file.length), false};
    CHECK_OK(m_disk.rename(file.path, path_of(fragment.segment, made)));
    file.claim.keep();
    file.reserved.release();  // note() counts it
    {
        // Known from here on, so that its bytes are counted and it can be deleted, whatever the sync says.
        const std::lock_guard lock(m_mutex);
        note(fragment.segment, made);
    }
    CHECK_OK(settle_names(fragment.segment));
    return damaged ? drop(fragment.segment, *damaged) : result<void>();
}

// The owner puts again what this miner has damaged: the state in the name stays, the bytes are new.
result<void> fragment_store::replace(const segment_id& segment, const copy& damaged, finished file) {
    close_cached(segment);
    auto sound = damaged;
    sound.size = fragment_file_size(file.length);
    sound.named = false;
    CHECK_OK(m_disk.rename(file.path, path_of(segment, sound)));
    file.claim.keep();
    file.reserved.release();  // note() counts it
    m_space.give_back(damaged.size);
    {
        const std::lock_guard lock(m_mutex);
        forget(segment, damaged);
        note(segment, sound);
    }
    (void)m_faults.mended(copy_name{segment, damaged.index, damaged.tag.volume});
    return settle_names(segment);
}

// ---- reading ---------------------------------------------------------------------------------------------

std::shared_ptr<const fragment_file> fragment_store::opened(const fragment_ref& fragment) {
    const std::lock_guard lock(m_mutex);
    const auto at = m_open_index.find({fragment.segment, fragment.index});
    if (at == m_open_index.end()) return nullptr;
    m_open.splice(m_open.end(), m_open, at->second);
    return at->second->second;
}

result<std::shared_ptr<const fragment_file>> fragment_store::open(const fragment_ref& fragment) {
    if (auto already = opened(fragment)) return already;
    const std::lock_guard changing(shard(fragment.segment));  // the name cannot change between looking and opening
    std::string path;
    std::optional<fault> known;
    {
        const std::lock_guard lock(m_mutex);
        if (const auto at = m_index.find(fragment.segment); at != m_index.end())
            for (const auto& c : at->second) {
                if (c.index != fragment.index || (!path.empty() && !known)) continue;
                path = path_of(fragment.segment, c);
                known = m_faults.find({fragment.segment, c.index, c.tag.volume});
            }
    }
    if (path.empty()) return error(errc::not_found, "fragment " + fragment.segment.brief() + "/" + std::to_string(fragment.index));
    if (known && known->leaves.empty()) return error(errc::corrupt, storage::describe(*known));
    TRY(auto file, fragment_file::open(m_disk, path, fragment));
    if (known) file->refuse(std::move(known->leaves));
    cache(fragment, file);
    return std::shared_ptr<const fragment_file>(file);
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

// ---- checking --------------------------------------------------------------------------------------------

std::vector<copy_name> fragment_store::after(const copy_name& cursor, std::size_t limit) const {
    const std::lock_guard lock(m_mutex);
    std::vector<copy_name> out;
    for (auto at = m_index.lower_bound(cursor.segment); at != m_index.end() && out.size() < limit; ++at) {
        const auto first = static_cast<std::ptrdiff_t>(out.size());
        for (const auto& c : at->second)
            if (const copy_name name{at->first, c.index, c.tag.volume}; name > cursor) out.push_back(name);
        std::sort(out.begin() + first, out.end());
        out.erase(std::unique(out.begin() + first, out.end()), out.end());
    }
    return out;
}

std::vector<copy_name> fragment_store::copies_of(const fragment_ref& fragment) const {
    const std::lock_guard lock(m_mutex);
    std::vector<copy_name> out;
    if (const auto at = m_index.find(fragment.segment); at != m_index.end())
        for (const auto& c : at->second)
            if (c.index == fragment.index) out.push_back({fragment.segment, c.index, c.tag.volume});
    return out;
}

result<std::shared_ptr<const fragment_file>> fragment_store::open_medium(const copy_name& name) {
    const std::lock_guard changing(shard(name.segment));
    for (const auto& c : matching(name.segment, name.volume)) {
        if (c.index != name.index) continue;
        const auto path = path_of(name.segment, c);
        if (!fragment_length_of_file(c.size)) return error(errc::out_of_range, path + " is not as long as a fragment");
        TRY(auto file, fragment_file::open_medium(m_disk, path, {name.segment, name.index}));
        if (fragment_file_size(file->length()) != c.size) return error(errc::out_of_range, path + " is not as long as the fragment");
        return std::shared_ptr<const fragment_file>(file);
    }
    return std::shared_ptr<const fragment_file>();
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
    const auto removed = m_disk.remove(path_of(segment, c));
    if (!removed && (removed.error() != errc::not_found || !m_faults.find({segment, c.index, c.tag.volume}))) return removed.error();
    m_space.give_back(c.size);
    (void)m_faults.mended(copy_name{segment, c.index, c.tag.volume});
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
    TRY(const auto removed, remove_if(segment, volume, [](const copy&) { return true; }));
    m_faults.forget(segment, volume);  // of files that were missing at the last start too
    return removed;
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
