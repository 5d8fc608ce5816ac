#include "fuse/device.hpp"
#include "fuse/session_loop.hpp"

#include <catch2/catch.hpp>

#include <linux/fuse.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <thread>

using namespace cess;
using namespace cess::fs;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t quick = 1, slow = 2;  // inodes

auto in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

// Whom a request of the slow inode waits for.
struct gate {
    std::mutex mutex;
    std::condition_variable changed;
    request_meter* meter = nullptr;  // of the session
    bool is_open = false;
    unsigned waiting = 0;

    void pass() {
        std::unique_lock lock(mutex);
        ++waiting;
        changed.notify_all();
        changed.wait(lock, [this] { return is_open; });
    }
    void wait_for(unsigned count) {
        std::unique_lock lock(mutex);
        REQUIRE(changed.wait_for(lock, 10s, [&] { return waiting == count; }));
    }
    void open() {
        const std::lock_guard lock(mutex);
        is_open = true;
        changed.notify_all();
    }
};

void on_statfs(fuse_req_t req, fuse_ino_t ino) {
    if (ino == slow) static_cast<gate*>(fuse_req_userdata(req))->pass();
    fuse_reply_err(req, 0);
}
void on_lseek(fuse_req_t req, fuse_ino_t, off_t, int, fuse_file_info*) { fuse_reply_err(req, 0); }

// A session whose kernel is the test, at the other end of a socket.
class fake_mount {
public:
    gate slow_ones;
    std::optional<session_loop> loop;

    metrics count;
    request_meter meter{count};

    explicit fake_mount(unsigned threads) {
        slow_ones.meter = &meter;
        fuse_lowlevel_ops ops{};
        ops.statfs = on_statfs;
        ops.lseek = on_lseek;
        char name[] = "test";
        char* arguments[] = {name, nullptr};
        fuse_args raw = FUSE_ARGS_INIT(1, arguments);
        m_session = fuse_session_new(&raw, &ops, sizeof ops, &slow_ones);
        fuse_opt_free_args(&raw);
        REQUIRE(m_session);
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        m_kernel = descriptor(ends[0]);
        static constexpr fuse_custom_io io{write, read, nullptr, nullptr};
        REQUIRE(fuse_session_custom_io(m_session, &io, ends[1]) == 0);
        loop.emplace(m_session, threads, &meter);
        fuse_init_in init{};
        init.major = FUSE_KERNEL_VERSION;
        init.minor = 31;
        ask(FUSE_INIT, quick, 1, {reinterpret_cast<const std::byte*>(&init), sizeof init});
    }
    ~fake_mount() {
        slow_ones.open();
        loop->leave();
        if (m_serves.valid()) m_serves.wait();
        loop.reset();
        fuse_session_destroy(m_session);
    }

    void serve() {
        m_serves = std::async(std::launch::async, [this] { return loop->run(); });
        if (std::exchange(m_agreed, true)) return;
        REQUIRE(answered() == 1);
    }
    [[nodiscard]] serve_end served() {
        const auto end = m_serves.get();
        REQUIRE(end.has_value());
        return *end;
    }
    void ask(std::uint32_t opcode, std::uint64_t inode, std::uint64_t unique, byte_view body = {}) {
        fuse_in_header head{};
        head.len = static_cast<std::uint32_t>(sizeof head + body.size());
        head.opcode = opcode;
        head.nodeid = inode;
        head.unique = unique;
        const iovec parts[2] = {{&head, sizeof head}, {const_cast<std::byte*>(body.data()), body.size()}};
        REQUIRE(::writev(m_kernel.get(), parts, 2) == static_cast<ssize_t>(head.len));
    }
    [[nodiscard]] bool measured(std::string_view operation, int count_) const {
        return count.render().find("cess_fs_operation_seconds_count{op=\"" + std::string(operation) + "\"} " + std::to_string(count_) + "\n") != std::string::npos;
    }
    void seek(std::uint64_t unique) {
        const fuse_lseek_in body{};
        ask(FUSE_LSEEK, quick, unique, {reinterpret_cast<const std::byte*>(&body), sizeof body});
    }
    // Which request; 0: none for so long.
    [[nodiscard]] std::uint64_t answered(std::chrono::milliseconds within = 10s) {
        pollfd wait{m_kernel.get(), POLLIN, 0};
        if (::poll(&wait, 1, static_cast<int>(within.count())) != 1) return 0;
        fuse_out_header head{};
        return ::recv(m_kernel.get(), &head, sizeof head, 0) == sizeof head ? head.unique : 0;
    }

private:
    static ssize_t read(int fd, void* buffer, std::size_t room, void* userdata) {
        const auto n = ::read(fd, buffer, room);
        if (n > 0) measure_request(*static_cast<gate*>(userdata)->meter, {static_cast<const std::byte*>(buffer), static_cast<std::size_t>(n)});
        return n;
    }
    static ssize_t write(int fd, iovec* parts, int count, void* userdata) {
        fuse_out_header head{};
        std::memcpy(&head, parts[0].iov_base, sizeof head);
        static_cast<gate*>(userdata)->meter->answered(head.unique, -head.error, {});
        return ::writev(fd, parts, count);
    }

