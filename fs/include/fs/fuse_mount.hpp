// A filesystem mounted through FUSE. mount() makes the mount point work; serve() answers the kernel, on several threads of
// its own, until somebody unmounts; ask_to_leave() unmounts from within, as a signal handler's thread does. A mount can
// change hands: pause() ends serve() between two requests, park() takes what the next one needs, adopt() goes on from there,
// in this process or another.
#pragma once

#include <fs/descriptor.hpp>
#include <fs/filesystem.hpp>
#include <fs/snapshots.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace cess::fs {

struct mount_options {
    std::string directory;        // absolute, without symbolic links
    std::string source;           // what /proc/mounts shows: the volume
    bool read_only = false;
    bool allow_other = false;
    bool acls = true;             // the kernel enforces access control lists, as far as it knows them
    bool debug = false;           // every request on stderr
    double entry_timeout = 3600;  // seconds for which the kernel may trust a name …
    double attr_timeout = 3600;   // … and attributes, before it asks again
    unsigned threads = 16;
    snapshot_source* snapshots = nullptr;  // shown in .snapshots; null: there is no such directory. Outlives the mount
    settings snapshot_settings;            // of each that is open
    metrics* count = nullptr;              // counts the kernel's requests; null: nobody does. Outlives the mount
    bool stats = false;                    // what it counts is shown in .stats
    std::vector<std::string> words;  // mount(8)'s own, passed on: nosuid, nodev, noexec, sync, …
};

// Can something of ours be mounted there? One line if not: no such directory, already a mount point.
[[nodiscard]] result<void> check_mount_point(const std::string& directory);

// The kernel's FUSE_INIT and our answer, as they were sent when the mount was made.
struct fuse_agreement {
    bytes request, answer;

    friend bool operator==(const fuse_agreement&, const fuse_agreement&) = default;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.request, self.answer); }
};

// A mount that nobody serves: its requests wait in the kernel, for as long as anybody has the device open.
struct parked_mount {
    descriptor device;
    unsigned device_minor = 0;  // of the mount, see fuse_mount
    fuse_agreement agreed;
    kernel_state held;
    std::vector<bytes> requests;  // that were read and not begun: read from this device, they are answered there

    [[nodiscard]] bool unmounted() const noexcept;  // there is nothing left to serve
};

enum class serve_end { unmounted, paused };

class fuse_mount {
public:
    // One line of error: no such directory, not permitted, already a mount point.
    [[nodiscard]] static result<std::unique_ptr<fuse_mount>> mount(filesystem& of, mount_options how);
    // `of` was opened with what was held. After an error `from` is as before, and the mount waits on.
    [[nodiscard]] static result<std::unique_ptr<fuse_mount>> adopt(filesystem& of, mount_options how, const parked_mount& from);
    ~fuse_mount();  // unmounts, if still mounted and not parked; REQUIRES: serve() is not running

    // Blocks; `ready` is called when the kernel and we have agreed, and the mount answers. Again after a pause.
    [[nodiscard]] result<serve_end> serve(std::function<void()> ready);

    // True: serve() ends with serve_end::paused, all that was begun is answered, the rest waits. False:
    // serve() goes on, for a request takes longer than `patience`, or the mount comes to its end. Any thread but serve()'s.
    [[nodiscard]] bool pause(std::chrono::milliseconds patience);
    // REQUIRES: serve() was paused. Nothing but the destructor follows, which then does not unmount.
    [[nodiscard]] result<parked_mount> park();
    // The destructor does not unmount: somebody else serves the mount. REQUIRES: serve() is not running.
    void leave_to_others() noexcept;

    // Unmounts while serve() goes on, so that the kernel can write back what it holds. If the mount stays busy for
    // `patience`, writes back and cuts it off: open files get ENOTCONN. Any thread but serve()'s. False: the mount is paused, and
    // nothing happens.
    [[nodiscard]] bool ask_to_leave(std::chrono::milliseconds patience);

    [[nodiscard]] unsigned device_minor() const noexcept;  // of the mount's anonymous device: its name in run files

private:
    struct parts;
    explicit fuse_mount(std::unique_ptr<parts> all);
    std::unique_ptr<parts> m_parts;
};

}  // namespace cess::fs
