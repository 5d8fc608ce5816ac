#include <fs/fuse_mount.hpp>

#include "mount/detach.hpp"
#include "mount/mountinfo.hpp"
#include "device.hpp"
#include "face.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

// How many threads may wait at once for the kernel to write pages back: they must leave others to take the writes.
constexpr int write_backs_max = 4;

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
    face shared;
    fuse_session* session = nullptr;
    unsigned device_minor = 0;
    std::atomic<int> write_backs{0};

    parts(filesystem& of, mount_options with)
        : how(std::move(with)), shared{of, how.entry_timeout, how.attr_timeout, how.read_only, {}} {}

    answer<void> write_back(inode_number ino) {
        if (write_backs.fetch_add(1) >= write_backs_max) {
            write_backs.fetch_sub(1);
            return refuse(EAGAIN);
        }
        const int failed = fuse_lowlevel_notify_inval_inode(session, ino.value, 0, 0);
        write_backs.fetch_sub(1);
        if (failed != 0 && failed != -ENOENT && failed != -EBUSY) return refuse(EIO);  // ENOENT: the kernel caches nothing of it
        return {};
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

fuse_mount::fuse_mount(std::unique_ptr<parts> all) : m_parts(std::move(all)) {}

fuse_mount::~fuse_mount() {
    if (!m_parts->session) return;
    fuse_session_unmount(m_parts->session);
    m_parts->shared.files.set_write_back({});
    m_parts->shared.files.set_attributes_changed({});
    fuse_session_destroy(m_parts->session);
}

result<std::unique_ptr<fuse_mount>> fuse_mount::mount(filesystem& of, mount_options how) {
    CHECK_OK(check_mount_point(how.directory));
    fuse_set_log_func(keep_last_words);
    auto all = std::make_unique<parts>(of, std::move(how));
    auto& p = *all;
    fuse_arguments arguments;
    bool complete = arguments.add("cessfs") && arguments.add("-o") && arguments.add(option_text(p.how));
    if (p.how.debug) complete = complete && arguments.add("-d");
    if (!complete) return error(errc::exhausted, "no memory for the mount's options");
    p.session = fuse_session_new(&arguments.raw, &callbacks(), sizeof(fuse_lowlevel_ops), &p.shared);
    if (!p.session) return fuse_failure("start a FUSE session");
    if (fuse_session_mount(p.session, p.how.directory.c_str()) != 0) {
        fuse_session_destroy(p.session);
        p.session = nullptr;
        return fuse_failure("mount on " + p.how.directory);
    }
    std::unique_ptr<fuse_mount> mounted(new fuse_mount(std::move(all)));  // from here on it unmounts itself
    CHECK_OK(use_own_device_io(p.session));
    TRY(const auto rows, read_mountinfo());
    const auto row = find_mount(rows, p.how.directory);
    if (!row) return error(errc::io, p.how.directory + " vanished while it was mounted");
    p.device_minor = row->minor;
    p.widen_readahead();
    of.set_write_back([&p](inode_number ino) { return p.write_back(ino); });
    of.set_attributes_changed([&p](inode_number ino) { fuse_lowlevel_notify_inval_inode(p.session, ino.value, -1, 0); });
    return mounted;
}

result<void> fuse_mount::serve(std::function<void()> ready) {
    auto& p = *m_parts;
    p.shared.ready = std::move(ready);
    auto* config = fuse_loop_cfg_create();
    if (!config) return error(errc::exhausted, "no memory for FUSE's threads");
    fuse_loop_cfg_set_clone_fd(config, 1);
    fuse_loop_cfg_set_max_threads(config, p.how.threads);
    fuse_loop_cfg_set_idle_threads(config, p.how.threads);
    const int failed = fuse_session_loop_mt(p.session, config);
    fuse_loop_cfg_destroy(config);
    if (failed < 0) return errno_error("serve " + p.how.directory, -failed);
    return {};
}

void fuse_mount::ask_to_leave(std::chrono::milliseconds patience) {
    auto& p = *m_parts;
    const auto until = std::chrono::steady_clock::now() + patience;
    for (;;) {
        const auto left = detach_mount(p.how.directory, {});
        if (left) return;
        if (left.error().code != errc::busy) log::warn("fs", "{}", left.error().message());
        if (std::chrono::steady_clock::now() >= until) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    log::warn("fs", "{} stays in use: cutting it off", p.how.directory);
    if (const int fd = ::open(p.how.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); fd >= 0) {
        if (::syncfs(fd) != 0) log::warn("fs", "not everything was written back before the mount was cut off");
        ::close(fd);
    }
    if (const auto cut = detach_mount(p.how.directory, {true, true}); !cut) log::warn("fs", "{}", cut.error().message());
    fuse_session_exit(p.session);
}

unsigned fuse_mount::device_minor() const noexcept { return m_parts->device_minor; }

}  // namespace cess::fs
