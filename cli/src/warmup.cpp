#include "warmup.hpp"

#include "context.hpp"

#include <core/base/bytes.hpp>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include <fcntl.h>
#include <fts.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cess::cli {
namespace {

constexpr std::size_t waiting_max = 1024;   // files found and not begun
constexpr std::size_t problems_max = 10;
constexpr std::size_t read_size = 1 * MiB;
constexpr std::size_t direct_alignment = 4096;

// Calls each(path, size) for every regular file; problem(path, errno) for what cannot be looked at.
template <class Each, class Problem>
result<void> walk(const std::vector<std::string>& paths, Each each, Problem problem) {
    std::vector<char*> roots;
    for (const auto& p : paths) roots.push_back(const_cast<char*>(p.c_str()));
    roots.push_back(nullptr);
    FTS* tree = ::fts_open(roots.data(), FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, nullptr);
    if (!tree) return errno_error("walk " + paths.front(), errno);
    while (const FTSENT* at = ::fts_read(tree)) {
        if (at->fts_info == FTS_F && S_ISREG(at->fts_statp->st_mode)) each(at->fts_path, static_cast<std::uint64_t>(at->fts_statp->st_size));
        else if (at->fts_info == FTS_DNR || at->fts_info == FTS_ERR || at->fts_info == FTS_NS) problem(at->fts_path, at->fts_errno);
    }
    const int failed = errno;
    ::fts_close(tree);
    if (failed != 0) return errno_error("walk " + paths.front(), failed);
    return {};
}

class warmer {
public:
    explicit warmer(unsigned threads) {
        for (unsigned i = 0; i < threads; ++i) m_threads.emplace_back([this] { work(); });
    }
    ~warmer() { end(); }

    void add(std::string path) {  // waits while many do
        std::unique_lock lock(m_mutex);
        m_changed.wait(lock, [this] { return m_waiting.size() < waiting_max; });
        m_waiting.push_back(std::move(path));
        m_changed.notify_all();
    }
    void failed(const std::string& path, int number) {
        const std::lock_guard lock(m_mutex);
        ++m_done.failed;
        if (m_done.problems.size() < problems_max) m_done.problems.push_back(path + ": " + std::strerror(number));
    }
    warmed end() {
        {
            const std::lock_guard lock(m_mutex);
            m_ended = true;
            m_changed.notify_all();
        }
        for (auto& t : m_threads)
            if (t.joinable()) t.join();
        return m_done;
    }
    [[nodiscard]] std::uint64_t bytes_read() const noexcept { return m_bytes; }

private:
    void work() {
        const std::unique_ptr<void, decltype(&std::free)> buffer(std::aligned_alloc(direct_alignment, read_size), &std::free);
        std::unique_lock lock(m_mutex);
        for (;;) {
            m_changed.wait(lock, [this] { return m_ended || !m_waiting.empty(); });
            if (m_waiting.empty()) return;
            const auto path = std::move(m_waiting.front());
            m_waiting.pop_front();
            m_changed.notify_all();
            lock.unlock();
            const int number = buffer ? read_all(path, buffer.get()) : ENOMEM;
            if (number != 0) failed(path, number);
            lock.lock();
            if (number != 0) continue;
            ++m_done.files;
            m_done.bytes = m_bytes;
        }
    }

    // 0, or why not.
    int read_all(const std::string& path, void* buffer) {
        constexpr int how = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_DIRECT;
        int file = ::open(path.c_str(), how | O_NOATIME);
        if (file < 0 && errno == EPERM) file = ::open(path.c_str(), how);  // somebody else's: its access time is not ours to keep
        if (file < 0) return errno;
        ssize_t n = 0;
        while ((n = ::read(file, buffer, read_size)) > 0) m_bytes += static_cast<std::uint64_t>(n);
        const int number = n < 0 ? errno : 0;
        ::close(file);
        return number;
    }

    std::mutex m_mutex;
    std::condition_variable m_changed;
    std::deque<std::string> m_waiting;
    bool m_ended = false;
    warmed m_done;
    std::atomic<std::uint64_t> m_bytes{0};
    std::vector<std::thread> m_threads;
};

}  // namespace

result<warmed> warm_up(const std::vector<std::string>& paths, unsigned threads) {
    std::uint64_t total = 0;
    if (standard_error_is_terminal()) {  // somebody wants to see how far it is
        CHECK_OK(walk(paths, [&](const char*, std::uint64_t size) { total += size; }, [](const char*, int) {}));
    }
    progress_line line("cess warmup");
    warmer on(threads);
    CHECK_OK(walk(
        paths,
        [&](const char* path, std::uint64_t) {
            on.add(path);
            if (total > 0) line.show(std::min(on.bytes_read(), total), total);
        },
        [&](const char* path, int number) { on.failed(path, number); }));
    return on.end();
}

}  // namespace cess::cli
