#include "process.hpp"

#include <core/os/file_system.hpp>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace cess::cli::dev {
namespace {

constexpr auto poll_interval = std::chrono::milliseconds(20);
constexpr auto force_patience = std::chrono::seconds(10);

struct identity {
    pid_t pid = 0;
    std::string started;  // in clock ticks since boot, field 22 of /proc/PID/stat
};

// State and start time; empty if there is no such process. A zombie has ended.
std::string start_time(pid_t pid) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(in, line);
    const auto name_end = line.rfind(')');
    if (name_end == std::string::npos) return {};
    std::istringstream fields(line.substr(name_end + 1));
    std::string field;
    fields >> field;
    if (field == "Z" || field == "X") return {};
    for (int i = 4; i <= 22; ++i) fields >> field;
    return field;
}

identity read_identity(const std::string& pid_file) {
    std::ifstream in(pid_file);
    identity out;
    in >> out.pid >> out.started;
    if (!in || out.pid <= 1) return {};
    return out;
}

struct file_actions {
    posix_spawn_file_actions_t raw;
    file_actions() { posix_spawn_file_actions_init(&raw); }
    ~file_actions() { posix_spawn_file_actions_destroy(&raw); }
};
struct spawn_attributes {
    posix_spawnattr_t raw;
    spawn_attributes() { posix_spawnattr_init(&raw); }
    ~spawn_attributes() { posix_spawnattr_destroy(&raw); }
};

}  // namespace

pid_t running(const std::string& pid_file) {
    const auto known = read_identity(pid_file);
    if (known.pid == 0 || start_time(known.pid) != known.started) return 0;
    return known.pid;
}

result<pid_t> start(const std::vector<std::string>& command, const std::string& log, const std::string& pid_file) {
    file_actions files;
    posix_spawn_file_actions_addopen(&files.raw, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files.raw, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&files.raw, 1, 2);
    posix_spawn_file_actions_addclosefrom_np(&files.raw, 3);
    spawn_attributes attributes;
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes.raw, &none);
    posix_spawnattr_setsigdefault(&attributes.raw, &all);
    posix_spawnattr_setflags(&attributes.raw, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    std::vector<char*> arguments;
    for (const auto& a : command) arguments.push_back(const_cast<char*>(a.c_str()));
    arguments.push_back(nullptr);
    pid_t pid = 0;
    const int failed = posix_spawnp(&pid, command[0].c_str(), &files.raw, &attributes.raw, arguments.data(), environ);
    if (failed != 0) return errno_error("start " + command[0], failed);
    const auto text = std::to_string(pid) + " " + start_time(pid) + "\n";
    if (auto written = os::write_file_durably(os::posix_file_system(), pid_file, as_view(text)); !written) {
        ::kill(pid, SIGTERM);
        return std::move(written).error();
    }
    return pid;
}

result<bool> stop(const std::string& pid_file, std::chrono::seconds patience) {
    const auto pid = running(pid_file);
    bool forced = false;
    if (pid != 0) {
        if (::kill(pid, SIGTERM) != 0 && errno != ESRCH) return errno_error("end process " + std::to_string(pid), errno);
        const auto deadline = std::chrono::steady_clock::now() + patience;
        while (running(pid_file) == pid) {
            (void)::waitpid(pid, nullptr, WNOHANG);  // where it is our own child
            const auto now = std::chrono::steady_clock::now();
            if (now >= deadline && !std::exchange(forced, true)) ::kill(pid, SIGKILL);
            if (now >= deadline + force_patience) return error(errc::timeout, "process " + std::to_string(pid) + " cannot be ended; see what it waits for");
            std::this_thread::sleep_for(poll_interval);
        }
    }
    ::unlink(pid_file.c_str());
    return forced;
}

std::string last_line(const std::string& log) {
    std::ifstream in(log);
    in.seekg(0, std::ios::end);
    const auto size = static_cast<std::streamoff>(in.tellg());
    in.seekg(size > 4096 ? size - 4096 : 0);
    std::string last;
    for (std::string line; std::getline(in, line);)
        if (!line.empty()) last = line;
    return last;
}

}  // namespace cess::cli::dev
