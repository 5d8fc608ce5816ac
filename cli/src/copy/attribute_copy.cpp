#include "attribute_copy.hpp"

#include <cstring>
#include <memory>
#include <string_view>

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/xattr.h>

namespace cess::cli {
namespace {

bool is_root() { return ::geteuid() == 0; }

// Takes the bits from `mode` that would let others act as somebody who did not make this.
int copy_owner(const struct stat& was, const descriptor& to, mode_t& mode) {
    struct stat now {};
    if (::fstat(to.get(), &now) != 0) return errno;
    if (now.st_uid == was.st_uid && now.st_gid == was.st_gid) return 0;
    if (::fchownat(to.get(), "", was.st_uid, was.st_gid, AT_EMPTY_PATH) == 0) return 0;
    if (errno != EPERM || is_root()) return errno;
    mode &= ~static_cast<mode_t>(S_ISUID | S_ISGID);
    constexpr auto same = static_cast<uid_t>(-1);
    if (::fchownat(to.get(), "", same, was.st_gid, AT_EMPTY_PATH) != 0 && errno != EPERM) return errno;
    return 0;
}

bool is_for_root(std::string_view name) { return name.starts_with("security.") || name.starts_with("trusted."); }

int copy_xattr(const std::string& from, const std::string& to, const char* name) {
    const auto value = std::make_unique_for_overwrite<char[]>(XATTR_SIZE_MAX);
    const auto n = ::getxattr(from.c_str(), name, value.get(), XATTR_SIZE_MAX);
    if (n < 0) return errno == ENODATA ? 0 : errno;  // removed meanwhile
    if (::setxattr(to.c_str(), name, value.get(), static_cast<std::size_t>(n), 0) == 0) return 0;
    return errno == EPERM && is_for_root(name) && !is_root() ? 0 : errno;
}

int copy_xattrs(const descriptor& from, const descriptor& to) {
    const auto names = std::make_unique_for_overwrite<char[]>(XATTR_LIST_MAX);
    const auto n = ::listxattr(from.path().c_str(), names.get(), XATTR_LIST_MAX);
    if (n < 0) return errno == EOPNOTSUPP ? 0 : errno;
    for (const char* name = names.get(); name < names.get() + n; name += std::strlen(name) + 1)
        if (const int failed = copy_xattr(from.path(), to.path(), name); failed != 0) return failed;
    return 0;
}

}  // namespace

// In the order in which one does not undo another: a change of owner takes setuid and capabilities away, a list sets the mode.
int copy_attributes(const descriptor& from, const struct stat& was, const descriptor& to) {
    mode_t mode = was.st_mode & 07777;
    if (const int failed = copy_owner(was, to, mode); failed != 0) return failed;
    if (const int failed = copy_xattrs(from, to); failed != 0) return failed;
    if (!S_ISLNK(was.st_mode) && ::chmod(to.path().c_str(), mode) != 0) return errno;
    const timespec times[] = {was.st_atim, was.st_mtim};
    return ::utimensat(AT_FDCWD, to.path().c_str(), times, 0) == 0 ? 0 : errno;
}

int remove_inherited_acls(const descriptor& of) {
    for (const auto* const name : {"system.posix_acl_access", "system.posix_acl_default"})
        if (::removexattr(of.path().c_str(), name) != 0 && errno != ENODATA && errno != EOPNOTSUPP) return errno;
    return 0;
}

}  // namespace cess::cli
