#include <support/seed_farm.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace cess::test {
namespace {

using clock = std::chrono::steady_clock;

struct child {
    pid_t pid = -1;
    int from = -1;
    std::string text;        // of a line that is not whole yet
    std::uint64_t seed = 0;  // under way
    clock::time_point heard{};
};

[[noreturn]] void give_up(const char* what) {
    std::fprintf(stderr, "seed_farm: %s: %s\n", what, std::strerror(errno));
    std::abort();
}

void say(int to, std::string line) {
    line += '\n';
    for (std::size_t at = 0; at < line.size();) {
        const auto n = ::write(to, line.data() + at, line.size() - at);
        if (n < 0) ::_exit(3);  // nobody listens any more
        at += static_cast<std::size_t>(n);
    }
}

// The child's life: every jobs-th seed, one line for its beginning, one for its end.
[[noreturn]] void live(int to, const farm_options& how, unsigned which, const std::function<seed_result(std::uint64_t)>& run) {
    const auto began = clock::now();
    for (auto seed = how.first + which; seed < how.first + how.count; seed += how.jobs) {
        if (how.budget_seconds && seed >= how.first + how.least && clock::now() - began > std::chrono::seconds(how.budget_seconds)) break;
        say(to, "seed " + std::to_string(seed));
        const auto result = run(seed);
        for (const auto& [name, n] : result.counts)
            if (n) say(to, "count " + name + ' ' + std::to_string(n));
        say(to, result.failure.empty() ? "sound" : "failed " + result.failure);
    }
    say(to, "end");
    ::_exit(0);  // no destructors of the parent's
}

void fail(farm_report& report, std::uint64_t seed, const std::string& why) {
    std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed), why.c_str());  // at once: a long run may be cut short
    report.failures[seed] = why;
}

void hear(child& from, const std::string& line, farm_report& report) {
    std::istringstream in(line);
    std::string word;
    in >> word;
    if (word == "seed") in >> from.seed;
    if (word == "sound" || word == "failed") ++report.ran;
    if (word == "failed") fail(report, from.seed, line.substr(7));
    if (word == "sound" || word == "failed" || word == "end") from.seed = 0;
    if (word == "count") {
        std::uint64_t n = 0;
        in >> word >> n;
        report.counts[word] += n;
    }
}

// False when the child has ended.
bool listen(child& from, farm_report& report) {
    char buffer[4096];
    const auto n = ::read(from.from, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) return true;
    if (n <= 0) return false;
    from.heard = clock::now();
    from.text.append(buffer, static_cast<std::size_t>(n));
    for (auto end = from.text.find('\n'); end != std::string::npos; end = from.text.find('\n')) {
        hear(from, from.text.substr(0, end), report);
        from.text.erase(0, end + 1);
    }
    return true;
}

void bury(child& who, farm_report& report, const char* why) {
    ::close(who.from);
    int status = 0;
    while (::waitpid(who.pid, &status, 0) < 0 && errno == EINTR) {}
    if (who.seed == 0) return;
    fail(report, who.seed, why ? why : "its process ended with " + std::to_string(WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status)));
    ++report.ran;
}

}  // namespace

farm_report run_seeds(const farm_options& how, const std::function<seed_result(std::uint64_t)>& run) {
    farm_report report;
    std::vector<child> children;
    for (unsigned i = 0; i < how.jobs && i < how.count; ++i) {
        int ends[2];
        if (::pipe(ends) != 0) give_up("pipe");
        const auto pid = ::fork();
        if (pid < 0) give_up("fork");
        if (pid == 0) {
            ::close(ends[0]);
            for (const auto& other : children) ::close(other.from);
            live(ends[1], how, i, run);
        }
        ::close(ends[1]);
        children.push_back({pid, ends[0], {}, 0, clock::now()});
    }
    while (!children.empty()) {
        std::vector<pollfd> ready;
        for (const auto& c : children) ready.push_back({c.from, POLLIN, 0});
        if (::poll(ready.data(), ready.size(), 1000) < 0 && errno != EINTR) give_up("poll");
        const bool enough = how.stop_at_first && !report.failures.empty();
        for (std::size_t i = children.size(); i-- > 0;) {
            auto& c = children[i];
            const bool hangs = clock::now() - c.heard > std::chrono::seconds(how.silence_seconds);
            if (enough) c.seed = 0;  // its failure would be ours
            if (hangs || enough) ::kill(c.pid, hangs ? SIGABRT : SIGKILL);
            if (!hangs && !enough && (ready[i].revents == 0 || listen(c, report))) continue;
            bury(c, report, hangs ? "it hangs" : nullptr);
            children.erase(children.begin() + static_cast<std::ptrdiff_t>(i));
        }
    }
    return report;
}

std::uint64_t environment_number(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace cess::test
