// What a copy has of its original besides its bytes: owner, extended attributes with access control lists, mode, times.
#pragma once

#include "descriptor.hpp"

#include <sys/stat.h>

namespace cess::cli {

// 0, or an errno. `from` and `to` may be opened with O_PATH; `was`: the original's, from before it was read.
// Who is not root keeps what he copies: it loses setuid and setgid with its owner, and attributes that only root may set.
[[nodiscard]] int copy_attributes(const descriptor& from, const struct stat& was, const descriptor& to);
// What something new took over from the directory's default list. 0, or an errno.
[[nodiscard]] int remove_inherited_acls(const descriptor& of);

}  // namespace cess::cli
