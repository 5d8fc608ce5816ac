#include <objectstore/volume/lost.hpp>

#include "local_log.hpp"
#include "records.hpp"

#include <algorithm>
#include <filesystem>
#include <list>
#include <map>
#include <optional>

namespace cess::volume {
namespace {

constexpr std::string_view suffix = ".lost";

// The last state of what a sequence of changes wrote.
class written_ranges {
public:
    struct part {
        std::uint64_t end = 0;
        lost_range::kind what = lost_range::kind::data;
        lost_place at;
    };
    using blob_map = std::map<std::uint64_t, part>;  // by offset

    void set(blob_id blob, std::uint64_t offset, part what) {
        if (what.end <= offset) return;
        auto& parts = m_blobs[blob];
        split(parts, offset);
        split(parts, what.end);
        parts.erase(parts.lower_bound(offset), parts.lower_bound(what.end));
        parts.emplace(offset, what);
    }
    // What [offset, end) of a blob is, gaps being elsewhere: nobody here wrote them.
    std::vector<std::pair<std::uint64_t, part>> get(blob_id blob, std::uint64_t offset, std::uint64_t end) {
        auto& parts = m_blobs[blob];
        split(parts, offset);
        split(parts, end);
        std::vector<std::pair<std::uint64_t, part>> out;
        for (auto it = parts.lower_bound(offset); offset < end; ++it) {
            const auto next = it == parts.end() ? end : std::min(end, it->first);
            if (offset < next) out.emplace_back(offset, part{next, lost_range::kind::elsewhere, {}});
            if (next == end) break;
            out.emplace_back(it->first, it->second);
            offset = it->second.end;
        }
        return out;
    }
    std::vector<lost_range> all() const {
        std::vector<lost_range> out;
        for (const auto& [blob, parts] : m_blobs) {
            for (const auto& [offset, now] : parts) {
                const bool joins = !out.empty() && out.back().blob == blob && out.back().what == now.what && now.what != lost_range::kind::data &&
                                   out.back().offset + out.back().length == offset;
                if (joins) out.back().length += now.end - offset;
                else out.push_back({blob, offset, now.end - offset, now.what, now.at});
            }
        }
        return out;
    }

private:
    static void split(blob_map& parts, std::uint64_t at) {
        auto it = parts.lower_bound(at);
        if (it == parts.begin()) return;
        --it;
        if (it->second.end <= at) return;
        auto right = it->second;
        right.at.offset += at - it->first;
        it->second.end = at;
        parts.emplace(at, right);
    }

    std::map<blob_id, blob_map> m_blobs;
};

// Executes the entries of one journal; of its bytes it notes where they are.
class lost_replay {
public:
    explicit lost_replay(lost_journal& into) : m_into(into) {}

    // `at`: where the entry begins.
    result<void> run(byte_view entry, const entry_name& expected, lost_place at) {
        wire::decoder in(entry);
        entry_header header;
        in(header);
        if (in.failed() || header.name != expected) return error(errc::corrupt, "an entry that cannot be read");
        at.offset = entry.size() - in.rest().size();
        CHECK_OK(take_payload(header, in.rest().size(), at));
        if (!header.changes.empty()) {
            if (m_into.last.value != 0 && header.first != m_into.last.next()) return error(errc::corrupt, "changes are missing between two entries");
            if (m_into.first.value == 0) m_into.first = header.first;
        }
        for (const auto& encoded : header.changes) {
            TRY(const auto change, wire::decode<change_record>(encoded));
            for (const auto& edit : change.edits) std::visit([this](const auto& e) { apply(e); }, edit);
        }
        if (!header.changes.empty()) m_into.last = {header.first.value + header.changes.size() - 1};
        ++m_into.entries;
        return {};
    }
    std::vector<lost_range> ranges() const { return m_written.all(); }

private:
    struct payload {
        std::uint64_t length = 0;
        lost_place at;
    };
    result<void> take_payload(const entry_header& header, std::uint64_t size, lost_place at) {
        for (const auto& run : header.payload) {
            if (run.length > size) return error(errc::corrupt, "an entry with impossible payload");
            if (run.length != 0) m_payload[{run.segment, run.offset}] = {run.length, at};
            at.offset += run.length;
            size -= run.length;
        }
        return {};
    }
    // The bytes at a place, as far as they stand together; none: how many are not here.
    std::pair<std::optional<lost_place>, std::uint64_t> find(segment_number segment, std::uint64_t offset, std::uint64_t length) const {
        const auto next = m_payload.upper_bound({segment, offset});
        if (next != m_payload.begin()) {
            const auto& [begin, run] = *std::prev(next);
            if (begin.first == segment && begin.second + run.length > offset) {
                auto at = run.at;
                at.offset += offset - begin.second;
                return {at, std::min(length, begin.second + run.length - offset)};
            }
        }
        if (next != m_payload.end() && next->first.first == segment) length = std::min(length, next->first.second - offset);
        return {std::nullopt, length};
    }

