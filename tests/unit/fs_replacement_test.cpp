#include "local_socket.hpp"
#include "replacing.hpp"
#include "snapshots/numbering.hpp"

#include <core/wire/codec.hpp>

#include <catch2/catch.hpp>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <thread>

using namespace cess;
using namespace cess::fs;
using namespace cess::fs::program;
using namespace std::chrono_literals;

namespace {

replacement::message full_message() {
    replacement::handed out;
    out.agreed = {bytes(104, std::byte{1}), bytes(64, std::byte{2})};
    out.held.inodes = {{inode_number{1}, 7}, {inode_number{99}, 1}};
    out.held.files = {{3, inode_number{99}, true, true, false}, {5, snapshots_directory, false, true, true}};
    out.held.snapshots = {{sequence_number{}, snapshot_number{4}}, {sequence_number{77}, snapshot_number{3}}};
    out.requests = {bytes(48, std::byte{3}), bytes(60, std::byte{4})};
    return out;
}

std::pair<local_peer, local_peer> conversation() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    auto a = local_peer::over(descriptor(ends[0])), b = local_peer::over(descriptor(ends[1]));
    REQUIRE(a.has_value());
    REQUIRE(b.has_value());
    return {std::move(*a), std::move(*b)};
}

result<program::options> parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "cessfs");
    return program::parse(static_cast<int>(arguments.size()), arguments.data());
}

}  // namespace

TEST_CASE("messages of a replacement come through as they were; cut short, longer or twisted they are refused") {
    replacement::offer offered;
    offered.program = "1";
    offered.volume = "home";
    offered.words = {"nosuid", "noexec"};
    offered.cache_size = 1 * GiB;
    const replacement::message all[] = {replacement::hello{replacement::version, "1"}, replacement::refused{"no"}, offered, replacement::take{},
                                        full_message(), replacement::attached{}, replacement::yours{}};
    for (const auto& sent : all) {
        const auto text = wire::encode(sent);
        const auto read = wire::decode<replacement::message>(text);
        REQUIRE(read.has_value());
        CHECK(wire::encode(*read) == text);
        for (std::size_t n = 0; n < text.size(); ++n) CHECK_FALSE(wire::decode<replacement::message>(byte_view(text).first(n)).has_value());
        auto longer = text;
        longer.push_back(std::byte{0});
        CHECK_FALSE(wire::decode<replacement::message>(longer).has_value());
        for (std::size_t at = 0; at < text.size(); ++at) {  // whatever it is, it is bounded and does no harm
            auto twisted = text;
            twisted[at] ^= std::byte{0xff};
            (void)wire::decode<replacement::message>(twisted);
        }
    }
    CHECK_FALSE(wire::decode<replacement::message>(bytes{std::byte{7}}).has_value());
}

TEST_CASE("who is of another version is understood all the same") {
    CHECK(to_hex(wire::encode(replacement::message(replacement::hello{2, "ab"}))) == "0002000000020000006162");
    CHECK(to_hex(wire::encode(replacement::message(replacement::refused{"no"}))) == "01020000006e6f");
}

TEST_CASE("a mount's options survive its replacement, but for those that change") {
    auto running = parse({"home@one", "/mnt", "-o", "ro,strictatime,noacl,nosnapdir,nostats,metrics=:9,allow_other,nosuid,cache-size=256M,attr-timeout=1.5,durability=local,log=/a,conf=/c"});
    REQUIRE(running.has_value());
    const auto told = replacement::from_offer(replacement::to_offer(*running), "/mnt");
    REQUIRE(told.has_value());
    CHECK(replacement::to_offer(*told) == replacement::to_offer(*running));
    CHECK(told->attr_timeout == 1.5);
    CHECK(told->access_times == access_times::strict);
    CHECK_FALSE(told->acls);
    CHECK_FALSE(told->snapshots);
    CHECK_FALSE(told->stats);
    CHECK(told->metrics == ":9");

    const auto called = parse({"--replace", "/mnt", "-o", "cache-size=1G,durability=remote,relatime", "-olog=/b"});
    REQUIRE(called.has_value());
    const auto next = with_changes(*told, called->changes);
    REQUIRE(next.has_value());
    CHECK(next->cache_size == 1 * GiB);
    CHECK(next->log_file == "/b");
    CHECK(next->access_times == access_times::relative);
    CHECK_FALSE(next->acls);
    CHECK(next->durability == volume::durability::remote);
    CHECK(next->read_only);
    CHECK(next->volume == "home@one");
    CHECK(next->words == std::vector<std::string>{"nosuid"});

    auto lie = replacement::to_offer(*running);
    lie.attr_timeout_us = ~std::uint64_t{0};
    CHECK_FALSE(replacement::from_offer(lie, "/mnt").has_value());
    lie = replacement::to_offer(*running);
    lie.access_times = 3;
    CHECK_FALSE(replacement::from_offer(lie, "/mnt").has_value());
}

