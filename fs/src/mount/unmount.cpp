#include <fs/unmount.hpp>

#include "detach.hpp"
#include "mountinfo.hpp"
#include "run_file.hpp"

#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <thread>

namespace cess::fs {

namespace {

// The daemon itself may have a file open for a moment, after a rename of one that is being written.
constexpr std::chrono::milliseconds busy_patience{500}, busy_pause{20};

result<void> detach_patiently(const char* directory, const unmount_options& how) {
    const auto until = std::chrono::steady_clock::now() + busy_patience;
    for (;;) {
        auto done = detach_mount(directory, {how.lazy, how.force});
        if (done || done.error().code != errc::busy || std::chrono::steady_clock::now() >= until) return done;
        std::this_thread::sleep_for(busy_pause);
    }
}

}  // namespace

result<void> unmount(const std::string& directory, const unmount_options& how) {
    char real[PATH_MAX];
    if (!::realpath(directory.c_str(), real)) return errno_error("unmount " + directory, errno);
    TRY(const auto rows, read_mountinfo());
    const auto row = find_mount(rows, real);
    if (!row) return error(errc::not_found, directory + " is not a mount point");
    if (row->type != mount_type) return error(errc::invalid, directory + " is a mount of type " + row->type + ", not " + std::string(mount_type));
    const auto watch = run_file_watch::open(row->minor);
    CHECK_OK(detach_patiently(real, how));
    if (how.lazy) return {};
    auto ended = watch.wait(how.deadline);
    if (!ended) return std::move(ended).error().with_context(directory);
    return {};
}

result<std::vector<mounted>> list_mounts() {
    TRY(const auto rows, read_mountinfo());
    std::vector<mounted> out;
    for (const auto& row : rows)
        if (row.type == mount_type) out.push_back({row.source, row.directory, row.options, row.minor});
    return out;
}

}  // namespace cess::fs
