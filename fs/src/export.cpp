#include "row_cursor.hpp"
#include "stored_acls.hpp"
#include "stream_kinds.hpp"

#include <core/base/log.hpp>
#include <core/crypto/crypto.hpp>
#include <fs/export.hpp>

#include <nlohmann/json.hpp>

#include <sys/sysmacros.h>

namespace cess::fs {
namespace {

using json = nlohmann::ordered_json;  // members as they are written

constexpr std::size_t xattr_batch = 32, extent_batch = 1024;

std::string_view type_of(std::uint32_t mode) {
    for (const auto& kind : stream_kinds)
        if ((mode & S_IFMT) == kind.type) return kind.name;
    return "unknown";
}

std::string text_of(timestamp t) { return fmt::format("{}.{:09}", t.seconds, t.nanoseconds); }

// What JSON can carry as text: UTF-8. Other bytes go as hexadecimal digits, under another name.
bool is_text(std::string_view bytes) {
    try {
        (void)json(bytes).dump();
        return bytes.find('\0') == bytes.npos;
    } catch (const json::exception&) {
        return false;
    }
}

void put(json& into, const std::string& name, std::string_view value) {
    if (is_text(value)) into[name] = value;
    else into[name + "_hex"] = to_hex(as_view(value));
}

json to_json(inode_number ino, const format::inode_record& r) {
    json out;
    out["inode"] = ino.value;
    out["type"] = type_of(r.mode);
    out["mode"] = fmt::format("{:04o}", r.mode & 07777);
    out["uid"] = r.uid;
    out["gid"] = r.gid;
    out["nlink"] = r.nlink;
    out["size"] = r.size;
    if (r.is_regular()) out["allocated"] = r.allocated;
    if (S_ISCHR(r.mode) || S_ISBLK(r.mode)) out["device"] = {gnu_dev_major(r.rdev), gnu_dev_minor(r.rdev)};
    out["atime"] = text_of(r.atime);
    out["mtime"] = text_of(r.mtime);
    out["ctime"] = text_of(r.ctime);
    out["btime"] = text_of(r.btime);
    out["generation"] = r.generation;
    if (r.is_directory()) out["parent"] = r.parent.value;
    if (r.project.value != 0) out["project"] = r.project.value;
    return out;
}

class exporter {
public:
    exporter(volume::reader& of, const line_sink& into) : m_of(of), m_into(into) {}

