// A filesystem in a volume: the families of operations over what they share. Makes an empty filesystem in a volume that
// holds none yet, and reclaims what a crash left without a name.
#pragma once

#include <fs/kernel_state.hpp>
#include <fs/operations.hpp>
#include <objectstore/volume/volume.hpp>

#include <functional>

namespace cess::fs {

// When a read moves a file's access time: mount(8)'s noatime, relatime and strictatime.
enum class access_times { never, relative, strict };

struct settings {
    std::size_t inode_cache = 32768;             // inodes, of about 500 bytes
    std::size_t name_cache = 16 * MiB;
    access_times atime = access_times::relative;
    bool acls = true;                            // false: their names are refused, and directories pass none on
    bool expire_trash = true;                    // as count_quotas
    bool count_quotas = true;                    // in a thread of its own; false: who calls quotas.count() does it
    caller root_owner;                           // of "/" of a new filesystem
    std::function<timestamp()> clock;            // empty: the system's, as coarse as the kernel's own
    // Makes the kernel write an inode's dirty pages back, and returns when it has; empty: nobody caches writes.
    // Called without locks. EAGAIN where one must not wait: the operation answers that, and is tried again elsewhere.
    std::function<answer<void>(inode_number)> write_back;
    // Tells the kernel that attributes which it may cache changed by a side effect; empty: nobody caches them.
    std::function<void(inode_number)> attributes_changed;
    metrics* count = nullptr;  // shows what is in memory; null: nobody wants to know. Outlives the filesystem
};

class filesystem {
public:
    // `head` is null for a snapshot. Both outlive the filesystem. `held`: by the kernel, of a mount that is taken over.
    [[nodiscard]] static result<std::unique_ptr<filesystem>> open(volume::reader& data, volume::volume* head, settings how,
                                                                  const kernel_state& held = {});
    ~filesystem();

    [[nodiscard]] bool writable() const noexcept;
    // fsync(2) of whatever: all that happened before is durable.
    [[nodiscard]] answer<void> sync_all();
    // Files that are open for writing: no others have pages in the kernel that it did not write back, for close(2) does.
    [[nodiscard]] std::vector<inode_number> written_files() const;
    // Of the volume's snapshots, as snapshots/snapshot_numbers.hpp says.
    [[nodiscard]] answer<std::vector<snapshot_number>> number_snapshots(const std::vector<sequence_number>& all, bool keep);
    [[nodiscard]] kernel_state held() const;  // but for the open files, which the mount knows
    // Takes the kernel's side after the mount; before any operation.
    void set_write_back(std::function<answer<void>(inode_number)> write_back);
    void set_attributes_changed(std::function<void(inode_number)> tell);
    // Is told of names that went by themselves, out of the trash, on a thread of the filesystem's and without locks. At any time.
    void set_name_removed(std::function<void(inode_number directory, const std::string& name, inode_number ino)> tell);
    void set_acls(bool enforced);

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
    fs::quotas quotas;
    fs::trash trash;
};

}  // namespace cess::fs
