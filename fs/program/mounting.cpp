#include "mounting.hpp"

#include "mount/run_file.hpp"
#include "stop_signals.hpp"

#include <core/base/log.hpp>
#include <fs/fuse_mount.hpp>
#include <objectstore/client/client.hpp>

#include <unistd.h>

#include <climits>
#include <cstdlib>

namespace cess::fs::program {
namespace {

constexpr unsigned fuse_threads = 16;
constexpr std::uint64_t fuse_buffers = fuse_threads * 2 * MiB;  // one request and one answer a thread
constexpr std::size_t inode_cost = 600;

// The process' memory in parts: the face's own, the rest for the engine and its caches.
struct budget {
    std::uint64_t engine, names;
    std::size_t inodes;
};
budget divide(std::uint64_t memory) {
    const auto names = memory / 32, inodes = memory / 16;
    return {memory - std::min(memory / 2, fuse_buffers + names + inodes), names, static_cast<std::size_t>(inodes / inode_cost)};
}

result<void> start_log(const options& how, const client::config& config, const volume::target& what) {
    log::settings to;
    to.threshold = how.debug ? log::level::debug : log::level::info;
    if (!how.log_file.empty()) to.file = how.log_file;
    else if (!how.foreground) to.file = config.directory + "/cessfs-" + what.name + (what.snapshot.empty() ? "" : "@" + what.snapshot) + ".log";
    return log::configure(to);
}

mount_options to_mount_options(const options& how, bool read_only) {
    mount_options m;
    m.directory = how.directory;
    m.source = how.volume;
    m.read_only = read_only;
    m.allow_other = how.allow_other;
    m.debug = how.debug;
    m.entry_timeout = how.entry_timeout;
    m.attr_timeout = how.attr_timeout;
    m.threads = fuse_threads;
    if (::geteuid() == 0) m.words = {"suid", "dev"};  // libfuse denies both unless told; mount(8) allows both to root
    m.words.insert(m.words.end(), how.words.begin(), how.words.end());
    return m;
}

settings to_settings(const options& how, const budget& memory, bool read_only) {
    settings s;
    s.inode_cache = memory.inodes;
    s.name_cache = memory.names;
    s.access_times = how.access_times && !read_only;
    s.root_owner = {::geteuid(), ::getegid()};
    return s;
}

// Everything between the mount point and the volume, for as long as it is mounted.
result<void> serve(const options& how, const budget& memory, client::attachment& attached, std::unique_ptr<run_file>& running, readiness& report) {
    const bool read_only = how.read_only || !attached.head();
    TRY(const auto files, filesystem::open(attached.data(), attached.head(), to_settings(how, memory, read_only)));
    TRY(const auto mounted, fuse_mount::mount(*files, to_mount_options(how, read_only)));
    TRY(running, run_file::create(mounted->device_minor()));
    {
        const stop_signals stop([&] { mounted->ask_to_leave(std::chrono::seconds(5)); });
        CHECK_OK(mounted->serve([&] {
            log::info("fs", "mounted volume={} directory={}", how.volume, how.directory);
            report.ready();
        }));
    }
    if (!report.is_ready()) return error(errc::canceled, "unmounted before the mount worked");
    if (const auto synced = files->sync_all(); !synced) return error(errc::io, "what was written last is not durable");
    return {};
}

result<void> mount_volume(const options& how, std::unique_ptr<run_file>& running, readiness& report) {
    TRY(const auto what, volume::parse_target(how.volume));
    TRY(const auto path, client::find_config(how.conf));
    TRY(auto config, client::load_config(path));
    CHECK_OK(start_log(how, config, what));
    const auto memory = divide(how.cache_size > 0 ? how.cache_size : config.memory);
    TRY(const auto network, client::runtime::start(std::move(config), memory.engine));
    client::attach_options as;
    as.expected = ledger::volume_type::filesystem;
    as.read_only = !what.snapshot.empty();
    as.force = how.force;
    as.durability = how.durability;
    TRY(const auto attached, network->attach(what, as));
    auto served = serve(how, memory, *attached, running, report);
    auto detached = attached->detach();
    if (!served) return served;
    return detached;
}

}  // namespace

result<options> resolve_paths(options how) {
    char real[PATH_MAX];
    if (!::realpath(how.directory.c_str(), real)) return errno_error("mount on " + how.directory, errno);
    CHECK_OK(check_mount_point(real));
    how.directory = real;
    if (!how.conf.empty()) {
        if (!::realpath(how.conf.c_str(), real)) return errno_error("configuration " + how.conf, errno);
        how.conf = real;
    }
    if (!how.log_file.empty() && how.log_file.front() != '/') {
        if (!::getcwd(real, sizeof real)) return errno_error("the current directory", errno);
        how.log_file = std::string(real) + "/" + how.log_file;
    }
    return how;
}

int run(const options& how, readiness& report) try {
    stop_signals::block();
    std::unique_ptr<run_file> running;
    const auto done = mount_volume(how, running, report);
    if (running) running->ended(done);
    if (done) return 0;
    if (report.is_ready()) log::error("fs", "{}", done.error().message());
    else report.failed(done.error());
    return 1;
} catch (const std::exception& e) {
    report.failed(error(errc::io, std::string("unexpected: ") + e.what()));
    return 1;
}

}  // namespace cess::fs::program
