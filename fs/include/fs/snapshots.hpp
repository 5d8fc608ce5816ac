// Where a mount finds the snapshots of its volume, which it shows under .snapshots. The filesystem knows no network: the
// program brings it.
#pragma once

#include <objectstore/volume/volume.hpp>

namespace cess::fs {

inline constexpr std::size_t snapshots_open_max = 8;   // at once in a mount, and fewer if there is no memory for them
inline constexpr unsigned snapshot_threads = 4;        // that wait for them, beside FUSE's

// Thread-safe; calls block as the network does, each with a deadline of its own.
class snapshot_source {
public:
    virtual ~snapshot_source() = default;
    // In the order in which they were made, pending ones included; while consensus is down: as last seen.
    [[nodiscard]] virtual result<std::vector<volume::snapshot_info>> list() = 0;
    // A pending one is waited for. errc::exhausted: the memory for open ones is used up. Its record().head says which
    // snapshot it is: the name may have passed to another one meanwhile.
    [[nodiscard]] virtual result<std::shared_ptr<volume::reader>> open(const std::string& name) = 0;
    [[nodiscard]] virtual result<void> create(const std::string& name) = 0;  // durable when it returns
    [[nodiscard]] virtual result<void> remove(const std::string& name) = 0;  // errc::busy while a clone stands on it
};

}  // namespace cess::fs
