// umount.fuse.cessfs: what umount(8) runs for our mounts, so that it returns when everything is durable.
//     umount.fuse.cessfs DIR [-fln]
#include <fs/unmount.hpp>

#include <cstdio>
#include <string_view>

namespace {

constexpr const char* usage = "usage: umount.fuse.cessfs DIR [-f] [-l] [-n] [-r] [-v] [-t TYPE] [-N NAMESPACE]\n";

}

int main(int argc, char** argv) {
    std::string directory;
    cess::fs::unmount_options how;
    for (int i = 1; i < argc; ++i) {
        const std::string_view arg = argv[i];
        if (arg == "-h" || arg == "--help") return std::fputs(usage, stdout) < 0;
        if (arg == "-t" || arg == "-N") ++i;  // umount says what it knows; we know it too
        else if (arg.starts_with("-")) {
            for (const char letter : arg.substr(1)) {
                if (letter == 'f') how.force = true;
                else if (letter == 'l') how.lazy = true;
                else if (std::string_view("nrvsic").find(letter) == std::string_view::npos) return std::fputs(usage, stderr), 2;
            }
        } else if (directory.empty()) directory = arg;
        else return std::fputs(usage, stderr), 2;
    }
    if (directory.empty()) return std::fputs(usage, stderr), 2;
    if (const auto done = cess::fs::unmount(directory, how); !done) {
        std::fprintf(stderr, "umount: %s\n", done.error().message().c_str());
        return 1;
    }
    return 0;
}