    void apply(const put_edit&) { ++m_into.keys; }
    void apply(const erase_edit&) { ++m_into.keys; }
    void apply(const snapshot_edit&) {}
    void apply(const drop_edit& e) { m_written.set(e.blob, 0, {blob_size_max, lost_range::kind::zeros, {}}); }
    void apply(const zero_edit& e) {
        if (e.offset < blob_size_max) m_written.set(e.blob, e.offset, {e.offset + std::min(e.length, blob_size_max - e.offset), lost_range::kind::zeros, {}});
    }
    void apply(const write_edit& e) {
        auto at = std::min(e.offset, blob_size_max);
        for (const auto& place : e.places) {
            for (std::uint64_t done = 0; done < place.length && at < blob_size_max;) {
                const auto [data, length] = find(place.segment, place.offset + done, std::min(place.length - done, blob_size_max - at));
                m_written.set(e.blob, at, {at + length, data ? lost_range::kind::data : lost_range::kind::elsewhere, data.value_or(lost_place())});
                done += length;
                at += length;
            }
        }
    }
    void apply(const share_edit& e) {
        if (e.from_offset > blob_size_max || e.to_offset > blob_size_max || e.length > blob_size_max - std::max(e.from_offset, e.to_offset)) return;
        for (auto& [offset, part] : m_written.get(e.from, e.from_offset, e.from_offset + e.length)) {
            const auto to = offset - e.from_offset + e.to_offset;
            part.end = part.end - e.from_offset + e.to_offset;
            m_written.set(e.to, to, part);
        }
    }

    lost_journal& m_into;
    written_ranges m_written;
    std::map<std::pair<segment_number, std::uint64_t>, payload> m_payload;
};

// A file, opened to be read in pieces.
result<local::record_reader> open_records(os::file_system& on, const std::string& path, const crypto::secret_key& key) {
    TRY(auto opened, on.open(path, os::open_mode::read));
    const std::shared_ptr<os::file> file = std::move(opened);
    local::record_reader::source from;
    TRY(from.size, file->size());
    from.read = [file](std::uint64_t offset, byte_span out) { return file->read_at(offset, out); };
    return local::record_reader::open(key, std::move(from));
}

std::uint64_t written_unix(const std::string& path) {
    std::error_code failed;
    const auto at = std::filesystem::last_write_time(path, failed);
    if (failed) return 0;
    const auto system = std::chrono::file_clock::to_sys(at).time_since_epoch();
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(system).count()));
}

// Whose journals, and where.
struct searched {
    os::file_system& disk;
    const std::string& directory;
    const crypto::secret_key& key;
    network_id network;
    volume_id volume;
};

// The files of one term, in the order of the history, as their names sort. One of them is open, and one entry in memory.
class term_replay {
public:
    term_replay(lost_journal& into, const searched& in) : m_into(into), m_in(in), m_history(into) {}

    void add(const std::string& name, std::uint64_t first) {
        const auto path = m_in.directory + "/" + name;
        m_into.files.push_back(name);
        m_into.until_unix = std::max(m_into.until_unix, written_unix(path));
        if (m_stopped) return;
        auto records = open(path, first);
        auto next = records ? records->next() : result<std::optional<local::record_reader::record>>(records.error());
        if (next && !*next && records->damaged()) next = error(errc::corrupt, "its records do not open");
        if (!next) return miss(name, first, next.error().code == errc::not_found ? "nothing was written to it" : next.error().what);
        if (m_missing_from) damage("entries " + std::to_string(*m_missing_from) + " to " + std::to_string(first - 1) + " are missing");
        m_missing_from.reset();
        if (m_next && first != *m_next) return stop("entries " + std::to_string(*m_next) + " and on are missing");
        m_next = first;
        replay(*records, std::move(next));
    }
    [[nodiscard]] std::vector<lost_range> ranges() const { return m_history.ranges(); }

private:
    result<local::record_reader> open(const std::string& path, std::uint64_t first) {
        TRY(auto out, open_records(m_in.disk, path, m_in.key));
        const auto& header = out.header();
        const bool ours = header.network == m_in.network && header.volume == m_in.volume && header.term == m_into.term && header.first == first;
        if (!ours) return error(errc::corrupt, "it belongs to another volume");
        return out;
    }
    // Before anything was read, what follows is still the last that was written where it says so. Later it is not: what was read
    // may have been overwritten, or shared on, by what is missing.
    void miss(const std::string& name, std::uint64_t first, const std::string& why) {
        damage((m_into.files.size() == 1 ? std::string() : name + ": ") + why);
        if (m_next) return stop("entries " + std::to_string(*m_next) + " and on are missing");
        if (!m_missing_from) m_missing_from = first;
    }
    void replay(local::record_reader& records, result<std::optional<local::record_reader::record>> next) {
        for (; next && *next; next = records.next(), ++*m_next) {
            const auto& record = **next;
            if (auto done = m_history.run(record.entry, {m_into.term, *m_next}, {m_into.files.size() - 1, record.at, record.number, 0}); !done)
                return stop(done.error().what);
        }
        if (!next || records.damaged()) stop("records after entry " + std::to_string(*m_next - 1) + (next ? " do not open" : " cannot be read: " + next.error().what));
    }
    void damage(const std::string& what) { m_into.damage += (m_into.damage.empty() ? "" : "; ") + what; }
    void stop(const std::string& why) {
        damage(why);
        m_stopped = true;
    }

