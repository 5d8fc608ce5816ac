#include <core/os/file_system.hpp>

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <limits>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

namespace cess::os {
namespace {

class descriptor {
public:
    explicit descriptor(int fd) noexcept : m_fd(fd) {}
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() {
        if (m_fd >= 0) ::close(m_fd);
    }
    [[nodiscard]] int get() const noexcept { return m_fd; }
    int release() noexcept { return std::exchange(m_fd, -1); }

private:
    int m_fd;
};

template <class Call>
auto retried(Call call) {
    for (;;)
        if (const auto got = call(); got >= 0 || errno != EINTR) return got;
}

error failed(std::string_view operation, const std::string& path) {
    const auto why = errno;
    return errno_error(std::string(operation) + " " + path, why);
}

bool fits(std::uint64_t offset, std::size_t size) {
    constexpr auto limit = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
    return offset <= limit && size <= limit - offset;
}

class posix_file final : public file {
public:
    posix_file(int fd, std::string path) : m_fd(fd), m_path(std::move(path)) {}

    result<std::size_t> read_at(std::uint64_t offset, byte_span out) override {
        if (!fits(offset, out.size())) return error(errc::out_of_range, "read " + m_path);
        std::size_t done = 0;
        while (done < out.size()) {
            const auto got = retried([&] { return ::pread(m_fd.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done)); });
            if (got < 0) return failed("read", m_path);
            if (got == 0) break;
            done += static_cast<std::size_t>(got);
        }
        return done;
    }
    result<std::size_t> read_at_once(std::uint64_t offset, byte_span out) override {
        if (!fits(offset, out.size())) return error(errc::out_of_range, "read " + m_path);
        const iovec into{out.data(), out.size()};
        const auto got = retried([&] { return ::preadv2(m_fd.get(), &into, 1, static_cast<off_t>(offset), RWF_NOWAIT); });
        // EAGAIN: it is not in memory. EOPNOTSUPP: the file system cannot say, so it never is.
        if (got < 0 && errno != EAGAIN && errno != EOPNOTSUPP) return failed("read", m_path);
        return got < 0 ? std::size_t{0} : static_cast<std::size_t>(got);
    }
    result<void> write_at(std::uint64_t offset, byte_view data) override {
        if (!fits(offset, data.size())) return error(errc::out_of_range, "write " + m_path);
        while (!data.empty()) {
            const auto put = retried([&] { return ::pwrite(m_fd.get(), data.data(), data.size(), static_cast<off_t>(offset)); });
            if (put < 0) return failed("write", m_path);
            data = data.subspan(static_cast<std::size_t>(put));
            offset += static_cast<std::uint64_t>(put);
        }
        return {};
    }
    result<void> truncate(std::uint64_t size) override {
        if (!fits(size, 0)) return error(errc::out_of_range, "truncate " + m_path);
        if (retried([&] { return ::ftruncate(m_fd.get(), static_cast<off_t>(size)); }) < 0) return failed("truncate", m_path);
        return {};
    }
    result<void> sync() override {
        if (retried([&] { return ::fdatasync(m_fd.get()); }) < 0) return failed("sync", m_path);
        return {};
    }
    result<std::uint64_t> size() override {
        struct stat about {};
        if (::fstat(m_fd.get(), &about) < 0) return failed("stat", m_path);
        return static_cast<std::uint64_t>(about.st_size);
    }
    void let_go(std::uint64_t offset, std::uint64_t length) override {
        if (fits(offset, length)) (void)::posix_fadvise(m_fd.get(), static_cast<off_t>(offset), static_cast<off_t>(length), POSIX_FADV_DONTNEED);
    }

private:
    descriptor m_fd;
    std::string m_path;
};

int flags_of(open_mode mode) {
    switch (mode) {
    case open_mode::read: return O_RDONLY | O_CLOEXEC;
    case open_mode::create_new: return O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    case open_mode::read_write: return O_RDWR | O_CLOEXEC;
    }
    return O_RDONLY | O_CLOEXEC;
}

std::string parent_of(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    const auto slash = path.find_last_of('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

class posix final : public file_system {
    // A process that died between mkdir and sync leaves a directory that is seen but not yet durable. One whose
    // parent we may not open was not made by us.
    result<void> settle_name(const std::string& path) {
        auto synced = sync_directory(parent_of(path));
        if (!synced && synced.error() == errc::permission) return {};
        return synced;
    }

public:
    result<std::unique_ptr<file>> open(const std::string& path, open_mode mode) override {
        const auto fd = retried([&] { return ::open(path.c_str(), flags_of(mode), 0600); });
        if (fd < 0) return failed("open", path);
        return std::unique_ptr<file>(std::make_unique<posix_file>(fd, path));
    }
    result<void> rename(const std::string& from, const std::string& to) override {
        if (::rename(from.c_str(), to.c_str()) < 0) return failed("rename " + from + " to", to);
        return {};
    }
    result<void> remove(const std::string& path) override {
        if (::unlink(path.c_str()) == 0) return {};
        // EISDIR is Linux's answer for a directory, EPERM POSIX's.
        if ((errno == EISDIR || errno == EPERM) && ::rmdir(path.c_str()) == 0) return {};
        return failed("remove", path);
    }
    result<void> make_directories(const std::string& path) override {
        if (path.empty()) return error(errc::invalid, "make a directory without a name");
        struct stat about {};
        if (::stat(path.c_str(), &about) == 0) {
            if (S_ISDIR(about.st_mode)) return settle_name(path);
            return error(errc::not_directory, path + " is in the way of a directory");
        }
        if (errno != ENOENT) return failed("make directory", path);
        const auto parent = parent_of(path);
        CHECK_OK(make_directories(parent));
        if (::mkdir(path.c_str(), 0700) < 0 && errno != EEXIST) return failed("make directory", path);
        return sync_directory(parent);
    }
    result<void> sync_directory(const std::string& path) override {
        const descriptor directory(retried([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
        if (directory.get() < 0) return failed("open directory", path);
        if (retried([&] { return ::fsync(directory.get()); }) < 0) return failed("sync directory", path);
        return {};
    }
    result<std::vector<directory_entry>> list(const std::string& path) override {
        struct closer {
            void operator()(DIR* d) const noexcept { ::closedir(d); }
        };
        const std::unique_ptr<DIR, closer> directory(::opendir(path.c_str()));
        if (!directory) return failed("list", path);
        std::vector<directory_entry> out;
        for (;;) {
            errno = 0;
            const auto* const next = ::readdir(directory.get());
            if (!next && errno != 0) return failed("list", path);
            if (!next) break;
            std::string name = next->d_name;
            if (name == "." || name == "..") continue;
            bool is_directory = next->d_type == DT_DIR;
            struct stat about {};
            if (next->d_type == DT_UNKNOWN && ::fstatat(::dirfd(directory.get()), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0)
                is_directory = S_ISDIR(about.st_mode);
            out.push_back({std::move(name), is_directory});
        }
        std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
        return out;
    }
    result<space> statistics(const std::string& path) override {
        struct statvfs about {};
        if (retried([&] { return ::statvfs(path.c_str(), &about); }) < 0) return failed("statvfs", path);
        return space{std::uint64_t{about.f_blocks} * about.f_frsize, std::uint64_t{about.f_bavail} * about.f_frsize};
    }
    bool exists(const std::string& path) override { return ::access(path.c_str(), F_OK) == 0; }
};

std::string pid_in(int fd) {
    char text[32] = {};
    const auto got = ::pread(fd, text, sizeof text - 1, 0);
    std::string pid(text, got > 0 ? static_cast<std::size_t>(got) : 0);
    while (!pid.empty() && (pid.back() == '\n' || pid.back() == ' ')) pid.pop_back();
    return pid.empty() ? "unknown" : pid;
}

}  // namespace

file_system& posix_file_system() {
    static posix instance;
    return instance;
}

result<std::unique_ptr<directory_lock>> directory_lock::take(const std::string& directory) {
    const auto path = directory + "/lock";
    descriptor fd(retried([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); }));
    if (fd.get() < 0) return failed("open", path);
    if (retried([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) < 0) {
        if (errno != EWOULDBLOCK) return failed("lock", path);
        return error(errc::busy, directory + " is in use by process " + pid_in(fd.get()));
    }
    const auto pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(fd.get(), 0) < 0 || ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) return failed("write", path);
    return std::unique_ptr<directory_lock>(new directory_lock(fd.release()));
}

directory_lock::~directory_lock() { ::close(m_fd); }

}  // namespace cess::os
