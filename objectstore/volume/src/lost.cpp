#include <objectstore/volume/lost.hpp>

#include "local_log.hpp"
#include "records.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

namespace cess::volume {
namespace {

constexpr std::uint64_t file_size_max = 512 * MiB;
constexpr std::string_view suffix = ".lost";

// The last state of what a sequence of changes wrote.
class written_ranges {
public:
    struct part {
        std::uint64_t end = 0;
        lost_range::kind what = lost_range::kind::data;
        byte_view bytes;
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
                else out.push_back({blob, offset, now.end - offset, now.what, now.bytes});
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
        if (right.what == lost_range::kind::data) {
            right.bytes = right.bytes.subspan(at - it->first);
            it->second.bytes = it->second.bytes.first(at - it->first);
        }
        it->second.end = at;
        parts.emplace(at, right);
    }

    std::map<blob_id, blob_map> m_blobs;
};

// Executes the entries of one journal, as far as its bytes are in it.
class lost_replay {
public:
    explicit lost_replay(lost_journal& into) : m_into(into) {}

    result<void> run(const bytes& entry, const entry_name& expected) {
        wire::decoder in(entry);
        entry_header header;
        in(header);
        if (in.failed() || header.name != expected) return error(errc::corrupt, "an entry that cannot be read");
        CHECK_OK(take_payload(header, in.rest()));
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
    result<void> take_payload(const entry_header& header, byte_view payload) {
        for (const auto& run : header.payload) {
            if (run.length > payload.size()) return error(errc::corrupt, "an entry with impossible payload");
            if (run.length != 0) m_payload[{run.segment, run.offset}] = payload.first(run.length);
            payload = payload.subspan(run.length);
        }
        return {};
    }
    // The bytes at a place, as far as they stand together; none: how many are not here.
    std::pair<byte_view, std::uint64_t> find(segment_number segment, std::uint64_t offset, std::uint64_t length) const {
        const auto next = m_payload.upper_bound({segment, offset});
        if (next != m_payload.begin()) {
            const auto& [at, run] = *std::prev(next);
            if (at.first == segment && at.second + run.size() > offset) {
                const auto from = run.subspan(offset - at.second);
                return {from.first(std::min<std::uint64_t>(length, from.size())), std::min<std::uint64_t>(length, from.size())};
            }
        }
        if (next != m_payload.end() && next->first.first == segment) length = std::min(length, next->first.second - offset);
        return {{}, length};
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
                m_written.set(e.blob, at, {at + length, data.empty() ? lost_range::kind::elsewhere : lost_range::kind::data, data});
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
    std::map<std::pair<segment_number, std::uint64_t>, byte_view> m_payload;
};

struct lost_file {
    std::string name;
    std::uint64_t first = 0;  // entry, as its name says
    local::parsed_file content;
    std::string unreadable;   // why; empty: it is not
};

std::uint64_t written_unix(const std::string& path) {
    std::error_code failed;
    const auto at = std::filesystem::last_write_time(path, failed);
    if (failed) return 0;
    const auto system = std::chrono::file_clock::to_sys(at).time_since_epoch();
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(system).count()));
}

// The files of one term, in the order of the history, as their names sort.
class term_replay {
public:
    term_replay(lost_journal& into, const std::string& directory) : m_into(into), m_directory(directory), m_history(into) {}

    void add(lost_file file) {
        m_into.files.push_back(file.name);
        m_into.until_unix = std::max(m_into.until_unix, written_unix(m_directory + "/" + file.name));
        if (m_stopped) return;
        if (file.unreadable.empty() && file.content.entries.empty() && file.content.damaged) file.unreadable = "its records do not open";
        if (!file.unreadable.empty()) return miss(file);
        if (m_missing_from) damage("entries " + std::to_string(*m_missing_from) + " to " + std::to_string(file.first - 1) + " are missing");
        m_missing_from.reset();
        if (m_next && file.first != *m_next) return stop("entries " + std::to_string(*m_next) + " and on are missing");
        replay(std::move(file));
    }
    [[nodiscard]] std::vector<lost_range> ranges() const { return m_history.ranges(); }

private:
    // Before anything was read, what follows is still the last that was written where it says so. Later it is not: what was read
    // may have been overwritten, or shared on, by what is missing.
    void miss(const lost_file& file) {
        damage((m_into.files.size() == 1 ? std::string() : file.name + ": ") + file.unreadable);
        if (m_next) return stop("entries " + std::to_string(*m_next) + " and on are missing");
        if (!m_missing_from) m_missing_from = file.first;
    }
    void replay(lost_file file) {
        m_next = file.first;
        for (auto& entry : file.content.entries) {
            m_into.held.push_back(std::move(entry));  // its bytes stay where they are
            if (auto done = m_history.run(m_into.held.back(), {m_into.term, *m_next}); !done) return stop(done.error().what);
            ++*m_next;
        }
        if (file.content.damaged) stop("records after entry " + std::to_string(*m_next - 1) + " do not open");
    }
    void damage(const std::string& what) { m_into.damage += (m_into.damage.empty() ? "" : "; ") + what; }
    void stop(const std::string& why) {
        damage(why);
        m_stopped = true;
    }

    lost_journal& m_into;
    const std::string& m_directory;
    lost_replay m_history;
    std::optional<std::uint64_t> m_next;          // entry; none: none was read yet
    std::optional<std::uint64_t> m_missing_from;  // up to the next file
    bool m_stopped = false;
};

lost_journal replay(const std::string& directory, term_number term, std::vector<lost_file> files) {
    lost_journal out;
    out.term = term;
    term_replay history(out, directory);
    for (auto& file : files) history.add(std::move(file));
    out.ranges = history.ranges();
    return out;
}

}  // namespace

result<std::vector<lost_journal>> read_lost(const chain::account& who, network_id network, volume_id volume, const std::string& directory, os::file_system* disk) {
    auto& on = disk ? *disk : os::posix_file_system();
    std::vector<lost_journal> out;
    if (!on.exists(directory)) return out;
    TRY(auto names, on.list(directory));
    std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    std::map<term_number, std::vector<lost_file>> terms;
    for (const auto& each : names) {
        const std::string_view name = each.name;
        if (each.is_directory || !name.ends_with(suffix)) continue;
        const auto place = local::parse_file_name(name.substr(0, name.size() - suffix.size()));
        if (!place) continue;
        auto& file = terms[place->term].emplace_back();
        file.name = each.name;
        file.first = place->first;
        TRY(const auto content, os::read_file(on, directory + "/" + each.name, file_size_max));
        auto parsed = local::parse_file(who.wrapping, content);
        if (!parsed) {
            file.unreadable = parsed.error().code == errc::not_found ? "nothing was written to it" : parsed.error().what;
            continue;
        }
        const auto& header = parsed->header;
        const bool ours = header.network == network && header.volume == volume && header.term == place->term && header.first == place->first;
        if (ours) file.content = std::move(*parsed);
        else file.unreadable = "it belongs to another volume";
    }
    for (auto& [term, files] : terms) out.push_back(replay(directory, term, std::move(files)));
    return out;
}

}  // namespace cess::volume
