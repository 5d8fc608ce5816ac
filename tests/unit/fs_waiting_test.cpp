#include "fuse/device.hpp"

#include <catch2/catch.hpp>

#include <linux/fuse.h>

#include <atomic>
#include <cstring>
#include <future>
#include <thread>

using namespace cess;
using namespace cess::fs;
using namespace std::chrono_literals;

namespace {

auto in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

bytes request_of(std::uint32_t opcode, inode_number ino) {
    fuse_in_header head{};
    bytes out(sizeof head + 16);
    head.len = static_cast<std::uint32_t>(out.size());
    head.opcode = opcode;
    head.nodeid = ino.value;
    std::memcpy(out.data(), &head, sizeof head);
    return out;
}

}  // namespace

TEST_CASE("a line that was drained has done all that stood in it, and takes more") {
    waiting_line line;
    CHECK(line.drain(in(0ms)));
    std::atomic<int> done{0};
    for (int round = 1; round <= 3; ++round) {
        for (int i = 0; i < 20; ++i)
            REQUIRE(line.add([&] {
                std::this_thread::sleep_for(1ms);
                ++done;
            }));
        CHECK(line.drain(in(10s)));
        CHECK(done == round * 20);
    }
}

TEST_CASE("a line that takes longer says so, and goes on") {
    waiting_line line;
    std::promise<void> go;
    std::atomic<bool> done{false};
    REQUIRE(line.add([&] {
        go.get_future().wait();
        done = true;
    }));
    CHECK_FALSE(line.drain(in(20ms)));
    CHECK_FALSE(done);
    go.set_value();
    CHECK(line.drain(in(10s)));
    CHECK(done);
}

TEST_CASE("what is under way elsewhere is waited for") {
    in_flight all;
    CHECK(all.wait_for_none(in(0ms)));
    auto one = std::make_unique<in_flight::one>(all);
    auto other = std::make_unique<in_flight::one>(all);
    one.reset();
    CHECK_FALSE(all.wait_for_none(in(10ms)));
    std::thread ends([&] { other.reset(); });
    CHECK(all.wait_for_none(in(10s)));
    ends.join();
}

TEST_CASE("a thread answers where it was told to, and afterwards where it did before") {
    const auto clone = std::make_shared<const descriptor>();
    CHECK(at_device::here() == nullptr);
    {
        const at_device there(clone);
        CHECK(at_device::here() == clone);
        std::thread([] { CHECK(at_device::here() == nullptr); }).join();
        {
            const at_device back(nullptr);
            CHECK(at_device::here() == nullptr);
        }
        CHECK(at_device::here() == clone);
    }
    CHECK(at_device::here() == nullptr);
    CHECK(clone.use_count() == 1);
}

TEST_CASE("requests that may wait for pages or snapshots are told from those that a mount needs to let them end") {
    const inode_number head{77}, snapshot = outward(snapshot_number{3}, {77});
    for (const std::uint32_t waits : {FUSE_LSEEK, FUSE_RENAME, FUSE_RENAME2}) CHECK(goes_elsewhere(request_of(waits, head)));
    for (const std::uint32_t asked : {FUSE_LOOKUP, FUSE_GETATTR, FUSE_OPEN, FUSE_READ, FUSE_READDIR, FUSE_READDIRPLUS, FUSE_MKDIR, FUSE_RMDIR}) {
        CHECK(goes_elsewhere(request_of(asked, snapshot)));
        CHECK_FALSE(goes_elsewhere(request_of(asked, head)));
    }
    for (const std::uint32_t here : {FUSE_WRITE, FUSE_FLUSH, FUSE_RELEASE, FUSE_FORGET, FUSE_BATCH_FORGET, FUSE_INIT, FUSE_INTERRUPT, FUSE_SETATTR}) {
        CHECK_FALSE(goes_elsewhere(request_of(here, head)));
        CHECK_FALSE(goes_elsewhere(request_of(here, snapshot)));
    }
    auto cut = request_of(FUSE_LSEEK, head);
    cut.pop_back();
    CHECK_FALSE(goes_elsewhere(cut));
    CHECK_FALSE(goes_elsewhere({}));
}
