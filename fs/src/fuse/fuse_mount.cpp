#include <fs/fuse_mount.hpp>

#include "mount/detach.hpp"
#include "mount/mountinfo.hpp"
#include "device.hpp"
#include "face.hpp"
#include "name_notifier.hpp"
#include "page_writer.hpp"
#include "session_loop.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>
#include <ctime>
#include <mutex>
#include <thread>

namespace cess::fs {
namespace {

// libfuse tells what went wrong only to its log: kept, so that our one line can say it.
std::mutex last_words_mutex;
std::string last_words;

void keep_last_words(fuse_log_level level, const char* format, std::va_list arguments) {
    char text[512];
    const int n = std::vsnprintf(text, sizeof text, format, arguments);
    std::string_view said(text, n < 0 ? 0 : std::min<std::size_t>(static_cast<std::size_t>(n), sizeof text - 1));
    while (said.ends_with('\n')) said.remove_suffix(1);
    if (level >= FUSE_LOG_DEBUG) {
        std::fprintf(stderr, "%.*s\n", static_cast<int>(said.size()), said.data());
        return;
    }
    const std::lock_guard lock(last_words_mutex);
    last_words = said;
    log::warn("fs", "libfuse: {}", said);
}

error fuse_failure(std::string_view what) {
    const std::lock_guard lock(last_words_mutex);
    return {errc::io, last_words.empty() ? std::string(what) : std::string(what) + ": " + last_words};
}

const fuse_lowlevel_ops& callbacks() {
    static const auto all = [] {
        fuse_lowlevel_ops ops{};
        add_session_callbacks(ops);
        add_name_callbacks(ops);
        add_file_callbacks(ops);
        add_attribute_callbacks(ops);
        add_listing_callbacks(ops);
        return ops;
    }();
    return all;
}

struct fuse_arguments {
    fuse_args raw = FUSE_ARGS_INIT(0, nullptr);
    ~fuse_arguments() { fuse_opt_free_args(&raw); }
    bool add(const std::string& text) { return fuse_opt_add_arg(&raw, text.c_str()) == 0; }
};

std::string option_text(const mount_options& how) {
    std::string text = "fsname=" + how.source + ",subtype=cessfs,default_permissions,max_read=" + std::to_string(1 * MiB);
    text += how.read_only ? ",ro" : ",rw";
    if (how.allow_other) text += ",allow_other";
    for (const auto& word : how.words) text += "," + word;
    return text;
}

constexpr std::size_t aside_waiting_max = 4096;  // requests about snapshots

bool has_ended(int device) {
    pollfd ask{device, 0, 0};
    return ::poll(&ask, 1, 0) == 1 && (ask.revents & POLLERR);
}

}  // namespace

result<void> check_mount_point(const std::string& directory) {
    struct stat s {};
    if (::stat(directory.c_str(), &s) != 0) return errno_error("mount on " + directory, errno);
    if (!S_ISDIR(s.st_mode)) return error(errc::not_directory, "mount on " + directory);
    TRY(const auto rows, read_mountinfo());
    if (const auto other = find_mount(rows, directory))
        return error(errc::busy, directory + " is already a mount point (of " + other->source + ")");
    return {};
}

struct fuse_mount::parts {
    mount_options how;
    mount_tree tree;
    std::optional<request_meter> meter;
    net::worker_pool aside{snapshot_threads, aside_waiting_max};
    face shared;
    fuse_session* session = nullptr;
    std::optional<session_loop> loop;
    std::shared_ptr<name_notifier> gone_names;
    unsigned device_minor = 0;
    bool adopted = false, parked = false;

    parts(filesystem& of, mount_options with)
        : how(std::move(with)), tree(of), shared{tree, aside, how.entry_timeout, how.attr_timeout, how.read_only, how.acls, {}} {
        if (how.snapshots) tree.show(*how.snapshots, how.snapshot_settings, snapshots_open_max, how.read_only);
        if (how.count) shared.meter = &meter.emplace(*how.count);
        if (how.count && how.stats) tree.show_stats(*how.count, {::geteuid(), ::getegid()}, {std::time(nullptr), 0});
    }

    result<void> make_session() {
        fuse_set_log_func(keep_last_words);
        fuse_arguments arguments;
        bool complete = arguments.add("cessfs") && arguments.add("-o") && arguments.add(option_text(how));
        if (how.debug) complete = complete && arguments.add("-d");
        if (!complete) return error(errc::exhausted, "no memory for the mount's options");
        session = fuse_session_new(&arguments.raw, &callbacks(), sizeof(fuse_lowlevel_ops), &shared);
        if (!session) return fuse_failure("start a FUSE session");
        loop.emplace(session, how.threads, shared.meter);
        return {};
    }

