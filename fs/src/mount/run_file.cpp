#include "run_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <thread>

namespace cess::fs {
namespace {

std::string run_directory() {
    if (::geteuid() == 0) return "/run/cessfs";
    if (const char* own = std::getenv("XDG_RUNTIME_DIR"); own && *own == '/') return std::string(own) + "/cessfs";
    return "/tmp/cessfs-" + std::to_string(::geteuid());
}

std::string path_of(unsigned device_minor) { return run_directory() + "/" + std::to_string(device_minor); }

// Ours, and nobody else's: /tmp is everybody's.
result<void> make_run_directory() {
    const auto directory = run_directory();
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return errno_error("create " + directory, errno);
    struct stat s {};
    if (::lstat(directory.c_str(), &s) != 0) return errno_error("look at " + directory, errno);
    if (!S_ISDIR(s.st_mode) || s.st_uid != ::geteuid()) return error(errc::permission, directory + " belongs to somebody else");
    return {};
}

}  // namespace

result<std::unique_ptr<run_file>> run_file::create(unsigned device_minor) {
    CHECK_OK(make_run_directory());
    const auto path = path_of(device_minor);
    // A new file each time: somebody may still watch the last one of this number.
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno_error("replace " + path, errno);
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return errno_error("create " + path, errno);
    std::unique_ptr<run_file> file(new run_file(fd, path));
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) return errno_error("lock " + path, errno);
    return file;
}

std::unique_ptr<run_file> run_file::adopt(descriptor file, unsigned device_minor) {
    return std::unique_ptr<run_file>(new run_file(file.release(), path_of(device_minor)));
}

std::string replacement_socket(unsigned device_minor) { return path_of(device_minor) + ".socket"; }

bool run_file::has_its_name() const noexcept {
    struct stat here {}, there {};
    return ::fstat(m_fd, &here) == 0 && ::lstat(m_path.c_str(), &there) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

run_file::~run_file() {
    if (!m_handed_over && has_its_name()) ::unlink(m_path.c_str());
    if (!m_ended) ::close(m_fd);
}

void run_file::ended(const result<void>& how) noexcept try {
    if (m_handed_over) return;
    m_ended = true;  // the lock stays until the process is gone
    const auto text = how ? std::string("ok") : "failed " + how.error().message();
    if (::pwrite(m_fd, text.data(), text.size(), 0) < 0) return;  // who waits is then told that nobody knows
} catch (...) {
}

run_file_watch run_file_watch::open(unsigned device_minor) {
    return run_file_watch(::open(path_of(device_minor).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
}

run_file_watch::~run_file_watch() {
    if (m_fd >= 0) ::close(m_fd);
}

result<void> run_file_watch::wait(std::chrono::milliseconds deadline) const {
    if (m_fd < 0) return {};
    const auto until = std::chrono::steady_clock::now() + deadline;
    while (::flock(m_fd, LOCK_SH | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return errno_error("wait for the daemon", errno);
        if (std::chrono::steady_clock::now() >= until) return error(errc::timeout, "unmounted, but its daemon has not finished; it goes on");
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    char text[512];
    const auto n = ::pread(m_fd, text, sizeof text, 0);
    const std::string_view said(text, n > 0 ? static_cast<std::size_t>(n) : 0);
    if (said == "ok") return {};
    if (said.starts_with("failed ")) return error(errc::io, std::string(said.substr(7)));
    return error(errc::io, "the daemon ended without saying that everything is durable");
}

}  // namespace cess::fs
