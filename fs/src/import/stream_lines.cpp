#include "stream_lines.hpp"

#include "context.hpp"
#include "stored_acls.hpp"
#include "stream_kinds.hpp"

#include <core/base/log.hpp>

#include <nlohmann/json.hpp>

#include <sys/sysmacros.h>

#include <charconv>
#include <set>

namespace cess::fs::importing {
namespace {

using json = nlohmann::json;

constexpr std::size_t xattr_value_max = 65536;
constexpr std::uint64_t segment_end = 32 * MiB;  // no segment is longer
constexpr std::uint32_t permissions_max = 07777;
constexpr std::uint32_t device_number_max = 0xffffffff;

error wrong(const std::string& what) { return {errc::invalid, what}; }

// A line's members, each taken once; what was not taken is not known.
class members {
public:
    explicit members(json from) : m_from(std::move(from)) {}

    [[nodiscard]] bool has(const char* name) const { return m_from.contains(name); }

    result<std::uint64_t> number(const char* name, std::uint64_t at_most = ~std::uint64_t{0}) {
        TRY(const auto member, take(name));
        const auto& value = member.value;
        if (!value.is_number_unsigned() || value.get<std::uint64_t>() > at_most) return wrong(std::string(name) + " is no number in its range");
        return value.get<std::uint64_t>();
    }
    result<std::uint32_t> small_number(const char* name, std::uint32_t at_most = ~std::uint32_t{0}) {
        TRY(const auto value, number(name, at_most));
        return static_cast<std::uint32_t>(value);
    }
    result<std::uint64_t> number_if_any(const char* name) { return has(name) ? number(name) : result<std::uint64_t>(std::uint64_t{0}); }
    result<inode_number> inode(const char* name) {
        TRY(const auto value, number(name));
        if (value == 0 || value >= inode_end) return wrong(std::string(name) + " is no inode number");
        return inode_number{value};
    }
    result<std::string> text(const char* name) {
        TRY(const auto member, take(name));
        const auto& value = member.value;
        if (!value.is_string()) return wrong(std::string(name) + " is no text");
        return value.get<std::string>();
    }
    // Text, or in hexadecimal digits under another name.
    result<std::string> raw(const std::string& name) {
        const auto digits = name + "_hex";
        if (!has(digits.c_str())) return text(name.c_str());
        if (has(name.c_str())) return wrong(name + " is given twice");
        TRY(const auto value, text(digits.c_str()));
        TRY(const auto decoded, from_hex(value));
        return to_string(decoded);
    }
    result<bool> truth(const char* name) {
        TRY(const auto member, take(name));
        const auto& value = member.value;
        if (!value.is_boolean()) return wrong(std::string(name) + " is neither true nor false");
        return value.get<bool>();
    }
    result<timestamp> time(const char* name);
    result<std::uint64_t> device(const char* name);
    result<void> end() const {
        if (m_from.empty()) return {};
        return wrong("unknown member \"" + std::string(m_from.begin().key().substr(0, name_max)) + "\"");
    }

private:
    struct taken {  // json takes whatever it is given, a result too
        json value;
    };
    result<taken> take(const char* name) {
        const auto it = m_from.find(name);
        if (it == m_from.end()) return wrong("no " + std::string(name));
        taken out{std::move(*it)};
        m_from.erase(it);
        return out;
    }