    result<void> find_device() {
        TRY(const auto rows, read_mountinfo());
        const auto row = find_mount(rows, how.directory);
        if (!row) return error(errc::io, how.directory + " vanished while it was mounted");
        device_minor = row->minor;
        return {};
    }

    void connect() {
        tree.head().set_write_back([this](inode_number ino) { return write_back(ino); });
        tree.head().set_attributes_changed([this](inode_number ino) { fuse_lowlevel_notify_inval_inode(session, ino.value, -1, 0); });
        tell_of_gone_names();
        if (auto* snapshots = tree.snapshots()) snapshots->set_write_back_all([this] { write_back_all(); });
    }

    void tell_of_gone_names() {
        descriptor device(::fcntl(fuse_session_fd(session), F_DUPFD_CLOEXEC, 0));
        if (!device) return log::warn("fs", "what expires in the trash and was looked at keeps its room for a while: {}", std::strerror(errno));
        gone_names = std::make_shared<name_notifier>(std::move(device));
        tree.head().set_name_removed([to = gone_names](inode_number directory, const std::string& name, inode_number ino) { to->removed(directory, name, ino); });
    }

    result<void> restore(const parked_mount& from) {
        for (const auto& each : from.held.files) {
            auto file = tree.reopen(each);
            if (!file) return error(from_errno(file.error().number), "open inode " + std::to_string(each.ino.value) + " again");
            if (const auto kept = shared.open_files.restore(each.handle, std::move(*file)); !kept)
                return error(errc::protocol, "handle " + std::to_string(each.handle) + " cannot be an open file's");
        }
        for (const auto& request : from.requests)
            if (!goes_elsewhere(request)) return error(errc::protocol, "a request that nobody keeps was kept");
        loop->begin_with(from.requests);
        return {};
    }

    // libfuse unmounts only what it has mounted.
    void unmount_adopted() const {
        if (has_ended(fuse_session_fd(session))) return;
        const auto rows = read_mountinfo();
        const auto row = rows ? find_mount(*rows, how.directory) : std::nullopt;
        if (!row || row->minor != device_minor) return;  // detached already; by now something else may be mounted there
        if (const auto cut = detach_mount(how.directory, {true, false}); !cut) log::warn("fs", "{}", cut.error().message());
    }

