// Checks that a filesystem's records agree with each other and with the data that is there (docs/formats/filesystem.md), for
// `cess fsck`. It changes nothing, and says of each flaw what would mend it.
//
// Rows are read in their order and not kept. Names are counted for as many inodes at a time as check_settings::window says, 16 bytes
// each (64 MiB), and the directory tree is read once for each such window; beside that it holds a batch of rows (2 MiB) and the quotas.
#pragma once

#include <objectstore/volume/volume.hpp>

#include <functional>
#include <string>

namespace cess::fs {

struct flaw {
    std::string what;    // may hold names as they are stored, with any bytes
    std::string repair;  // "would …"
};

struct check_settings {
    std::size_t window = std::size_t{1} << 22;  // inode numbers
};

struct checked {
    std::uint64_t inodes = 0, entries = 0, orphans = 0, quotas = 0;
    std::uint64_t bytes = 0;  // of data mapped
    std::uint64_t flaws = 0;
};

// REQUIRES: nobody changes it meanwhile. An error: it could not be read to its end. `tell` is called on the caller's thread.
[[nodiscard]] result<checked> check(volume::reader& of, const std::function<void(const flaw&)>& tell, check_settings how = {});

}  // namespace cess::fs
