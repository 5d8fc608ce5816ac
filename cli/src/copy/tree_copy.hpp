// Copies of files and trees that share their bytes with the original: copy_file_range(2), which cessfs answers with a
// reflink, so that a copy costs its names and attributes and not its bytes. Only system calls on descriptors: names that
// others move meanwhile lead neither out of the tree nor into another one.
#pragma once

#include <core/base/result.hpp>

#include <cstdint>
#include <functional>
#include <string>

namespace cess::cli {

struct copied {
    std::uint64_t entries = 0;  // names in the copy
    std::uint64_t bytes = 0;    // that it shares
};

// What cp -a makes: all kinds of files, holes, hard links within the tree, owners, modes, times, extended attributes. `target`
// is the copy's path, or a directory in which it gets the name that `source` has; nothing is ever replaced. The copy is made under
// another name beside its place, and gets there whole, by one rename; if anything fails, what was made is removed again.
// `go_on` hears how far it is, before each entry, and ends it with false. Keeps the paths of files with several names in memory
// until all of these were met. REQUIRES: nobody else's umask or limit of descriptors: it sets the process'.
[[nodiscard]] result<copied> copy_tree(const std::string& source, const std::string& target, const std::function<bool(const copied&)>& go_on);

}  // namespace cess::cli
