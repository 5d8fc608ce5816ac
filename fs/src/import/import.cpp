#include "context.hpp"
#include "file_places.hpp"
#include "stored_acls.hpp"

#include <core/base/log.hpp>
#include <fs/check.hpp>

#include <set>

namespace cess::fs {
namespace {

using namespace importing;

constexpr std::size_t page = 512;  // keys erased at once

// An inode with all that other lines tell of it.
struct whole_inode {
    inode_number ino;
    format::inode_record record;
    std::string target;
};

class importer {
public:
    importer(volume::volume& into, const stream_source& from, const std::function<void(std::uint64_t, std::uint64_t)>& progress)
        : m_into(into), m_from(from), m_progress(progress), m_places(into), m_changes(into), m_extents(from) {}

    result<import_report> run() {
        CHECK_OK(check_stream(m_from));
        TRY(m_size, size_of_stream());
        TRY(const auto old, load_superblock());
        CHECK_OK(prepare_places());
        CHECK_OK(erase_keys());
        CHECK_OK(write_inodes());
        CHECK_OK(write_entries());
        CHECK_OK(write_quotas_and_end(old));
        CHECK_OK(check_result());
        m_report.moved = m_places.moved();
        return m_report;
    }

private:
    static constexpr std::uint64_t passes = 3;

    void show(std::uint64_t pass, std::uint64_t offset) const {
        if (m_progress) m_progress(pass * m_size + offset, passes * m_size);
    }
    result<std::uint64_t> size_of_stream() {
        stream_reader in(m_from);
        for (;;) {
            TRY(const auto line, in.line());
            if (!line) return in.offset();
        }
    }
    // Empty: an empty volume.
    result<std::optional<format::superblock>> load_superblock() {
        TRY(const auto found, m_into.get(format::superblock_key()));
        if (!found) return std::optional<format::superblock>();
        TRY(const auto super, store::decode<format::superblock>(*found));
        return std::optional(super);
    }

    // Each inode once its lines are read; what was open without a name is left out.
    template <class Each>
    result<void> for_each_inode(std::uint64_t pass, Each each) {
        stream_reader in(m_from);
        std::optional<inode_line> now;
        const auto finish = [&]() -> result<void> {
            if (now && now->record.nlink > 0) CHECK_OK(each(*now));
            now.reset();
            show(pass, in.offset());
            return {};
        };
        for (;;) {
            const auto at = in.offset();
            TRY(auto line, in.next());
            if (!line) return finish();
            if (auto* const inode = std::get_if<inode_line>(&*line)) {
                CHECK_OK(finish());
                now = std::move(*inode);
                m_extents.begin();
            } else if (now && now->record.nlink > 0) {
                CHECK_OK(tell(pass, *line, *now, at));
            }
        }
    }
    // What a line says of the inode before it.
    result<void> tell(std::uint64_t pass, const stream_line& line, inode_line& of, std::uint64_t at) {
        if (const auto* const extent = std::get_if<extent_line>(&line)) {
            m_extents.add(extent->place, at);
            of.record.data_end = extent->place.end();
        } else if (std::holds_alternative<entry_line>(line)) {
            ++of.record.entries;
            of.record.next_cookie = of.record.next_cookie.next();
        } else if (const auto* const xattr = std::get_if<xattr_line>(&line)) {
            ++of.record.xattrs;
            if (const auto kind = acl_kind_of(xattr->name)) of.record.acls |= static_cast<std::uint8_t>(*kind);
            if (pass == 0) return {};
            m_changes.next().put(format::xattr_key(of.ino, xattr->name), xattr->value);
            return m_changes.added(xattr->value.size());
        }
        return {};
    }

    result<void> prepare_places() {
        CHECK_OK(for_each_inode(0, [this](const inode_line& each) {
            return each.record.is_regular() ? m_places.prepare(each.ino, m_extents) : result<void>();
        }));
        return m_places.end_prepare();
    }
    result<void> erase_keys() {
        for (;;) {
            TRY(const auto rows, m_into.scan({}, {}, page));
            if (rows.empty()) return {};
            for (const auto& row : rows) {
                m_changes.next().erase(row.key);
                CHECK_OK(m_changes.added());
            }
            CHECK_OK(m_changes.flush());
        }
    }
    result<void> write_inodes() {
        CHECK_OK(read_projects());
        CHECK_OK(for_each_inode(1, [this](const inode_line& each) { return write_inode(each); }));
        CHECK_OK(m_places.end_settle());
        return m_changes.flush();
    }
    result<void> write_inode(const inode_line& what) {
        const auto& r = what.record;
        put_inode(m_changes.next(), what.ino, r);
        if (!what.target.empty()) m_changes.next().put(format::symlink_key(what.ino), to_bytes(what.target));
        m_last = std::max({m_last, what.ino.value, r.project.value});
        if (what.ino == root_inode) m_created = r.btime;
        if (const auto quota = m_quotas.find(r.project); quota != m_quotas.end()) {
            quota->second.bytes += r.allocated;
            ++quota->second.files;
            if (quota->second.counting && r.is_directory()) m_changes.next().put(format::uncounted_key(r.project, what.ino), {});
        }
        ++m_report.inodes;
        m_report.bytes += r.allocated;
        CHECK_OK(m_changes.added(what.target.size()));
        return r.is_regular() ? m_places.settle(what.ino, m_extents) : result<void>();
    }

