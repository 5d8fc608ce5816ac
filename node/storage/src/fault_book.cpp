#include "fault_book.hpp"

#include <core/base/log.hpp>

namespace cess::storage {
namespace {

struct book_record {
    static constexpr std::uint8_t wire_version = 1;
    scrub_progress progress;
    std::vector<fault> faults;
    template <class S, class C> static void describe(S& s, C& c) { c(s.progress, s.faults); }
};

copy_name copy_of(const fault& f) { return {f.segment, f.index, f.volume}; }

}  // namespace

std::string_view to_string(fault_kind kind) noexcept {
    switch (kind) {
    case fault_kind::leaves: return "damaged data";
    case fault_kind::header: return "damaged header";
    case fault_kind::length: return "wrong length";
    case fault_kind::missing: return "missing file";
    case fault_kind::unreadable: return "unreadable";
    case fault_kind::journal: return "damaged journal";
    }
    return "unknown fault";
}

std::string describe(const fault& what) {
    const auto kind = static_cast<fault_kind>(what.kind);
    if (kind == fault_kind::journal) return "journal of volume " + what.volume.hex() + " term " + std::to_string(what.term.value) + ": damaged";
    std::string out = "segment " + what.segment.hex() + " fragment " + std::to_string(what.index) + ": " + std::string(to_string(kind));
    for (std::size_t i = 0; i < what.leaves.size(); ++i) out += (i == 0 ? " in leaf " : ", ") + std::to_string(what.leaves[i]);
    return out;
}

// A book that cannot be read is begun anew: everything in it is found again by the next pass.
result<void> fault_book::load() {
    const auto path = m_paths.scrub();
    if (!m_disk.exists(path)) return {};
    auto known = read_record<book_record>(m_disk, path);
    if (!known && known.error() != errc::corrupt) return known.error();
    if (!known) {
        log::error("storage", "what scrubbing found is lost, a new pass begins: {}", known.error().message());
        return {};
    }
    const std::lock_guard lock(m_mutex);
    m_progress = known->progress;
    for (auto& f : known->faults) {
        if (static_cast<fault_kind>(f.kind) == fault_kind::journal) m_journals.emplace(journal_ref{f.volume, f.term}, std::move(f));
        else m_fragments.emplace(copy_of(f), std::move(f));
    }
    return {};
}

result<void> fault_book::save() {
    const std::lock_guard saving(m_saving);
    book_record out;
    {
        const std::lock_guard lock(m_mutex);
        if (!std::exchange(m_changed, false)) return {};
        out.progress = m_progress;
        for (const auto& [name, f] : m_fragments) out.faults.push_back(f);
        for (const auto& [name, f] : m_journals) out.faults.push_back(f);
    }
    auto saved = write_checked(m_disk, m_paths.scrub(), wire::encode(out));
    if (saved) return saved;
    const std::lock_guard lock(m_mutex);
    m_changed = true;
    return saved;
}

bool fault_book::note(fault what) {
    if (what.leaves.size() > leaves_max) what.leaves.clear();
    const bool journal = static_cast<fault_kind>(what.kind) == fault_kind::journal;
    const std::lock_guard lock(m_mutex);
    auto* known = static_cast<fault*>(nullptr);
    if (journal) {
        if (const auto at = m_journals.find({what.volume, what.term}); at != m_journals.end()) known = &at->second;
    } else if (const auto at = m_fragments.find(copy_of(what)); at != m_fragments.end()) {
        known = &at->second;
    }
    if (known) {
        if (known->found_s != 0) what.found_s = known->found_s;
        if (*known == what) return false;
        *known = std::move(what);
    } else {
        if (total() >= faults_max) return false;
        if (journal) m_journals.emplace(journal_ref{what.volume, what.term}, std::move(what));
        else m_fragments.emplace(copy_of(what), std::move(what));
    }
    return m_changed = true;
}

bool fault_book::mended(const copy_name& copy) {
    const std::lock_guard lock(m_mutex);
    const bool known = m_fragments.erase(copy) > 0;
    m_changed |= known;
    return known;
}

bool fault_book::mended(const journal_ref& journal) {
    const std::lock_guard lock(m_mutex);
    const bool known = m_journals.erase(journal) > 0;
    m_changed |= known;
    return known;
}

void fault_book::forget(const segment_id& segment, const volume_id& volume) {
    const std::lock_guard lock(m_mutex);
    for (auto at = m_fragments.lower_bound({segment, 0, {}}); at != m_fragments.end() && at->first.segment == segment;) {
        const bool gone = at->first.volume == volume;
        at = gone ? m_fragments.erase(at) : std::next(at);
        m_changed |= gone;
    }
}

std::optional<fault> fault_book::find(const copy_name& copy) const {
    const std::lock_guard lock(m_mutex);
    const auto at = m_fragments.find(copy);
    return at == m_fragments.end() ? std::nullopt : std::optional<fault>(at->second);
}

std::vector<journal_ref> fault_book::journals() const {
    const std::lock_guard lock(m_mutex);
    std::vector<journal_ref> out;
    for (const auto& [name, f] : m_journals) out.push_back(name);
    return out;
}

std::size_t fault_book::count() const {
    const std::lock_guard lock(m_mutex);
    return total();
}

std::vector<fault> fault_book::list(std::size_t limit) const {
    const std::lock_guard lock(m_mutex);
    std::vector<fault> out;
    for (auto at = m_fragments.begin(); at != m_fragments.end() && out.size() < limit; ++at) out.push_back(at->second);
    for (auto at = m_journals.begin(); at != m_journals.end() && out.size() < limit; ++at) out.push_back(at->second);
    return out;
}

scrub_progress fault_book::progress() const {
    const std::lock_guard lock(m_mutex);
    return m_progress;
}

void fault_book::set(const scrub_progress& to) {
    const std::lock_guard lock(m_mutex);
    m_progress = to;
    m_changed = true;
}

}  // namespace cess::storage
