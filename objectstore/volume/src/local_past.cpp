#include "local_past.hpp"

#include "records.hpp"

#include <core/base/log.hpp>

namespace cess::volume::local {
namespace {

constexpr std::uint64_t file_size_max = 512 * MiB;
constexpr std::string_view lost_suffix = ".lost";

struct brief {  // of an entry
    sequence_number first, last;  // last before first: no changes
    entry_name name;
};

std::optional<brief> brief_of(byte_view entry) {
    wire::decoder in(entry);
    entry_header header;
    in(header);
    if (in.failed()) return std::nullopt;
    return brief{header.first, {header.first.value + header.changes.size() - 1}, header.name};
}

bool has_changes(const brief& of) { return of.first.value > 0 && of.last >= of.first; }

// The place in `entries` from which on the history lacks them; none if they do not continue it.
std::optional<std::size_t> continues_at(const file_header& header, const std::vector<std::pair<std::uint64_t, bytes>>& entries, const history_end& end) {
    if (end.rooted > header.term) return std::nullopt;  // that root let go of what only this journal knew
    std::size_t at = 0;
    if (end.last.by == header.term) {
        while (at < entries.size() && entries[at].first <= end.last.number) ++at;
        return at;
    }
    if (end.last.by.value != 0) return end.last == header.after ? std::optional<std::size_t>(0) : std::nullopt;
    for (std::size_t i = 0; i < entries.size(); ++i)
        if (const auto b = brief_of(entries[i].second); b && has_changes(*b) && b->last <= end.applied) at = i + 1;
    return at;
}

}  // namespace

result<past> past::read(place where, network_id network, volume_id volume) {
    past out(std::move(where));
    if (!out.m_where.disk || !out.m_where.disk->exists(out.m_where.directory)) return out;
    TRY(const auto names, out.m_where.disk->list(out.m_where.directory));
    for (const auto& each : names)
        if (!each.is_directory && is_file_name(each.name)) CHECK_OK(out.add(each.name, network, volume));
    return out;
}

result<void> past::add(const std::string& name, network_id network, volume_id volume) {
    const auto path = m_where.directory + "/" + name;
    TRY(const auto content, os::read_file(*m_where.disk, path, file_size_max));
    auto parsed = parse_file(m_where.key, content);
    if (!parsed && parsed.error().code == errc::not_found) {
        m_changed = true;
        return m_where.disk->remove(path);
    }
    const bool ours = parsed && parsed->header.network == network && parsed->header.volume == volume && file_name(parsed->header.term, parsed->header.first) == name;
    if (!ours) {
        cess::log::error("volume", "local journal set aside, it cannot be read file={}{} reason=\"{}\"", path, lost_suffix,
                         parsed ? "it belongs to another volume" : parsed.error().message());
        return set_aside(name);
    }
    const auto& header = parsed->header;
    auto& into = m_terms[header.term];
    if (into.files.empty()) into.header = header;
    into.files.push_back(name);
    auto number = header.first;
    for (auto& entry : parsed->entries) into.entries.emplace_back(number++, std::move(entry));
    into.damaged |= parsed->damaged;
    return {};
}

past::missing past::after(const history_end& end) {
    missing out;
    out.last = end.last;
    out.applied = end.applied;
    for (auto& [term, each] : m_terms) {
        auto now = end;
        now.last = out.last;
        now.applied = out.applied;
        continue_with(each, now, out);
    }
    return out;
}

void past::continue_with(leftover& of, const history_end& end, missing& out) {
    const auto from = continues_at(of.header, of.entries, end);
    of.alien = !from;
    if (!from) return;
    for (std::size_t i = 0; i < *from; ++i) bytes().swap(of.entries[i].second);  // the miners have it
    auto number = end.last.by == of.header.term ? end.last.number + 1 : end.last.by.value != 0 ? 1 : *from < of.entries.size() ? of.entries[*from].first : 0;
    for (auto i = *from; i < of.entries.size(); ++i, ++number) {
        auto& [numbered, entry] = of.entries[i];
        const auto b = brief_of(entry);
        const bool follows = b && numbered == number && b->name == entry_name{of.header.term, number} && (!has_changes(*b) || b->first == out.applied.next());
        if (!follows) {
            of.damaged = true;  // from here on
            return;
        }
        if (has_changes(*b)) out.applied = b->last;
        out.last = b->name;
        out.entries.push_back(std::move(entry));
        bytes().swap(entry);
    }
}

result<void> past::settle() {
    for (auto& [term, each] : m_terms) {
        if (each.alien || each.damaged) {
            CHECK_OK(set_aside(each));
            continue;
        }
        for (const auto& name : each.files) CHECK_OK(m_where.disk->remove(m_where.directory + "/" + name));
        m_changed |= !each.files.empty();
    }
    m_terms.clear();
    if (!std::exchange(m_changed, false)) return {};
    return m_where.disk->sync_directory(m_where.directory);
}

result<void> past::set_aside(const leftover& of) {
    std::size_t entries = 0, size = 0;
    for (const auto& [number, entry] : of.entries) {
        entries += !entry.empty();
        size += entry.size();
    }
    cess::log::error("volume", "local journal set aside, {} entries of it ({}) that were acknowledged on this machine may not be in the volume file={}/{}{} reason=\"{}\"",
                     entries, format_size(size), m_where.directory, of.files.front(), lost_suffix,
                     of.alien ? "the volume's history went on without it" : "it is damaged; what could be read before that is in the volume");
    for (const auto& name : of.files) CHECK_OK(set_aside(name));
    return {};
}

result<void> past::set_aside(const std::string& name) {
    const auto from = m_where.directory + "/" + name;
    m_changed = true;
    return m_where.disk->rename(from, from + std::string(lost_suffix));
}

}  // namespace cess::volume::local