    result<void> run(const export_source& named) {
        CHECK_OK(write_header(named));
        CHECK_OK(write_quotas());
        CHECK_OK(write_trash());
        row_cursor rows(m_of, to_bytes("i"));
        for (;; rows.pass()) {
            TRY(const auto* const at, rows.peek());
            if (!at) return write_end();
            TRY(const auto number, format::last_number(at->key));
            TRY(const auto record, store::decode<format::inode_record>(at->value));
            CHECK_OK(write_inode({number}, record));
        }
    }

private:
    result<void> write(const json& line) {
        const auto text = line.dump() + "\n";
        m_hash.update(as_view(text));
        return m_into(text);
    }
    result<void> write_header(const export_source& named) {
        json line;
        line["format"] = stream_format;
        line["version"] = stream_version;
        line["volume"] = named.volume;
        line["id"] = m_of.record().id.hex();
        if (!named.snapshot.empty()) line["snapshot"] = named.snapshot;
        if (!named.snapshot.empty()) line["sequence"] = m_of.record().head.sequence.value;
        return write(line);
    }
    result<void> write_quotas() {
        row_cursor rows(m_of, format::quota_prefix());
        for (;; rows.pass()) {
            TRY(const auto* const at, rows.peek());
            if (!at) return {};
            TRY(const auto project, format::last_number(at->key));
            TRY(const auto record, store::decode<format::quota_record>(at->value));
            json line;
            line["quota"] = project;
            line["directory"] = record.root.value;
            line["max_bytes"] = record.bytes_max;
            line["max_files"] = record.files_max;
            line["bytes"] = record.bytes;
            line["files"] = record.files;
            if (record.counting) line["counting"] = true;
            CHECK_OK(write(line));
            ++m_quotas;
        }
    }
    result<void> write_trash() {
        TRY(const auto row, m_of.get(format::trash_key()));
        if (!row) return {};
        TRY(const auto record, store::decode<format::trash_record>(*row));
        json line;
        line["trash"] = trash_inode.value;
        line["days"] = record.days;
        return write(line);
    }
    result<void> write_inode(inode_number ino, const format::inode_record& record) {
        auto line = to_json(ino, record);
        if (S_ISLNK(record.mode)) {
            TRY(const auto target, m_of.get(format::symlink_key(ino)));
            if (!target) return error(errc::corrupt, fmt::format("inode {} is a symbolic link without a target", ino.value));
            put(line, "target", as_text(*target));
        }
        CHECK_OK(write(line));
        ++m_inodes;
        if (record.xattrs > 0) CHECK_OK(write_xattrs(ino));
        if (record.is_directory()) return write_entries(ino);
        if (record.is_regular() && record.data_end > 0) return write_extents(ino);
        return {};
    }
    result<void> write_xattrs(inode_number ino) {
        const auto prefix = format::xattr_prefix(ino);
        row_cursor rows(m_of, prefix, {}, xattr_batch);
        for (;; rows.pass()) {
            TRY(const auto* const at, rows.peek());
            if (!at) return {};
            json line;
            line["of"] = ino.value;
            const auto name = as_text(byte_view(at->key).subspan(prefix.size()));
            put(line, "xattr", name);
            put(line, "value", as_text(at->value));
            if (acl_kind_of(name))
                if (const auto list = acl::parse(at->value); list && *list) line["acl"] = (*list)->text();
            CHECK_OK(write(line));
            ++m_xattrs;
        }
    }
    // In the order of the listing, which is that in which they were made.
    result<void> write_entries(inode_number directory) {
        row_cursor rows(m_of, format::listing_prefix(directory));
        for (;; rows.pass()) {
            TRY(const auto* const at, rows.peek());
            if (!at) return {};
            TRY(const auto record, store::decode<format::listing_record>(at->value));
            json line;
            line["in"] = directory.value;
            put(line, "name", record.name);
            line["inode"] = record.ino.value;
            CHECK_OK(write(line));
            ++m_entries;
        }
    }
    result<void> write_extents(inode_number ino) {
        for (std::uint64_t at = 0;;) {
            TRY(const auto ranges, m_of.places(ino.value, at, file_size_max + 1, extent_batch));
            for (const auto& range : ranges) {
                json line;
                line["of"] = ino.value;
                line["offset"] = range.offset;
                line["length"] = range.length;
                line["lineage"] = range.lineage.hex();
                line["segment"] = range.segment.value;
                line["at"] = range.at;
                CHECK_OK(write(line));
                ++m_extents;
                at = range.end();
            }
            if (ranges.size() < extent_batch) return {};
        }
    }
    result<void> write_end() {
        json line;
        line["end"] = true;
        line["inodes"] = m_inodes;
        line["entries"] = m_entries;
        line["xattrs"] = m_xattrs;
        line["extents"] = m_extents;
        line["quotas"] = m_quotas;
        line["sha256"] = m_hash.finish().hex();
        return m_into(line.dump() + "\n");
    }

    volume::reader& m_of;
    const line_sink& m_into;
    crypto::sha256_stream m_hash;
    std::uint64_t m_inodes = 0, m_entries = 0, m_xattrs = 0, m_extents = 0, m_quotas = 0;
};

}  // namespace

result<void> export_metadata(volume::reader& of, const export_source& named, const line_sink& into) {
    return exporter(of, into).run(named);
}

}  // namespace cess::fs
