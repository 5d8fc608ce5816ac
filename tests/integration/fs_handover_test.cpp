// A mount changes hands within one process, again and again, while other processes use it: what fs_replace.sh does with
// two processes and a network, without either.
#include "support/memory_volume.hpp"

#include <fs/fuse_mount.hpp>

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

using namespace cess;
using namespace cess::fs;
using namespace std::chrono_literals;

// Of sanitizers. libfuse frees the name of the mount point when it unmounts, and nowhere else: once for a mount that others
// take over.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:fuse_session_mount"; }
// That a file is released after its last use is the kernel's order; who writes pages back has a descriptor table of its own.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
    return "race:default_delete<cess::fs::mounted_file>\nrace:mounted_file::~mounted_file\nrace:page_writer.cpp";
}

namespace {

enum class phase { waiting, running, ending };

// Shared by the processes.
struct stage {
    std::atomic<phase> now{phase::waiting};
    std::atomic<std::uint64_t> rounds{0};
};

// Of a process that uses the mount; false: it saw something wrong.
using part = bool (*)(const std::string& directory, stage& on, int number);

bool wrong(const char* what) {
    std::fprintf(stderr, "wrong: %s (%s)\n", what, std::strerror(errno));
    return false;
}

template <class T>
bool put(const descriptor& to, const T& value, off_t at) {
    return ::pwrite(to.get(), &value, sizeof value, at) == static_cast<ssize_t>(sizeof value);
}
template <class T>
bool get(const descriptor& from, T& value, off_t at) {
    return ::pread(from.get(), &value, sizeof value, at) == static_cast<ssize_t>(sizeof value);
}

bool goes_on(stage& on) {
    ++on.rounds;
    return on.now == phase::running;
}

// For data: that waits for what the kernel holds of the file.
bool seeks(const std::string& directory, stage& on, int number) {
    const descriptor file(::open((directory + "/seeks" + std::to_string(number)).c_str(), O_RDWR | O_CREAT, 0600));
    const std::string data(16384, 'd');
    for (int n = 0; goes_on(on); ++n) {
        const off_t at = off_t{n % 8} << 20;
        if (::pwrite(file.get(), data.data(), data.size(), at) != static_cast<ssize_t>(data.size())) return wrong("pwrite before a seek");
        if (::lseek(file.get(), at, SEEK_DATA) != at) return wrong("lseek");
        if (n % 8 == 7 && ::ftruncate(file.get(), 0) != 0) return wrong("ftruncate");
    }
    return true;
}

// A file that is being written, over another: that waits as well.
bool renames(const std::string& directory, stage& on, int number) {
    const std::string names[2] = {directory + "/a" + std::to_string(number), directory + "/b" + std::to_string(number)};
    const descriptor file(::open(names[0].c_str(), O_RDWR | O_CREAT, 0600));
    for (int n = 0; goes_on(on); ++n) {
        const descriptor other(::open(names[1 - n % 2].c_str(), O_WRONLY | O_CREAT, 0600));
        if (!other || !put(file, n, 0)) return wrong("pwrite before a rename");
        if (::rename(names[n % 2].c_str(), names[1 - n % 2].c_str()) != 0) return wrong("rename");
        int back = -1;
        const descriptor found(::open(names[1 - n % 2].c_str(), O_RDONLY));
        if (!get(found, back, 0) || back != n) return wrong("what was renamed");
    }
    return true;
}

// A file without a name.
bool keeps(const std::string& directory, stage& on, int number) {
    const auto name = directory + "/keeps" + std::to_string(number);
    const descriptor file(::open(name.c_str(), O_RDWR | O_CREAT, 0600));
    if (!file || ::unlink(name.c_str()) != 0) return wrong("unlink");
    for (std::uint64_t n = 0; goes_on(on); ++n) {
        std::uint64_t back = 0;
        const auto place = static_cast<off_t>(n % 100 * 5000);
        if (!put(file, n, place)) return wrong("pwrite without a name");
        ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
        if (!get(file, back, place) || back != n) return wrong("pread without a name");
        if (n % 10 == 0 && ::fsync(file.get()) != 0) return wrong("fsync without a name");
    }
    return true;
}

// Names.
bool makes(const std::string& directory, stage& on, int number) {
    const auto name = directory + "/makes" + std::to_string(number);
    while (goes_on(on)) {
        if (::mkdir(name.c_str(), 0700) != 0 || ::mkdir((name + "/in").c_str(), 0700) != 0) return wrong("mkdir");
        if (::rmdir(name.c_str()) == 0 || errno != ENOTEMPTY) return wrong("rmdir of what is not empty");
        if (::rmdir((name + "/in").c_str()) != 0 || ::rmdir(name.c_str()) != 0) return wrong("rmdir");
    }
    return true;
}

class users {
public:
    // Before anything is mounted: they must not hold the FUSE device.
    explicit users(const std::string& directory) : m_stage(new (shared()) stage) {
        constexpr part parts[] = {seeks, seeks, seeks, seeks, renames, renames, keeps, makes};
        int number = 0;
        for (const auto each : parts) {
            const pid_t pid = ::fork();
            if (pid == 0) ::_exit(run(each, directory, number) ? 0 : 1);
            m_pids.push_back(pid);
            ++number;
        }
    }
    ~users() {
        for (const auto pid : m_pids) {
            ::kill(pid, SIGKILL);
            ::waitpid(pid, nullptr, 0);
        }
    }
    void begin() { m_stage->now = phase::running; }
    [[nodiscard]] std::uint64_t rounds() const { return m_stage->rounds; }
    // True: none of them saw anything wrong.
    [[nodiscard]] bool end() {
        m_stage->now = phase::ending;
        bool well = true;
        for (const auto pid : m_pids) {
            int status = 0;
            well = ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0 && well;
        }
        m_pids.clear();
        return well;
    }

private:
    static void* shared() { return ::mmap(nullptr, sizeof(stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); }
    bool run(part what, const std::string& directory, int number) {
        while (m_stage->now == phase::waiting) ::usleep(1000);
        return what(directory, *m_stage, number);
    }
    stage* m_stage;
    std::vector<pid_t> m_pids;
};

struct temporary_directory {
    std::string path;
    temporary_directory() {
        char name[] = "/tmp/cess-handover-XXXXXX";
        REQUIRE(::mkdtemp(name));
        path = name;
    }
    ~temporary_directory() { ::rmdir(path.c_str()); }
};

std::unique_ptr<filesystem> open_files(testing::memory_volume& on, const kernel_state& held = {}) {
    settings how;
    how.root_owner = {::geteuid(), ::getegid()};
    auto opened = filesystem::open(on, &on, how, held);
    REQUIRE(opened.has_value());
    return std::move(*opened);
}

}  // namespace

TEST_CASE("a mount changes hands while programs use it, who notice nothing") {
    constexpr int rounds = 30;
    if (::access("/dev/fuse", R_OK | W_OK) != 0) {
        WARN("no FUSE here");
        return;
    }
    const temporary_directory directory;
    users all(directory.path);
    testing::memory_volume volume(false);
    auto files = open_files(volume);
    mount_options how;
    how.directory = directory.path;
    how.source = "memory";
    if (::geteuid() == 0) how.words = {"dev", "suid"};
    auto mounted = fuse_mount::mount(*files, how);
    REQUIRE(mounted.has_value());
    std::atomic<bool> ready{false};
    std::size_t kept = 0;
    bool well = false;
    for (int round = 0; round <= rounds; ++round) {
        bool paused = false;
        std::thread decides([&] {
            while (!ready) std::this_thread::sleep_for(1ms);
            if (round == 0) all.begin();
            const auto before = all.rounds();
            for (int i = 0; i < 10000 && all.rounds() < before + 50; ++i) std::this_thread::sleep_for(1ms);
            if (round < rounds) paused = (*mounted)->pause(10s);
            if (paused) return;
            well = all.end();
            (void)(*mounted)->ask_to_leave(5s);
        });
        const auto end = (*mounted)->serve([&] { ready = true; });
        decides.join();
        REQUIRE(end.has_value());
        CHECK((*end == serve_end::paused) == paused);
        CHECK(paused == (round < rounds));
        if (!paused) break;
        auto parked = (*mounted)->park();
        REQUIRE(parked.has_value());
        kept += parked->requests.size();
        mounted->reset();
        files.reset();
        files = open_files(volume, parked->held);
        mounted = fuse_mount::adopt(*files, how, *parked);
        REQUIRE(mounted.has_value());
    }
    CHECK(well);
    mounted->reset();
    files.reset();
    WARN(all.rounds() << " rounds of those who used it; " << kept << " requests were kept for who served next");
    files = open_files(volume);
    const auto gone = files->lookups.lookup(root_inode, "keeps6");
    REQUIRE(gone.has_value());
    CHECK_FALSE(gone->has_value());
}
