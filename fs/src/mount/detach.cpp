#include "detach.hpp"

#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

extern char** environ;

namespace cess::fs {
namespace {

result<void> detach_as_root(const std::string& directory, detach_options how) {
    const int flags = UMOUNT_NOFOLLOW | (how.lazy ? MNT_DETACH : 0) | (how.force ? MNT_FORCE : 0);
    if (::umount2(directory.c_str(), flags) == 0) return {};
    if (errno == EBUSY) return error(errc::busy, directory + " is in use");
    return errno_error("unmount " + directory, errno);
}

result<void> detach_by_helper(const std::string& directory, detach_options how) {
    std::string program = "fusermount3", option = how.lazy || how.force ? "-uzq" : "-uq", path = directory;
    char* argv[] = {program.data(), option.data(), path.data(), nullptr};
    pid_t child = 0;
    if (const int failed = ::posix_spawnp(&child, program.c_str(), nullptr, nullptr, argv, environ); failed != 0)
        return errno_error("run fusermount3", failed);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return errno_error("wait for fusermount3", errno);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    return error(errc::busy, directory + " is in use, or not yours to unmount");
}

}  // namespace

result<void> detach_mount(const std::string& directory, detach_options how) {
    return ::geteuid() == 0 ? detach_as_root(directory, how) : detach_by_helper(directory, how);
}

}  // namespace cess::fs
