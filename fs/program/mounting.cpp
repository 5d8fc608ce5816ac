#include "mounting.hpp"

#include "backing.hpp"
#include "mount/detach.hpp"
#include "mount/run_file.hpp"
#include "replacing.hpp"
#include "stop_signals.hpp"

#include <core/base/log.hpp>

#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstdlib>

namespace cess::fs::program {
namespace {

using namespace std::chrono_literals;

constexpr auto leave_patience = 5s;
constexpr auto pause_patience = 5s;   // for requests that are being answered
constexpr auto take_back_within = 2min;

// A mount that works, and what it takes to go on with it.
struct running_mount {
    const plan& of;
    std::unique_ptr<backing> behind;
    std::unique_ptr<fuse_mount> mount;
    std::unique_ptr<run_file>& file;
    bool asked_to_leave = false;
};

void say_mounted(const plan& of, readiness& report) {
    if (report.is_ready()) return;
    log::info("fs", "mounted volume={} directory={}", of.how.volume, of.how.directory);
    report.ready();
}

// Ends unmounted, or paused: then with who wants to have the mount.
result<std::optional<local_peer>> serve_for_now(running_mount& on, readiness& report) {
    if (std::exchange(on.asked_to_leave, false)) ::kill(::getpid(), SIGTERM);  // nobody could be unmounted when it came
    const stop_signals stop([&] { on.asked_to_leave = !on.mount->ask_to_leave(leave_patience); });
    replacement_door door(replacement_socket(on.mount->device_minor()), on.of.how, [&]() -> result<void> {
        CHECK_OK(on.behind->checkpoint());
        if (on.mount->pause(pause_patience)) return {};
        return error(errc::busy, "a request takes longer than " + std::to_string(pause_patience.count()) +
                                     " s, or the mount comes to its end; try again later");
    });
    TRY(const auto end, on.mount->serve([&] { say_mounted(on.of, report); }));
    if (end == serve_end::unmounted) return std::optional<local_peer>();
    return door.taker();
}

// Nobody else serves the mount. Afterwards `on` has none if it was unmounted meanwhile.
result<void> take_back(running_mount& on, const parked_mount& parked) {
    const auto until = std::chrono::steady_clock::now() + take_back_within;
    for (;;) {
        if (parked.unmounted()) return {};
        auto done = [&]() -> result<void> {
            TRY(on.behind, backing::connect(on.of));
            CHECK_OK(on.behind->open_again(parked.held));
            TRY(on.mount, fuse_mount::adopt(on.behind->files(), on.behind->mounting(), parked));
            return {};
        }();
        if (done) return {};
        if (const auto closed = on.behind->close(); !closed) log::warn("fs", "{}", closed.error().message());
        log::warn("fs", "{} cannot be served again yet: {}", on.of.how.directory, done.error().message());
        if (std::chrono::steady_clock::now() >= until) {
            (void)detach_mount(on.of.how.directory, {true, false});
            return std::move(done).error().with_context("the mount is lost");
        }
        std::this_thread::sleep_for(1s);
    }
}

// True: the taker serves the mount from now on. False: we do, as before.
result<bool> give_to(local_peer& taker, running_mount& on) {
    const auto paused = [since = std::chrono::steady_clock::now()] {
        return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - since).count();
    };
    const auto ready = [&]() -> result<parked_mount> {
        if (taker.gone()) return error(errc::unavailable, "it has gone");
        if (!on.behind->files().sync_all()) return error(errc::io, "what was written last is not durable");
        return on.mount->park();
    }();
    if (!ready) {
        log::warn("fs", "not replaced pid={}: {}", taker.pid(), ready.error().message());
        refuse(taker, ready.error());
        return false;
    }
    const auto& parked = *ready;
    on.mount.reset();
    if (auto closed = on.behind->close(); !closed) {
        log::warn("fs", "{}", closed.error().message());
        refuse(taker, closed.error());
    } else if (hand_over(taker, parked, on.file->descriptor_to_lend())) {
        on.file->handed_over();
        log::info("fs", "replaced by pid={} directory={} paused_ms={}", taker.pid(), on.of.how.directory, paused());
        if (on.asked_to_leave || stop_signals::pending()) taker.ask_to_end();
        return true;
    }
    CHECK_OK(take_back(on, parked));
    if (on.mount) log::info("fs", "not replaced, serving again directory={} paused_ms={}", on.of.how.directory, paused());
    return false;
}

// Until it is unmounted, or another process has it.
result<void> serve(running_mount& on, readiness& report) {
    for (;;) {
        TRY(auto taker, serve_for_now(on, report));
        if (!taker) break;
        TRY(const bool given, give_to(*taker, on));
        if (given) return {};
        if (!on.mount) break;
    }
    if (!report.is_ready()) return error(errc::canceled, "unmounted before the mount worked");
    return {};
}

// What is still ours goes; `served`: how it went so far.
result<void> finish(running_mount& on, result<void> served) {
    on.mount.reset();
    auto closed = on.behind->close();
    return served ? closed : served;
}

result<void> mount_volume(const options& how, std::unique_ptr<run_file>& file, readiness& report) {
    TRY(auto of, make_plan(how));
    running_mount on{of, {}, {}, file};
    TRY(on.behind, backing::connect(of));
    CHECK_OK(on.behind->open());
    of.how.force = false;  // it is ours now: whoever has it later got it rightly
    auto served = [&]() -> result<void> {
        TRY(on.mount, fuse_mount::mount(on.behind->files(), on.behind->mounting()));
        TRY(file, run_file::create(on.mount->device_minor()));
        return serve(on, report);
    }();
    return finish(on, std::move(served));
}

// Of a mount that somebody else serves.
void let_go(running_mount& on) {
    if (on.mount) on.mount->leave_to_others();
    on.mount.reset();
    if (const auto closed = on.behind->close(); !closed) log::warn("fs", "{}", closed.error().message());
}

// A signal ends a mount, but before this process has one it ends the replacement only.
result<void> check_wanted() {
    if (stop_signals::pending()) return error(errc::canceled, "told to end");
    return {};
}

// Between "take" and "attached"; after an error all of it is gone again.
result<takeover::gift> take_mount(takeover& from, running_mount& on) {
    TRY(auto gift, from.take());
    auto done = [&]() -> result<void> {
        CHECK_OK(on.behind->open_again(gift.mount.held));
        TRY(on.mount, fuse_mount::adopt(on.behind->files(), on.behind->mounting(), gift.mount));
        return check_wanted();
    }();
    if (done) return gift;
    let_go(on);
    return done.error();
}

// Everything that may fail, or is slow, before the running one stops.
result<void> prepare(const takeover& from, const options& how, plan& of, running_mount& on) {
    TRY(auto next, with_changes(from.running(), how.changes));
    next.foreground = how.foreground;
    next.debug = how.debug;
    if (!how.log_file.empty()) next.log_file = how.log_file;
    TRY(of, make_plan(next));
    log::info("fs", "replacing pid={} directory={}", from.pid(), how.directory);
    TRY(on.behind, backing::connect(of));
    return on.behind->check();
}

result<void> replace_running(const options& how, std::unique_ptr<run_file>& file, readiness& report) {
    TRY(auto from, takeover::begin(how.directory));
    if (::chdir("/") != 0) return errno_error("leave the current directory", errno);  // it may be on the mount, and keep it busy
    plan of;
    running_mount on{of, {}, {}, file};
    const auto taken = [&]() -> result<void> {
        CHECK_OK(prepare(from, how, of, on));
        CHECK_OK(check_wanted());
        TRY(auto gift, take_mount(from, on));
        auto ours = from.attached();
        if (ours) file = run_file::adopt(std::move(gift.run_file), on.mount->device_minor());
        else let_go(on);
        return ours;
    }();
    if (!taken) {
        from.refuse(taken.error());
        return taken;
    }
    return finish(on, serve(on, report));
}

result<void> absolute(std::string& path) {
    if (path.empty() || path.front() == '/') return {};
    char here[PATH_MAX];
    if (!::getcwd(here, sizeof here)) return errno_error("the current directory", errno);
    path = std::string(here) + "/" + path;
    return {};
}

}  // namespace

result<options> resolve_paths(options how) {
    char real[PATH_MAX];
    if (!::realpath(how.directory.c_str(), real))
        return errno_error((how.replace ? "replace the cessfs of " : "mount on ") + how.directory, errno);
    if (!how.replace) CHECK_OK(check_mount_point(real));
    how.directory = real;
    if (!how.conf.empty()) {
        if (!::realpath(how.conf.c_str(), real)) return errno_error("configuration " + how.conf, errno);
        how.conf = real;
    }
    if (how.replace) {
        TRY(how, with_changes(how, how.changes));
    }
    CHECK_OK(absolute(how.log_file));
    return how;
}

int run(const options& how, readiness& report) try {
    stop_signals::block();
    std::unique_ptr<run_file> file;
    const auto done = how.replace ? replace_running(how, file, report) : mount_volume(how, file, report);
    if (file) file->ended(done);
    if (done) return 0;
    if (report.is_ready()) log::error("fs", "{}", done.error().message());
    else report.failed(done.error());
    return 1;
} catch (const std::exception& e) {
    report.failed(error(errc::io, std::string("unexpected: ") + e.what()));
    return 1;
}

}  // namespace cess::fs::program
