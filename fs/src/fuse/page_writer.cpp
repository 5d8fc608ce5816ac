#include "page_writer.hpp"

#include <fs/descriptor.hpp>

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstring>
#include <future>
#include <new>
#include <thread>

namespace cess::fs {
namespace {

// How the kernel's FUSE names an inode to open_by_handle_at(2): FILEID_INO64_GEN.
struct fuse_handle {
    static constexpr int type = 0x81;
    std::uint32_t words[3];
};

struct file_name {
    std::string directory;  // where it is mounted
    unsigned device_minor;
    inode_number ino;
    std::uint64_t generation;
};

int open_by_number(int mount, const file_name& name) {
    alignas(file_handle) std::byte storage[sizeof(file_handle) + sizeof(fuse_handle)]{};
    auto* const handle = new (storage) file_handle;
    handle->handle_bytes = sizeof(fuse_handle);
    handle->handle_type = fuse_handle::type;
    const auto low = [](std::uint64_t n) { return static_cast<std::uint32_t>(n); };
    const fuse_handle named{{low(name.ino.value >> 32), low(name.ino.value), low(name.generation)}};
    std::memcpy(handle->f_handle, &named, sizeof named);
    return ::open_by_handle_at(mount, handle, O_RDONLY | O_CLOEXEC);
}

// Older kernels copy a page that they write back, and wait for nothing when one waits for the page.
bool kernel_waits() {
    static const bool waits = [] {
        utsname name{};
        unsigned major = 0, minor = 0;
        if (::uname(&name) != 0 || std::sscanf(name.release, "%u.%u", &major, &minor) != 2) return false;
        return major > 6 || (major == 6 && minor >= 16);
    }();
    return waits;
}

// An errno; leaves the file open. EPERM: it cannot be opened this way.
int write_back(const file_name& name, descriptor& file) {
    if (::close_range(STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_UNSHARE) != 0) return EPERM;
    {
        const descriptor mount(::open(name.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        struct stat s {};
        if (!mount || ::fstat(mount.get(), &s) != 0 || s.st_dev != ::makedev(0, name.device_minor)) return EPERM;
        file = descriptor(open_by_number(mount.get(), name));
    }
    if (!file) return EPERM;
    constexpr unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    return ::sync_file_range(file.get(), 0, 0, all) == 0 ? 0 : errno;
}

}  // namespace

// It is told before the file is closed: for that, older kernels want the inode's lock, which the request holds that waits.
answer<void> write_pages_back(const std::string& directory, unsigned device_minor, inode_number ino, std::uint64_t generation) {
    if (!kernel_waits()) return refuse(EPERM);
    std::promise<int> told;
    auto number = told.get_future();
    const file_name name{directory, device_minor, ino, generation};
    std::thread([name, told = std::move(told)]() mutable {
        descriptor file;
        told.set_value(write_back(name, file));
    }).detach();
    if (const int failed = number.get(); failed != 0) return refuse(failed);
    return {};
}

}  // namespace cess::fs