    fuse_session* m_session = nullptr;
    descriptor m_kernel;
    bool m_agreed = false;
    std::future<result<serve_end>> m_serves;
};

bool nobody_else(session_loop::time_point) { return true; }

}  // namespace

TEST_CASE("a session pauses between requests: what was read is answered, the rest waits for who serves next") {
    fake_mount mount(4);
    mount.serve();
    mount.ask(FUSE_STATFS, slow, 10);
    mount.slow_ones.wait_for(1);
    auto paused = std::async(std::launch::async, [&] { return mount.loop->pause(in(10s), nobody_else); });
    std::this_thread::sleep_for(50ms);  // so that who waited to read has ended
    mount.ask(FUSE_STATFS, quick, 11);
    CHECK(mount.answered(100ms) == 0);
    mount.slow_ones.open();
    CHECK(mount.answered() == 10);
    CHECK(paused.get());
    CHECK(mount.served() == serve_end::paused);
    CHECK(mount.answered(50ms) == 0);
    mount.serve();
    CHECK(mount.answered() == 11);
}

TEST_CASE("a session that cannot pause in time goes on, with as many threads as it may have") {
    fake_mount mount(2);
    mount.serve();
    mount.ask(FUSE_STATFS, slow, 10);
    mount.ask(FUSE_STATFS, slow, 11);
    mount.slow_ones.wait_for(2);
    for (int i = 0; i < 3; ++i) CHECK_FALSE(mount.loop->pause(in(20ms), nobody_else));
    mount.ask(FUSE_STATFS, quick, 12);
    CHECK(mount.answered(100ms) == 0);  // both are busy
    mount.slow_ones.open();
    CHECK(mount.answered() + mount.answered() + mount.answered() == 10 + 11 + 12);
    CHECK(mount.loop->pause(in(10s), nobody_else));
    CHECK(mount.served() == serve_end::paused);
}

TEST_CASE("who wants to end a session waits for what becomes of a pause that is under way") {
    fake_mount mount(4);
    mount.serve();
    mount.ask(FUSE_STATFS, slow, 10);
    mount.slow_ones.wait_for(1);
    auto fails = std::async(std::launch::async, [&] { return mount.loop->pause(in(200ms), nobody_else); });
    std::this_thread::sleep_for(50ms);
    CHECK(mount.loop->forbid_pause());
    CHECK_FALSE(fails.get());
    CHECK_FALSE(mount.loop->pause(in(10s), nobody_else));  // forbidden by now
    mount.slow_ones.open();
    CHECK(mount.answered() == 10);
}

TEST_CASE("a session that has paused is left to others; one that serves again can be ended, and paused") {
    fake_mount mount(4);
    mount.serve();
    REQUIRE(mount.loop->pause(in(10s), nobody_else));
    CHECK_FALSE(mount.loop->forbid_pause());
    CHECK(mount.served() == serve_end::paused);
    mount.serve();
    mount.ask(FUSE_STATFS, quick, 10);
    CHECK(mount.answered() == 10);
    CHECK(mount.loop->pause(in(10s), nobody_else));
    CHECK(mount.served() == serve_end::paused);
    mount.serve();
    mount.ask(FUSE_STATFS, quick, 11);
    CHECK(mount.answered() == 11);
    CHECK(mount.loop->forbid_pause());
    mount.loop->leave();
    CHECK(mount.served() == serve_end::unmounted);
}

TEST_CASE("while somebody waits for the kernel a session that pauses takes its writes, and keeps what would have no end") {
    fake_mount mount(4);
    mount.serve();
    const bool paused = mount.loop->pause(in(10s), [&](session_loop::time_point) {
        const session_loop::kernel_wait wait(*mount.loop);
        mount.seek(10);
        mount.ask(FUSE_STATFS, quick, 11);
        mount.seek(12);
        return mount.answered() == 11;
    });
    CHECK(paused);
    CHECK(mount.served() == serve_end::paused);
    const auto kept = mount.loop->take_kept();
    REQUIRE(!kept.empty());  // the last may wait unread
    mount.loop->begin_with(kept);
    mount.serve();
    CHECK(mount.answered() + mount.answered() == 10 + 12);
    CHECK(mount.measured("lseek", 2));
}

TEST_CASE("what a session kept for a pause that failed is answered") {
    fake_mount mount(1);
    mount.serve();
    const bool paused = mount.loop->pause(in(10s), [&](session_loop::time_point) {
        const session_loop::kernel_wait wait(*mount.loop);
        mount.seek(10);
        mount.ask(FUSE_STATFS, quick, 11);
        return mount.answered() != 11;
    });
    CHECK_FALSE(paused);
    CHECK(mount.answered() == 10);
    CHECK(mount.measured("lseek", 1));
    mount.ask(FUSE_STATFS, quick, 12);
    CHECK(mount.answered() == 12);
}
