// A test tool: the filesystem over a volume in memory, mounted in the foreground until it is unmounted.
//     memfs_mount DIR            what FUSE and the operations cost without engine and network
//     memfs_mount DIR engine     the same over the real engine, with a network in memory
#include "memory_layer.hpp"
#include "memory_volume.hpp"

#include <core/base/log.hpp>
#include <fs/fuse_mount.hpp>

#include <cstdio>
#include <string_view>

namespace {

using namespace cess;

int fail(const error& why) {
    std::fprintf(stderr, "memfs_mount: %s\n", why.message().c_str());
    return 1;
}

int serve(volume::volume& on, const char* directory) {
    auto files = fs::filesystem::open(on, &on, {});
    if (!files) return fail(files.error());
    fs::mount_options how;
    how.directory = directory;
    how.source = "memory";
    how.allow_other = true;
    how.words = {"dev", "suid"};
    auto mounted = fs::fuse_mount::mount(**files, how);
    if (!mounted) return fail(mounted.error());
    const auto served = (*mounted)->serve([] { std::puts("ready"), std::fflush(stdout); });
    if (!served) return fail(served.error());
    return 0;
}

int serve_engine(const char* directory) {
    support::memory_network network;
    network.create_volume("memory", ledger::volume_type::filesystem);
    auto opened = network.open("memory");
    if (!opened) return fail(opened.error());
    const int code = serve(**opened, directory);
    if (const auto closed = (*opened)->close(); !closed) return fail(closed.error());
    return code;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 3 && std::string_view(argv[2]) == "engine") return serve_engine(argv[1]);
    if (argc != 2) {
        std::fprintf(stderr, "usage: memfs_mount DIR [engine]\n");
        return 2;
    }
    testing::memory_volume volume(false);
    return serve(volume, argv[1]);
}
