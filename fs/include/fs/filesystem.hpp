// A filesystem in a volume: the families of operations over what they share. Makes an empty filesystem in a volume that
// holds none yet, and reclaims what a crash left without a name.
#pragma once

#include <fs/operations.hpp>
#include <objectstore/volume/volume.hpp>

#include <functional>

namespace cess::fs {

struct settings {
    std::size_t inode_cache = 32768;             // inodes, of about 500 bytes
    std::size_t name_cache = 16 * MiB;
    bool access_times = true;                    // as relatime does; false: never
    caller root_owner;                           // of "/" of a new filesystem
    std::function<timestamp()> clock;            // empty: the system's, as coarse as the kernel's own
    // Makes the kernel write an inode's dirty pages back, and returns when it has; empty: nobody caches writes.
    // Called without locks. EAGAIN when too many wait already.
    std::function<answer<void>(inode_number)> write_back;
    // Tells the kernel that attributes which it may cache changed by a side effect; empty: nobody caches them.
    std::function<void(inode_number)> attributes_changed;
};

class filesystem {
public:
    // `head` is null for a snapshot. Both outlive the filesystem.
    [[nodiscard]] static result<std::unique_ptr<filesystem>> open(volume::reader& data, volume::volume* head, settings how);
    ~filesystem();

    [[nodiscard]] bool writable() const noexcept;
    [[nodiscard]] answer<void> sync_all();
    // Takes the kernel's side after the mount; before any operation.
    void set_write_back(std::function<answer<void>(inode_number)> write_back);
    void set_attributes_changed(std::function<void(inode_number)> tell);

private:
    struct parts;
    explicit filesystem(std::unique_ptr<parts> all);
    std::unique_ptr<parts> m_parts;

public:
    fs::lookups lookups;
    fs::attribute_changes attributes;
    fs::creation creation;
    fs::removal removal;
    fs::renaming renaming;
    fs::listings listings;
    fs::files files;
    fs::xattrs xattrs;
};

}  // namespace cess::fs
