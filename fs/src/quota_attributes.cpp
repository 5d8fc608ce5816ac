#include "quota_attributes.hpp"

#include <charconv>

namespace cess::fs {
namespace {

constexpr std::string_view max_bytes = "max_bytes", max_files = "max_files", after = "after.";

std::string_view key_of(std::string_view name) { return name.substr(quota_attribute_prefix.size()); }

bool is_limit(std::string_view key) { return key == max_bytes || key == max_files; }
std::uint64_t& limit_of(quota_limits& in, std::string_view key) { return key == max_bytes ? in.bytes : in.files; }

answer<bytes> number_or_none(std::uint64_t n) {
    if (n == 0) return refuse(ENODATA);
    return to_bytes(std::to_string(n));
}

std::string_view state_of(const quota& q) { return q.counting ? "counting" : "counted"; }

// "NUMBER BYTES MAX_BYTES FILES MAX_FILES STATE DIRECTORY"
answer<bytes> get_next(quotas& of, std::string_view number) {
    FS_TRY(const auto past, parse_number(number));
    FS_TRY(const auto found, of.next({past}));
    if (!found) return refuse(ENODATA);
    const auto& q = found->what;
    std::string line;
    for (const auto n : {found->project.value, q.bytes, q.limits.bytes, q.files, q.limits.files}) line += std::to_string(n) + " ";
    return to_bytes(line + std::string(state_of(q)) + " " + found->directory);
}

}  // namespace

answer<std::uint64_t> parse_number(std::string_view text) {
    std::uint64_t n = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (failed != std::errc() || end != text.data() + text.size()) return refuse(EINVAL);
    return n;
}

answer<bytes> get_quota_attribute(quotas& of, inode_number ino, std::string_view name) {
    const auto key = key_of(name);
    if (key.starts_with(after)) return get_next(of, key.substr(after.size()));
    FS_TRY(auto found, of.get(ino));
    if (!found) return refuse(ENODATA);
    if (is_limit(key)) return number_or_none(limit_of(found->limits, key));
    if (key == "bytes") return to_bytes(std::to_string(found->bytes));
    if (key == "files") return to_bytes(std::to_string(found->files));
    if (key == "state") return to_bytes(state_of(*found));
    return refuse(ENODATA);
}

answer<void> set_quota_attribute(quotas& of, inode_number ino, std::string_view name, byte_view value, xattr_mode how) {
    const auto key = key_of(name);
    if (!is_limit(key)) return refuse(EOPNOTSUPP);
    FS_TRY(const auto n, parse_number(as_text(value)));
    return of.edit(ino, [&](quota_limits& limits) -> answer<void> {
        auto& limit = limit_of(limits, key);
        if (how == xattr_mode::create && limit > 0) return refuse(EEXIST);
        if (how == xattr_mode::replace && limit == 0) return refuse(ENODATA);
        limit = n;
        return {};
    });
}

answer<void> remove_quota_attribute(quotas& of, inode_number ino, std::string_view name) {
    return set_quota_attribute(of, ino, name, as_view("0"), xattr_mode::replace);
}

}  // namespace cess::fs
