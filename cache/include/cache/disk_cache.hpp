// The tier of the block cache on the client's own disk, behind the one in memory.
//
// One file, used as a log of regions: blocks gather in memory and are written a region at a time by a thread of the
// tier's own; the oldest region makes room. Scan-resistant like the memory tier (S3-FIFO): a tenth of the regions for
// new blocks, the rest for those that were asked for again, from here or soon after they had to go. Blocks stay sealed
// as they came from the miners, and are authenticated by who opens them: wrong bytes are a miss. The tables of what is
// where are sealed under a key that is never stored. docs/formats/cache.md has the layout. Nothing is ever synced: a
// crash costs what came last.
//
// A disk that fails or is full switches the tier off, with one line in the log; the process goes on without it.
#pragma once

#include <cache/sealed_cache.hpp>

#include <core/crypto/crypto.hpp>
#include <core/os/file_system.hpp>

namespace cess::cache {

struct disk_options {
    std::string directory;       // made if missing. REQUIRES: no other process uses it (os::directory_lock)
    std::uint64_t capacity = 0;  // bytes of the file, at least disk_capacity_min
    std::uint64_t memory_max = 0;  // bytes for its index and buffers, at least disk_memory_min; a small index holds less
    crypto::secret_key key;      // the account's
};
inline constexpr std::uint64_t disk_capacity_min = 1 * MiB;
inline constexpr std::uint64_t disk_memory_min = 1 * MiB;
// What an index over `capacity` bytes of 4 KiB blocks and the buffers take, unless they are given less.
[[nodiscard]] std::uint64_t disk_memory_wanted(std::uint64_t capacity) noexcept;

// Thread-safe. fetch() reads the disk.
class disk_cache : public sealed_cache {
public:
    // Blocks of the last run are found as soon as their regions have been read, in the background.
    [[nodiscard]] static result<std::unique_ptr<disk_cache>> open(os::file_system& disk, disk_options how, random_source& random, metrics& count);
    // Writes what was inserted before. The destructor does as well, unless the last run's regions are still being read:
    // then it gives up what waits, for a large disk takes long.
    virtual void flush() = 0;
    [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;
    [[nodiscard]] virtual std::uint64_t memory_bytes() const = 0;  // of index and buffers, at most
};

}  // namespace cess::cache