    json m_from;
};

template <class Number>
bool parse_all(std::string_view text, Number& out, int base = 10) {
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out, base);
    return failed == std::errc() && end == text.data() + text.size();
}

result<timestamp> members::time(const char* name) {
    constexpr std::size_t digits = 9;
    TRY(const auto value, text(name));
    const auto point = value.find('.');
    timestamp out;
    const auto view = std::string_view(value);
    const bool good = point != value.npos && value.size() - point - 1 == digits && parse_all(view.substr(0, point), out.seconds) &&
                      parse_all(view.substr(point + 1), out.nanoseconds);
    if (!good) return wrong(std::string(name) + " is no time");
    return out;
}

result<std::uint64_t> members::device(const char* name) {
    TRY(const auto member, take(name));
    const auto& value = member.value;
    const bool good = value.is_array() && value.size() == 2 && value[0].is_number_unsigned() && value[1].is_number_unsigned() &&
                      value[0].get<std::uint64_t>() <= device_number_max && value[1].get<std::uint64_t>() <= device_number_max;
    if (!good) return wrong(std::string(name) + " is no pair of numbers");
    return gnu_dev_makedev(value[0].get<unsigned>(), value[1].get<unsigned>());
}

// ---- the lines -----------------------------------------------------------------------------------------------

result<stream_line> parse_header(members& in) {
    TRY(const auto format, in.text("format"));
    if (format != stream_format) return wrong("it is no filesystem's metadata");
    TRY(const auto version, in.number("version"));
    if (version != stream_version) return error(errc::unsupported, fmt::format("version {} of the format; this program reads {}", version, stream_version));
    import_header out;
    TRY(out.volume, in.text("volume"));
    TRY(const auto id, in.text("id"));
    TRY(out.id, volume_id::parse(id));
    if (in.has("snapshot")) {
        TRY(out.snapshot, in.text("snapshot"));
        TRY(out.at.value, in.number("sequence"));
    }
    return stream_line(out);
}

result<stream_line> parse_quota(members& in) {
    quota_line out;
    auto& r = out.record;
    TRY(out.project.value, in.number("quota", inode_end - 1));
    if (out.project.value == 0) return wrong("quota is no number in its range");
    TRY(r.root, in.inode("directory"));
    TRY(r.bytes_max, in.number("max_bytes"));
    TRY(r.files_max, in.number("max_files"));
    TRY(r.bytes, in.number("bytes"));
    TRY(r.files, in.number("files"));
    r.counting = false;
    if (in.has("counting")) {
        TRY(r.counting, in.truth("counting"));
    }
    return stream_line(out);
}

result<stream_line> parse_trash(members& in) {
    TRY(const auto directory, in.inode("trash"));
    if (directory != trash_inode) return wrong(fmt::format("trash is not {}", trash_inode.value));
    trash_line out;
    TRY(out.days, in.small_number("days", trash_days_max));
    return stream_line(out);
}

result<std::uint32_t> parse_mode(members& in) {
    constexpr int octal = 8;
    TRY(const auto type, in.text("type"));
    TRY(const auto mode, in.text("mode"));
    std::uint32_t permissions = 0;
    if (!parse_all(mode, permissions, octal) || permissions > permissions_max) return wrong("mode is not four octal digits");
    for (const auto& kind : stream_kinds)
        if (type == kind.name) return kind.type | permissions;
    return wrong("type is of no kind of file");
}

result<void> parse_by_kind(members& in, inode_line& out) {
    auto& r = out.record;
    if (r.is_regular()) {
        TRY(r.allocated, in.number("allocated", file_size_max));
        if (r.size > file_size_max) return wrong("size is too large");
    }
    if (S_ISCHR(r.mode) || S_ISBLK(r.mode)) {
        TRY(r.rdev, in.device("device"));
    }
    if (r.is_directory()) {
        TRY(r.parent, in.inode("parent"));
    }
    if (!S_ISLNK(r.mode)) return {};
    TRY(out.target, in.raw("target"));
    const auto n = out.target.size();
    if (n == 0 || n > symlink_max || n != r.size || out.target.find('\0') != out.target.npos) return wrong("target cannot be one, or is not of that size");
    return {};
}

result<stream_line> parse_inode(members& in) {
    inode_line out;
    auto& r = out.record;
    TRY(out.ino, in.inode("inode"));
    TRY(r.mode, parse_mode(in));
    TRY(r.uid, in.small_number("uid"));
    TRY(r.gid, in.small_number("gid"));
    TRY(r.nlink, in.small_number("nlink", link_max));
    TRY(r.size, in.number("size"));
    TRY(r.atime, in.time("atime"));
    TRY(r.mtime, in.time("mtime"));
    TRY(r.ctime, in.time("ctime"));
    TRY(r.btime, in.time("btime"));
    TRY(r.generation, in.number("generation"));
    TRY(r.project.value, in.number_if_any("project"));
    if (r.project.value >= inode_end) return wrong("project is no number in its range");
    CHECK_OK(parse_by_kind(in, out));
    return stream_line(std::move(out));
}

bool is_xattr_name(std::string_view name) {
    if (name.size() > name_max || name.find('\0') != name.npos) return false;
    for (const std::string_view space : {"user.", "trusted.", "security."})
        if (name.starts_with(space) && name.size() > space.size()) return true;
    return acl_kind_of(name).has_value();
}

result<stream_line> parse_xattr(members& in) {
    xattr_line out;
    TRY(out.of, in.inode("of"));
    TRY(out.name, in.raw("xattr"));
    TRY(const auto value, in.raw("value"));
    out.value = to_bytes(value);
    if (!is_xattr_name(out.name)) return wrong("xattr is no attribute's name");
    if (out.value.size() > xattr_value_max) return wrong("value is too large");
    if (!in.has("acl")) return stream_line(std::move(out));
    TRY(const auto text, in.text("acl"));
    const auto list = acl::parse(out.value);
    if (!acl_kind_of(out.name) || !list || !*list || (*list)->text() != text) return wrong("acl is not what value says");
    return stream_line(std::move(out));
}

result<stream_line> parse_entry(members& in) {
    entry_line out;
    TRY(out.in, in.inode("in"));
    TRY(out.name, in.raw("name"));
    TRY(out.ino, in.inode("inode"));
    if (!check_name(out.name)) return wrong("name cannot be one");
    return stream_line(std::move(out));
}

result<stream_line> parse_extent(members& in) {
    extent_line out;
    TRY(out.of, in.inode("of"));
    auto& p = out.place;
    TRY(p.offset, in.number("offset", file_size_max));
    TRY(p.length, in.number("length", segment_end));
    TRY(const auto lineage, in.text("lineage"));
    TRY(p.lineage, volume_id::parse(lineage));
    TRY(p.segment.value, in.number("segment"));
    TRY(p.at, in.number("at", segment_end));
    if (p.length == 0 || p.at + p.length > segment_end || p.end() > file_size_max) return wrong("it is no place");
    return stream_line(out);
}

result<stream_line> parse_end(members& in) {
    TRY(const auto truth, in.truth("end"));
    if (!truth) return wrong("end is not true");
    end_line out;
    TRY(out.inodes, in.number("inodes"));
    TRY(out.entries, in.number("entries"));
    TRY(out.xattrs, in.number("xattrs"));
    TRY(out.extents, in.number("extents"));
    TRY(out.quotas, in.number("quotas"));
    if (in.has("sha256")) {
        TRY(const auto text, in.text("sha256"));
        TRY(out.hash, hash256::parse(text));
    }
    return stream_line(out);
}

result<stream_line> parse_kind(members& in) {
    if (in.has("format")) return parse_header(in);
    if (in.has("quota")) return parse_quota(in);
    if (in.has("trash")) return parse_trash(in);
    if (in.has("type")) return parse_inode(in);
    if (in.has("in")) return parse_entry(in);
    if (in.has("xattr") || in.has("xattr_hex")) return parse_xattr(in);
    if (in.has("of")) return parse_extent(in);
    if (in.has("end")) return parse_end(in);
    return wrong("it is of no known kind");
}

}  // namespace

result<stream_line> parse_line(std::string_view text) {
    constexpr int depth_max = 2;  // an object with lists
    std::set<std::string> names;
    bool refused = false;
    const auto look = [&](int depth, json::parse_event_t event, json& what) {
        if (depth > depth_max) refused = true;
        if (event == json::parse_event_t::key && !names.insert(what.get<std::string>()).second) refused = true;
        return !refused;
    };
    auto parsed = json::parse(text, look, false);
    if (refused || parsed.is_discarded() || !parsed.is_object()) return wrong("it is no JSON object with members that are each given once");
    members in(std::move(parsed));
    TRY(auto out, parse_kind(in));
    CHECK_OK(in.end());
    return out;
}

}  // namespace cess::fs::importing