    // In the order of the listing. All inodes are there.
    result<void> write_entries() {
        stream_reader in(m_from);
        inode_number directory;
        entry_cookie next;
        std::set<std::string> waiting;  // names that are not applied yet
        for (;;) {
            TRY(const auto line, in.next());
            if (!line) return m_changes.flush();
            const auto* const entry = std::get_if<entry_line>(&*line);
            if (!entry) continue;
            if (entry->in != directory) {
                directory = entry->in;
                next = entry_cookie{3};
                waiting.clear();
                show(2, in.offset());
            }
            CHECK_OK(write_entry(*entry, next, waiting));
            next = next.next();
        }
    }
    result<void> write_entry(const entry_line& what, entry_cookie cookie, std::set<std::string>& waiting) {
        TRY(const auto there, m_into.get(format::dirent_key(what.in, what.name)));
        if (there || !waiting.insert(what.name).second)
            return error(errc::invalid, fmt::format("the stream names an entry of directory {} twice: {}", what.in.value, what.name));
        TRY(const auto row, m_into.get(format::inode_key(what.ino)));
        if (!row)
            return error(errc::invalid, fmt::format("the stream has no inode {} with a name, to which an entry of directory {} leads: {}", what.ino.value, what.in.value, what.name));
        TRY(const auto record, store::decode<format::inode_record>(*row));
        put_entry(m_changes.next(), what.in, what.name, {what.ino, record.mode & S_IFMT, cookie});
        ++m_report.entries;
        const auto before = m_changes.flushed();
        CHECK_OK(m_changes.added());
        if (m_changes.flushed() != before) waiting.clear();
        return {};
    }

    result<void> read_projects() {
        stream_reader in(m_from);
        for (;;) {
            TRY(const auto line, in.next());
            if (!line || std::holds_alternative<inode_line>(*line)) return {};
            if (const auto* const trash = std::get_if<trash_line>(&*line)) m_trash = trash->days;
            const auto* const quota = std::get_if<quota_line>(&*line);
            if (!quota) continue;
            auto& to = m_quotas[quota->project] = quota->record;
            to.bytes = to.files = 0;  // what is left out is not counted
            m_last = std::max(m_last, quota->project.value);
        }
    }
    result<void> write_quotas_and_end(const std::optional<format::superblock>& old) {
        for (const auto& [project, quota] : m_quotas) {
            m_changes.next().put(format::quota_key(project), wire::encode(quota));
            CHECK_OK(m_changes.added());
        }
        m_report.quotas = m_quotas.size();
        if (m_trash) m_changes.next().put(format::trash_key(), wire::encode(format::trash_record{*m_trash}));
        if (m_report.inodes == 0) return m_changes.flush();
        format::superblock super{m_created, {std::max(m_last + 1, first_inode.value)}};
        if (old) super = {old->created, std::max(super.next, old->next)};
        m_changes.next().put(format::superblock_key(), wire::encode(super));
        return m_changes.flush();
    }
    result<void> check_result() {
        std::string first;
        TRY(const auto found, check(m_into, [&](const flaw& each) {
            if (first.empty()) first = each.what;
        }));
        if (found.flaws == 0) return {};
        return error(errc::invalid, fmt::format("the stream describes no sound filesystem: {} ({} flaws)", first, found.flaws));
    }

    volume::volume& m_into;
    const stream_source& m_from;
    const std::function<void(std::uint64_t, std::uint64_t)>& m_progress;
    file_places m_places;
    changes m_changes;
    file_extents m_extents;  // of the file whose lines are read
    std::map<project_id, format::quota_record> m_quotas;
    std::optional<std::uint32_t> m_trash;
    std::uint64_t m_size = 0;
    std::uint64_t m_last = 0;  // the highest number given out
    timestamp m_created;
    import_report m_report;
};

}  // namespace

result<import_header> check_stream(const stream_source& from) {
    stream_reader in(from);
    stream_rules rules;
    std::optional<import_header> header;
    for (;;) {
        TRY(const auto text, in.line());
        if (!text) break;
        TRY(const auto line, rules.take(*text));
        if (const auto* const found = std::get_if<import_header>(&line)) header = *found;
    }
    CHECK_OK(rules.end());
    if (!header) return error(errc::invalid, "the stream has no header");
    return *header;
}

result<import_report> import_metadata(volume::volume& into, const stream_source& from, const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    return importer(into, from, progress).run();
}

}  // namespace cess::fs