    // FUSE's own threads are needed to take the writes: only those of the line wait.
    answer<void> write_back(inode_number ino) {
        if (!waiting_line::is_here()) return refuse(EAGAIN);
        return write_pages(ino);
    }
    // REQUIRES: none of FUSE's own threads.
    answer<void> write_pages(inode_number ino) {
        FS_TRY(const auto now, tree.head().lookups.get_attributes(ino));
        const session_loop::kernel_wait wait(*loop);
        const auto written = write_pages_back(how.directory, device_minor, ino, now.generation);
        if (written || written.error().number != EPERM) return written;
        // ENOENT: the kernel caches nothing of it.
        const int failed = fuse_lowlevel_notify_inval_inode(session, ino.value, 0, 0);
        if (failed != 0 && failed != -ENOENT && failed != -EBUSY) return refuse(EIO);
        return {};
    }
    // All that the kernel caches of the mount; syncfs(2) would not wait for it. What has no room its writers hear of.
    // REQUIRES: none of FUSE's own threads.
    void write_back_all() {
        for (const auto ino : tree.head().written_files())
            if (const auto done = write_pages(ino); !done) log::debug("fs", "inode {} was not written back: errno {}", ino.value, done.error().number);
    }
    // Requests that nobody takes any more end, and who waits for them. REQUIRES: it is mounted.
    void abort_connection() const {
        const auto path = "/sys/fs/fuse/connections/" + std::to_string(device_minor) + "/abort";
        const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
        if (fd < 0 || ::write(fd, "1", 1) != 1) log::debug("fs", "{} cannot be written", path);
        if (fd >= 0) ::close(fd);
    }
    // Sequential readers profit from more than the kernel's 128 KiB; only root may say so.
    void widen_readahead() const {
        const auto path = "/sys/class/bdi/0:" + std::to_string(device_minor) + "/read_ahead_kb";
        const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
        if (fd < 0) return;
        if (::write(fd, "1024", 4) != 4) log::debug("fs", "readahead stays at the kernel's default");
        ::close(fd);
    }
};

bool parked_mount::unmounted() const noexcept { return has_ended(device.get()); }

fuse_mount::fuse_mount(std::unique_ptr<parts> all) : m_parts(std::move(all)) {}

fuse_mount::~fuse_mount() {
    auto& p = *m_parts;
    if (!p.session) return;
    p.tree.head().set_name_removed({});
    if (p.gone_names) p.gone_names->stop();
    if (p.adopted && !p.parked) p.unmount_adopted();
    if (!p.parked) fuse_session_unmount(p.session);
    p.tree.head().set_write_back({});
    p.tree.head().set_attributes_changed({});
    fuse_session_destroy(p.session);
}

result<std::unique_ptr<fuse_mount>> fuse_mount::mount(filesystem& of, mount_options how) {
    CHECK_OK(check_mount_point(how.directory));
    auto all = std::make_unique<parts>(of, std::move(how));
    auto& p = *all;
    CHECK_OK(p.make_session());
    if (fuse_session_mount(p.session, p.how.directory.c_str()) != 0) {
        fuse_session_destroy(p.session);
        p.session = nullptr;
        return fuse_failure("mount on " + p.how.directory);
    }
    std::unique_ptr<fuse_mount> mounted(new fuse_mount(std::move(all)));  // from here on it unmounts itself
    CHECK_OK(use_own_device_io(p.session, fuse_session_fd(p.session)));
    CHECK_OK(p.find_device());
    p.widen_readahead();
    p.connect();
    return mounted;
}

result<std::unique_ptr<fuse_mount>> fuse_mount::adopt(filesystem& of, mount_options how, const parked_mount& from) {
    auto all = std::make_unique<parts>(of, std::move(how));
    auto& p = *all;
    descriptor device(::fcntl(from.device.get(), F_DUPFD_CLOEXEC, 0));
    if (!device) return errno_error("take over the FUSE device", errno);
    CHECK_OK(p.make_session());
    p.parked = true;  // until all of it is here
    std::unique_ptr<fuse_mount> mounted(new fuse_mount(std::move(all)));
    CHECK_OK(use_own_device_io(p.session, device.get()));
    (void)device.release();  // it is the session's
    p.device_minor = from.device_minor;
    CHECK_OK(agree_again(p.session, p.shared, from.agreed));
    CHECK_OK(p.restore(from));
    p.connect();
    p.adopted = true;
    p.parked = false;
    return mounted;
}

result<serve_end> fuse_mount::serve(std::function<void()> ready) {
    auto& p = *m_parts;
    if (p.shared.agreed.answer.empty()) p.shared.ready = std::move(ready);
    else ready();
    auto ended = p.loop->run();
    if (ended && *ended == serve_end::paused) return ended;
    p.aside.stop();  // what is still asked there is answered
    p.shared.line.finish();
    if (!ended) return std::move(ended).error().with_context(p.how.directory);
    return ended;
}

bool fuse_mount::pause(std::chrono::milliseconds patience) {
    auto& p = *m_parts;
    return p.loop->pause(std::chrono::steady_clock::now() + patience, [&p](session_loop::time_point until) {
        const bool agreed = !p.shared.agreed.answer.empty();  // nobody could go on from where there is nothing yet
        return agreed && p.shared.asides.wait_for_none(until) && p.shared.line.drain(until);
    });
}

result<parked_mount> fuse_mount::park() {
    auto& p = *m_parts;
    parked_mount out;
    out.device = descriptor(::fcntl(fuse_session_fd(p.session), F_DUPFD_CLOEXEC, 0));
    if (!out.device) return errno_error("keep the FUSE device", errno);
    out.device_minor = p.device_minor;
    out.agreed = p.shared.agreed;
    out.held = p.tree.head().held();
    out.held.files = p.shared.open_files.list();
    out.requests = p.loop->take_kept();
    p.parked = true;
    return out;
}

void fuse_mount::leave_to_others() noexcept { m_parts->parked = true; }

bool fuse_mount::ask_to_leave(std::chrono::milliseconds patience) {
    auto& p = *m_parts;
    if (!p.loop->forbid_pause()) return false;
    const auto until = std::chrono::steady_clock::now() + patience;
    for (;;) {
        const auto left = detach_mount(p.how.directory, {});
        if (left) return true;
        if (left.error().code != errc::busy) log::warn("fs", "{}", left.error().message());
        if (std::chrono::steady_clock::now() >= until) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    log::warn("fs", "{} stays in use: cutting it off", p.how.directory);
    p.write_back_all();
    p.abort_connection();
    if (const auto cut = detach_mount(p.how.directory, {true, true}); !cut) log::warn("fs", "{}", cut.error().message());
    p.loop->leave();
    return true;
}

unsigned fuse_mount::device_minor() const noexcept { return m_parts->device_minor; }

}  // namespace cess::fs