TEST_CASE("what the kernel was told at the mount cannot change with a replacement") {
    for (const char* wrong : {"ro", "rw", "acl", "noacl", "nosnapdir", "allow_other", "nosuid", "force", "conf=/c", "nonsense", "cache-size=12", "cache-size=256M,ro", "x-y", ""}) {
        INFO(wrong);
        CHECK_FALSE(parse({"--replace", "/mnt", "-o", wrong}).has_value());
    }
    CHECK_FALSE(parse({"--replace"}).has_value());
    CHECK_FALSE(parse({"--replace", "home", "/mnt"}).has_value());
}

TEST_CASE("letters between processes are whole, bounded and in time, and bring open files along") {
    auto [a, b] = conversation();
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    const descriptor in(pipe[0]);
    descriptor out(pipe[1]);
    const bytes large(3 * MiB, std::byte{5});
    std::thread sender([&, &to = a] { CHECK(to.send(large, {out.get()}, 10s).has_value()); });
    auto letter = b.receive(4 * MiB, 10s);
    sender.join();
    REQUIRE(letter.has_value());
    CHECK(letter->text == large);
    REQUIRE(letter->files.size() == 1);
    out.reset();
    CHECK(::write(letter->files[0].get(), "x", 1) == 1);
    char got = 0;
    CHECK(::read(in.get(), &got, 1) == 1);

    CHECK(b.receive(100, 20ms).error().code == errc::timeout);
    REQUIRE(a.send(large, {}, 0ms).has_value() == false);  // nobody reads: it does not fit
    CHECK(b.receive(100, 1s).error().code == errc::protocol);
}

TEST_CASE("who stops receiving gets what was sent before, and the sender of what comes later hears that it did not arrive") {
    auto [a, b] = conversation();
    REQUIRE(a.send(as_view("before"), {}, 1s).has_value());
    b.stop_receiving();
    CHECK(a.send(as_view("after"), {}, 1s).error().code == errc::unavailable);
    CHECK(b.receive(100, 0ms)->text == to_bytes(as_view("before")));
    CHECK_FALSE(b.receive(100, 0ms).has_value());
}

TEST_CASE("who listens no more takes the socket away, but not that of who took its place") {
    const auto path = "/tmp/cess-replacement-test-" + std::to_string(::getpid());
    std::optional<local_listener> first, second;
    const auto open = [&](std::optional<local_listener>& at) {
        auto opened = local_listener::open(path);
        REQUIRE(opened.has_value());
        at.emplace(std::move(*opened));
    };
    open(first);
    open(second);
    first.reset();
    CHECK(local_peer::connect(path).has_value());
    second.reset();
    CHECK(::access(path.c_str(), F_OK) != 0);
    CHECK(local_peer::connect(path).error().code == errc::not_found);
}

TEST_CASE("who is another user is not listened to, not even where he finds the socket") {
    if (::geteuid() != 0) return;
    const auto path = "/tmp/cess-replacement-test-" + std::to_string(::getpid());
    auto door = local_listener::open(path);
    REQUIRE(door.has_value());
    REQUIRE(::chmod(path.c_str(), 0666) == 0);
    const pid_t other = ::fork();
    if (other == 0) {
        constexpr uid_t nobody = 65534;
        if (::setuid(nobody) != 0) ::_exit(1);
        ::_exit(local_peer::connect(path).error().code == errc::permission ? 0 : 2);  // nor does he listen to root
    }
    CHECK(door->accept(10s).error().code == errc::permission);
    int status = 0;
    REQUIRE(::waitpid(other, &status, 0) == other);
    CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a daemon whose mount ends does not wait for who has come and says nothing") {
    const auto path = "/tmp/cess-replacement-test-" + std::to_string(::getpid());
    std::optional<replacement_door> door;
    door.emplace(path, program::options(), [] { return result<void>(); });
    const auto silent = local_peer::connect(path);
    REQUIRE(silent.has_value());
    std::this_thread::sleep_for(300ms);  // it is let in
    const auto begun = std::chrono::steady_clock::now();
    CHECK_FALSE(door->taker().has_value());
    CHECK(std::chrono::steady_clock::now() - begun < 2s);
}

TEST_CASE("who has gone is noticed, after what it said last") {
    auto [a, b] = conversation();
    REQUIRE(a.send(as_view("last"), {}, 1s).has_value());
    { const auto ends = std::move(a); }
    CHECK(b.gone());
    CHECK(b.receive(100, 1s)->text == to_bytes(as_view("last")));
    CHECK(b.receive(100, 1s).error().code == errc::unavailable);
    CHECK(b.send(as_view("?"), {}, 1s).error().code == errc::unavailable);
}