    lost_journal& m_into;
    const searched& m_in;
    lost_replay m_history;
    std::optional<std::uint64_t> m_next;          // entry; none: none was read yet
    std::optional<std::uint64_t> m_missing_from;  // up to the next file
    bool m_stopped = false;
};

}  // namespace

result<std::vector<lost_journal>> read_lost(const chain::account& who, network_id network, volume_id volume, const std::string& directory, os::file_system* disk) {
    const searched in{disk ? *disk : os::posix_file_system(), directory, who.wrapping, network, volume};
    std::vector<lost_journal> out;
    if (!in.disk.exists(directory)) return out;
    TRY(auto names, in.disk.list(directory));
    std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    std::map<term_number, std::vector<std::pair<std::string, std::uint64_t>>> terms;
    for (const auto& each : names) {
        const std::string_view name = each.name;
        if (each.is_directory || !name.ends_with(suffix)) continue;
        const auto place = local::parse_file_name(name.substr(0, name.size() - suffix.size()));
        if (place) terms[place->term].emplace_back(each.name, place->first);
    }
    for (const auto& [term, files] : terms) {
        auto& journal = out.emplace_back();
        journal.term = term;
        term_replay history(journal, in);
        for (const auto& [name, first] : files) history.add(name, first);
        journal.ranges = history.ranges();
    }
    return out;
}

// ---- the bytes -------------------------------------------------------------------------------------------

struct lost_data::state {
    os::file_system& disk;
    const std::string directory;
    const crypto::secret_key key;
    const std::vector<std::string> files;

    struct held {
        std::size_t file = 0;
        std::uint64_t record = 0;
        bytes entry;
    };
    std::list<held> recent;  // the last met first
    std::uint64_t size = 0;  // of those
    std::optional<local::record_reader> open;
    std::size_t opened = 0;  // which

    result<const bytes*> entry_at(const lost_place& at) {
        const auto known = std::find_if(recent.begin(), recent.end(), [&](const held& h) { return h.file == at.file && h.record == at.record; });
        if (known != recent.end()) {
            recent.splice(recent.begin(), recent, known);
            return &recent.front().entry;
        }
        if (!open || opened != at.file) {
            open.reset();
            TRY(auto reader, open_records(disk, directory + "/" + files[at.file], key));
            open.emplace(std::move(reader));
            opened = at.file;
        }
        TRY(auto entry, open->read(at.record, at.number));
        for (; !recent.empty() && size + entry.size() > memory_max; recent.pop_back()) size -= recent.back().entry.size();
        size += entry.size();
        recent.push_front({at.file, at.record, std::move(entry)});
        return &recent.front().entry;
    }
};

lost_data::lost_data(const chain::account& who, std::string directory, const lost_journal& of, os::file_system* disk)
    : m_state(new state{disk ? *disk : os::posix_file_system(), std::move(directory), who.wrapping, of.files, {}, 0, std::nullopt, 0}) {}
lost_data::~lost_data() = default;
lost_data::lost_data(lost_data&&) noexcept = default;

result<void> lost_data::read(const lost_range& of, std::uint64_t offset, byte_span out) {
    TRY(const auto* entry, m_state->entry_at(of.at));
    const auto from = of.at.offset + offset;
    if (from > entry->size() || out.size() > entry->size() - from) return error(errc::corrupt, "entry " + std::to_string(of.at.number) + " of a local journal is shorter than it was");
    std::copy_n(entry->begin() + static_cast<std::ptrdiff_t>(from), out.size(), out.begin());
    return {};
}

}  // namespace cess::volume
