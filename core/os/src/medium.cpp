// Reads past the page cache (O_DIRECT): what is checked is what the medium holds, and what others keep in memory stays
// there. Where a file system has no such reads (tmpfs, some network ones), pages are dropped again after each read.
#include <core/os/medium.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cess::os {
namespace {

constexpr std::size_t alignment = 4096;  // no medium asks for more
constexpr std::size_t window = 1 * MiB;

struct freed {
    void operator()(void* p) const noexcept { std::free(p); }
};

class medium_file final : public file {
public:
    medium_file(int fd, bool direct, std::string path, std::unique_ptr<std::byte, freed> buffer)
        : m_fd(fd), m_direct(direct), m_path(std::move(path)), m_buffer(std::move(buffer)) {}
    ~medium_file() override { ::close(m_fd); }

    result<std::size_t> read_at(std::uint64_t offset, byte_span out) override {
        std::size_t done = 0;
        while (done < out.size()) {
            const auto at = offset + done;
            const auto start = at / alignment * alignment;
            const auto lead = static_cast<std::size_t>(at - start);
            TRY(const auto got, fill(start, std::min(window, (lead + out.size() - done + alignment - 1) / alignment * alignment)));
            if (got <= lead) break;
            const auto usable = std::min(got - lead, out.size() - done);
            std::memcpy(out.data() + done, m_buffer.get() + lead, usable);
            done += usable;
        }
        return done;
    }
    result<void> write_at(std::uint64_t, byte_view) override { return error(errc::unsupported, "write " + m_path); }
    result<void> truncate(std::uint64_t) override { return error(errc::unsupported, "truncate " + m_path); }
    result<void> sync() override { return {}; }
    result<std::uint64_t> size() override {
        struct stat about {};
        if (::fstat(m_fd, &about) < 0) return errno_error("stat " + m_path, errno);
        return static_cast<std::uint64_t>(about.st_size);
    }

private:
    // Up to `size` bytes from an aligned offset into the buffer; fewer at the end of the file.
    result<std::size_t> fill(std::uint64_t offset, std::size_t size) {
        std::size_t done = 0;
        while (done < size) {
            const auto got = ::pread(m_fd, m_buffer.get() + done, size - done, static_cast<off_t>(offset + done));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0 && errno == EINVAL && m_direct) {
                CHECK_OK(go_buffered());
                continue;
            }
            if (got < 0) return errno_error("read " + m_path, errno);
            done += static_cast<std::size_t>(got);
            if (got == 0 || static_cast<std::size_t>(got) % alignment != 0) break;  // the end of the file
        }
        if (!m_direct) (void)::posix_fadvise(m_fd, static_cast<off_t>(offset), static_cast<off_t>(done), POSIX_FADV_DONTNEED);
        return done;
    }
    // The file system opens with O_DIRECT, and then refuses to read so.
    result<void> go_buffered() {
        const int flags = ::fcntl(m_fd, F_GETFL);
        if (flags < 0 || ::fcntl(m_fd, F_SETFL, flags & ~O_DIRECT) < 0) return errno_error("fcntl " + m_path, errno);
        m_direct = false;
        return {};
    }

    const int m_fd;
    bool m_direct;
    const std::string m_path;
    const std::unique_ptr<std::byte, freed> m_buffer;
};

int open_retried(const std::string& path, int flags) {
    for (;;)
        if (const int fd = ::open(path.c_str(), flags); fd >= 0 || errno != EINTR) return fd;
}

}  // namespace

result<std::unique_ptr<file>> open_medium(file_system& on, const std::string& path) {
    if (&on != &posix_file_system()) return on.open(path, open_mode::read);
    std::unique_ptr<std::byte, freed> buffer(static_cast<std::byte*>(std::aligned_alloc(alignment, window)));
    if (!buffer) return error(errc::exhausted, "no memory to read " + path);
    bool direct = true;
    int fd = open_retried(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (fd < 0 && errno == EINVAL) {
        direct = false;
        fd = open_retried(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0) return errno_error("open " + path, errno);
    return std::unique_ptr<file>(std::make_unique<medium_file>(fd, direct, path, std::move(buffer)));
}

}  // namespace cess::os
