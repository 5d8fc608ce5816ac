#include "mount/mountinfo.hpp"
#include "mount/run_file.hpp"
#include "options.hpp"

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::fs;

namespace {

result<program::options> parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "cessfs");
    return program::parse(static_cast<int>(arguments.size()), arguments.data());
}

}  // namespace

TEST_CASE("options are read in mount's own words") {
    const auto o = parse({"home", "/mnt", "-o", "rw,noatime,allow_other,nosuid,conf=/c,cache-size=256M,attr-timeout=1.5,nofail,_netdev,x-systemd.automount,user"});
    REQUIRE(o.has_value());
    CHECK(o->volume == "home");
    CHECK(o->directory == "/mnt");
    CHECK(o->conf == "/c");
    CHECK(o->cache_size == 256 * MiB);
    CHECK(o->attr_timeout == 1.5);
    CHECK(o->allow_other);
    CHECK(o->access_times == access_times::never);
    CHECK(parse({"v", "/m"})->access_times == access_times::relative);
    CHECK(parse({"v", "/m", "-o", "noatime,strictatime"})->access_times == access_times::strict);
    CHECK(o->words == std::vector<std::string>{"nosuid"});
}

TEST_CASE("fsync waits for the miners unless it is told otherwise") {
    CHECK(parse({"v", "/m"})->durability == volume::durability::remote);
    CHECK(parse({"v", "/m", "-o", "durability=remote"})->durability == volume::durability::remote);
    CHECK(parse({"v", "/m", "-o", "durability=local"})->durability == volume::durability::local);
}

TEST_CASE("snapshots are shown unless the mount is told otherwise") {
    CHECK(parse({"v", "/m"})->snapshots);
    CHECK_FALSE(parse({"v", "/m", "-o", "nosnapdir"})->snapshots);
}

TEST_CASE("metrics are shown in .stats unless the mount is told otherwise, and served where it is told to") {
    CHECK(parse({"v", "/m"})->stats);
    CHECK(parse({"v", "/m"})->metrics.empty());
    CHECK_FALSE(parse({"v", "/m", "-o", "nostats"})->stats);
    CHECK(parse({"v", "/m", "-o", "metrics=127.0.0.1:9100"})->metrics == "127.0.0.1:9100");
    CHECK_FALSE(parse({"v", "/m", "-o", "metrics"}).has_value());
}

TEST_CASE("the later of ro and rw counts") {
    CHECK(parse({"v", "/m", "-o", "ro", "-o", "rw"})->read_only == false);
    CHECK(parse({"v", "/m", "-oro"})->read_only == true);
}

TEST_CASE("ACLs are on unless the later of acl and noacl says otherwise") {
    CHECK(parse({"v", "/m"})->acls);
    CHECK_FALSE(parse({"v", "/m", "-o", "acl,noacl"})->acls);
    CHECK(parse({"v", "/m", "-o", "noacl", "-o", "acl"})->acls);
}

TEST_CASE("what cessfs does not understand is refused by name") {
    for (const char* wrong : {"nonsense", "cache-size=12", "cache-size=2X", "attr-timeout=-1", "attr-timeout=soon", "entry-timeout=nan", "conf", "ro=1", "acl=1", "durability=soon"}) {
        INFO(wrong);
        const auto o = parse({"v", "/m", "-o", wrong});
        CHECK_FALSE(o.has_value());
    }
    CHECK_FALSE(parse({"v"}).has_value());
    CHECK_FALSE(parse({"v", "/m", "/n"}).has_value());
    CHECK_FALSE(parse({"v", "/m", "-x"}).has_value());
    CHECK_FALSE(parse({"v", "/m", "-o"}).has_value());
}

TEST_CASE("mountinfo is read with its escapes, and the topmost mount found") {
    const auto rows = parse_mountinfo(
        "22 1 0:21 / /proc rw - proc proc rw\n"
        "90 1 0:44 / /mnt/a\\040b rw,relatime shared:7 - fuse.cessfs home rw,user_id=0\n"
        "rubbish\n"
        "91 90 0:45 / /mnt/a\\040b rw - fuse.cessfs other rw\n");
    REQUIRE(rows.size() == 3);
    const auto found = find_mount(rows, "/mnt/a b");
    REQUIRE(found.has_value());
    CHECK(found->source == "other");
    CHECK(found->minor == 45);
    CHECK(found->type == mount_type);
    CHECK_FALSE(find_mount(rows, "/mnt").has_value());
}

TEST_CASE("a daemon that ends late does not take the run file of the mount that has its number by now") {
    using namespace std::chrono_literals;
    constexpr unsigned minor = 0x7fffff01;  // of no mount
    auto first = run_file::create(minor);
    REQUIRE(first.has_value());
    auto second = run_file::create(minor);
    REQUIRE(second.has_value());
    first->reset();
    auto waited = run_file_watch::open(minor).wait(50ms);
    REQUIRE(!waited.has_value());
    CHECK(waited.error().code == errc::timeout);  // it runs
    second->reset();
    CHECK(run_file_watch::open(minor).wait(50ms).has_value());
}

TEST_CASE("who waits for a daemon waits for the one that replaces it, too") {
    using namespace std::chrono_literals;
    constexpr unsigned minor = 0x7fffff02;  // of no mount
    auto first = run_file::create(minor);
    REQUIRE(first.has_value());
    const auto watch = run_file_watch::open(minor);
    auto second = run_file::adopt(descriptor(::dup((*first)->descriptor_to_lend())), minor);
    (*first)->handed_over();
    (*first)->ended({});  // it says nothing of the mount any more
    first->reset();
    CHECK(watch.wait(50ms).error().code == errc::timeout);
    CHECK(run_file_watch::open(minor).wait(50ms).error().code == errc::timeout);  // its name stays, too
    second.reset();
    CHECK(watch.wait(50ms).error().code == errc::io);  // nobody said that all is durable
    CHECK(run_file_watch::open(minor).wait(50ms).has_value());
}
