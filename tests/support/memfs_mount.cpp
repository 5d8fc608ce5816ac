// A test tool: the filesystem over a volume in memory, mounted in the foreground until it is unmounted.
//     memfs_mount DIR
// Shows what FUSE and the operations cost without engine and network.
#include "memory_volume.hpp"

#include <core/base/log.hpp>
#include <fs/fuse_mount.hpp>

#include <cstdio>

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: memfs_mount DIR\n");
        return 2;
    }
    cess::testing::memory_volume volume(false);
    auto files = cess::fs::filesystem::open(volume, &volume, {});
    if (!files) {
        std::fprintf(stderr, "memfs_mount: %s\n", files.error().message().c_str());
        return 1;
    }
    cess::fs::mount_options how;
    how.directory = argv[1];
    how.source = "memory";
    how.allow_other = true;
    how.words = {"dev", "suid"};
    auto mounted = cess::fs::fuse_mount::mount(**files, how);
    if (!mounted) {
        std::fprintf(stderr, "memfs_mount: %s\n", mounted.error().message().c_str());
        return 1;
    }
    const auto served = (*mounted)->serve([] { std::puts("ready"), std::fflush(stdout); });
    return served ? 0 : 1;
}
