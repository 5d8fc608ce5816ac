// The client runtime over a whole network in this process: real sockets, real directories, real engine.
#include "memory_budget.hpp"
#include "owner_client.hpp"
#include "working_directory.hpp"

#include <core/keys/key_file.hpp>
#include <core/net/blocking.hpp>
#include <core/net/real_env.hpp>
#include <core/net/tls_transport.hpp>
#include <node/roles/host.hpp>
#include <objectstore/client/account_file.hpp>
#include <objectstore/client/client.hpp>

#include <catch2/catch.hpp>

#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace cess;
namespace fs = std::filesystem;

namespace {

struct scratch {
    std::string path;
    scratch() {
        std::string pattern = (fs::temp_directory_path() / "cess-client-XXXXXX").string();
        path = ::mkdtemp(pattern.data());
    }
    ~scratch() { fs::remove_all(path); }
};

template <class T>
T must(result<T> r) {
    INFO((r ? std::string("fine") : r.error().message()));
    REQUIRE(r.has_value());
    return std::move(*r);
}
void must(const result<void>& r) {
    INFO((r ? std::string("fine") : r.error().message()));
    REQUIRE(r.has_value());
}

// One validator, four miners, and the files of one account.
struct house {
    scratch dir;
    system_random random;
    std::string network_lines;
    std::unique_ptr<roles::host> host;

    house() {
        fs::create_directories(dir.path + "/consensus");
        const auto key = must(keys::read_or_make(os::posix_file_system(), dir.path + "/consensus/node.key", keys::node_kind, random));
        ledger::genesis origin;
        origin.name = "client test";
        origin.first.members.push_back(key.pub());
        net::peer who;
        who.id = crypto::id_of<node_id>(key.pub());
        who.address = "127.0.0.1:" + std::to_string(20000 + random.next() % 9000);
        network_lines = "genesis = \"" + to_hex(wire::encode(origin)) + "\"\nvalidators = [\"" + roles::format_peer(who) + "\"]\n";
        write("consensus", "role = \"consensus\"\ndirectory = \"consensus\"\nlisten = \"" + who.address + "\"\n");
        std::string all = "\"consensus.toml\"";
        for (unsigned i = 1; i <= 4; ++i) {
            const auto name = "storage" + std::to_string(i);
            write(name, "role = \"storage\"\ndirectory = \"" + name + "\"\ncapacity = \"8GiB\"\ndisk_reserve = 0\nfree_horizon = \"1s\"\n");
            all += ", \"" + name + ".toml\"";
        }
        std::ofstream(dir.path + "/all.toml") << "nodes = [" << all << "]\n";
        for (const char* account : {"owner", "stranger"}) {
            must(keys::read_or_make(os::posix_file_system(), dir.path + "/" + account + ".key", keys::account_kind, random));
            write(account, std::string("directory = \"client\"\naccount = \"") + account + ".key\"\nmemory = \"256MiB\"\n" +
                               "deadlines.owner_silence = \"2s\"\n");
        }
        host = must(roles::host::start(must(roles::load(dir.path + "/all.toml", roles::overrides()))));
        for (int i = 0; i < 600 && !registered(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
        REQUIRE(registered());
    }
    ~house() { host->stop(); }
    [[nodiscard]] bool registered() const {
        for (const auto& n : host->nodes())
            if (!n.registered) return false;
        return true;
    }
    void write(const std::string& name, const std::string& text) const { std::ofstream(dir.path + "/" + name + ".toml") << text << network_lines; }
    [[nodiscard]] std::unique_ptr<client::runtime> runtime(const std::string& account = "owner") const {
        return must(client::runtime::start(must(client::load_config(dir.path + "/" + account + ".toml"))));
    }
};

client::volume_spec spec(const std::string& name, ledger::volume_type type = ledger::volume_type::filesystem, std::uint64_t size = 0) {
    client::volume_spec out;
    out.name = name;
    out.type = type;
    out.size = size;
    return out;
}
volume::target target(const std::string& text) { return must(volume::parse_target(text)); }

bytes pattern(std::size_t n, unsigned seed) {
    seeded_random random(seed);
    bytes out(n);
    random.fill(out);
    return out;
}
void write(client::attachment& to, std::uint64_t offset, const bytes& data) {
    volume::change c;
    c.write(1, offset, data);
    must(to.head()->apply(c));
}
bytes read(client::attachment& from, std::uint64_t offset, std::size_t n) {
    bytes out(n);
    must(from.data().read(1, offset, out));
    return out;
}

}  // namespace

TEST_CASE("what was written and detached is there for the next process, and fsck reads it all") {
    house h;
    const auto small = pattern(100'000, 1), large = pattern(5 * MiB, 2);
    {
        auto runtime = h.runtime();
        const auto made = must(runtime->create_volume(spec("data")));
        CHECK(made.name == "data");
        auto attached = must(runtime->attach(target("data"), {}));
        write(*attached, 0, small);
        write(*attached, 1 * GiB, large);
        must(attached->head()->sync());
        must(attached->detach());
    }
    auto runtime = h.runtime();
    auto attached = must(runtime->attach(target("data"), {}));
    CHECK(equal(read(*attached, 0, small.size()), small));
    CHECK(equal(read(*attached, 1 * GiB, large.size()), large));
    must(attached->detach());
    attached.reset();
    std::uint64_t last = 0;
    const auto report = must(runtime->check("data", [&](std::uint64_t done, std::uint64_t) { last = done; }));
    CHECK(report.faults.empty());
    CHECK(report.segments > 0);
    CHECK(last == report.segments);
    CHECK(report.stored_bytes > 5 * MiB);
}

TEST_CASE("an attached volume refuses a second owner and obeys its account's commands, and nobody else's") {
    house h;
    auto first = h.runtime();
    must(first->create_volume(spec("disk", ledger::volume_type::block, 64 * MiB)));
    auto attached = must(first->attach(target("disk"), {}));
    std::uint64_t resized = 0;
    attached->on_resize([&](std::uint64_t size) { resized = size; });
    const auto old = pattern(1 * MiB, 3), fresh = pattern(1 * MiB, 4);
    write(*attached, 0, old);

    auto second = h.runtime();
    const auto refused = second->attach(target("disk"), {});
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::busy);
    CHECK(first->attach(target("disk"), {}).error().code == errc::busy);
    CHECK(second->delete_volume("disk").error().code == errc::busy);

    must(second->create_snapshot(target("disk@before")));
    write(*attached, 0, fresh);
    const auto listed = must(second->snapshots("disk"));
    REQUIRE(listed.size() == 1);
    CHECK(listed[0].name == "before");
    CHECK(second->create_snapshot(target("disk@before")).error().code == errc::exists);
    must(second->resize_volume("disk", 128 * MiB, false));
    CHECK(resized == 128 * MiB);
    CHECK(second->resize_volume("disk", 1 * MiB, false).error().code == errc::invalid);

    // The same command again, from another key, with another account's signature, for another volume: all refused.
    net::real_env world(1);
    metrics count;
    const auto tls = crypto::signing_key::generate(world.random()), other_tls = crypto::signing_key::generate(world.random());
    auto caller = net::make_tls_caller(world, tls, net::tls_limits(), count), other = net::make_tls_caller(world, other_tls, net::tls_limits(), count);
    const auto record = must(second->volume("disk"));
    const auto lease = record.leases.back();
    const net::peer owner{crypto::id_of<node_id>(lease.session), lease.endpoint};
    const auto ask = [&](net::caller& through, net::method_id method, auto message) {
        net::request what;
        what.method = method;
        what.head = wire::encode(message);
        return net::wait(world, through.call(owner, std::move(what), world.now() + std::chrono::seconds(20), net::lane::control));
    };
    const auto command_of = [&](const chain::account& who, const client::owner_challenge& challenge) {
        client::signed_owner_command c;
        c.body.network = first->layer().ledger().trust().network();
        c.body.volume = lease.volume;
        c.body.term = lease.term;
        c.body.owner = lease.session;
        c.body.from = crypto::id_of<node_id>(tls.pub());
        c.body.challenge = challenge;
        c.body.what = client::list_snapshots();
        c.sig = who.key.sign(client::signed_part(c.body));
        return c;
    };
    const auto challenge = must(wire::decode<client::owner_challenge>(must(ask(*caller, client::method::owner_challenge, client::owner_challenge_request())).head));
    const auto good = command_of(first->account(), challenge);
    CHECK(ask(*other, client::method::owner_command, good).error().code == errc::permission);
    CHECK(ask(*caller, client::method::owner_command, command_of(must(client::load_account(h.dir.path + "/stranger.key")), challenge)).error().code == errc::permission);
    auto changed = good;
    changed.body.term = lease.term.next();
    CHECK(ask(*caller, client::method::owner_command, changed).error().code == errc::permission);
    changed = good;
    changed.body.what = client::set_size{1};
    CHECK(ask(*caller, client::method::owner_command, changed).error().code == errc::permission);
    must(ask(*caller, client::method::owner_command, good));
    CHECK(ask(*caller, client::method::owner_command, good).error().code == errc::permission);
    CHECK(ask(*caller, client::method::owner_command, client::owner_challenge()).error().code == errc::protocol);
    caller.reset();
    other.reset();

    must(attached->detach());
    attached.reset();
    auto before = must(second->attach(target("disk@before"), {}));
    CHECK(before->head() == nullptr);
    CHECK(equal(read(*before, 0, old.size()), old));
    auto after = must(second->attach(target("disk"), {}));
    CHECK(equal(read(*after, 0, fresh.size()), fresh));
    must(after->detach());
}

TEST_CASE("who asks an owner that is just gone is told to look again, not that nothing is reachable") {
    house h;
    auto owner = h.runtime(), asker = h.runtime();
    must(owner->create_volume(spec("disk", ledger::volume_type::block, 64 * MiB)));
    auto attached = must(owner->attach(target("disk"), {}));
    const auto lease = must(asker->volume("disk")).leases.back();
    must(attached->detach());
    attached.reset();

    // Who asked whether the owner lives, and was told so before it detached.
    net::real_env world(1);
    metrics count;
    const auto tls = crypto::signing_key::generate(world.random());
    auto caller = net::make_tls_caller(world, tls, net::tls_limits(), count);
    const auto& who = asker->account();
    const client::asking with{world, *caller, who, asker->layer().ledger().trust().network(), crypto::id_of<node_id>(tls.pub()), layer::deadlines()};
    CHECK(net::wait(world, client::ask_owner(with, lease, client::make_snapshot{"late"})).error().code == errc::busy);
    owner.reset();
    CHECK(net::wait(world, client::ask_owner(with, lease, client::make_snapshot{"late"})).error().code == errc::busy);
}

TEST_CASE("an owner that dies is replaced after its silence, and everything acknowledged is there") {
    house h;
    const auto data = pattern(3 * MiB, 5);
    {
        auto runtime = h.runtime();
        must(runtime->create_volume(spec("data")));
        auto attached = must(runtime->attach(target("data"), {}));
        write(*attached, 4096, data);
        must(attached->head()->sync());
        attached.reset();  // no detach: as if the process had died
    }
    auto runtime = h.runtime();
    auto attached = must(runtime->attach(target("data"), {}));
    CHECK(equal(read(*attached, 4096, data.size()), data));
    must(attached->detach());
}

std::vector<std::string> names_of(client::runtime& on, const std::string& volume) {
    std::vector<std::string> out;
    for (const auto& each : must(on.snapshots(volume))) out.push_back(each.name);
    return out;
}

TEST_CASE("a snapshot is shown and renamed, attached or not, but not under a clone") {
    house h;
    const auto runtime = h.runtime(), other = h.runtime();
    must(runtime->create_volume(spec("disk", ledger::volume_type::block, 16 * MiB)));
    must(runtime->create_snapshot(target("disk@a")));
    must(runtime->rename_snapshot(target("disk@a"), "b"));
    CHECK(runtime->rename_snapshot(target("disk@a"), "c").error().code == errc::not_found);
    CHECK(runtime->rename_snapshot(target("disk@b"), "B").error().code == errc::invalid);
    auto attached = must(runtime->attach(target("disk"), {}));
    must(other->create_snapshot(target("disk@c")));
    must(other->rename_snapshot(target("disk@c"), "d"));  // as soon as it is anchored
    must(other->rename_snapshot(target("disk@b"), "c"));
    CHECK(other->rename_snapshot(target("disk@c"), "d").error().code == errc::exists);
    CHECK(names_of(*other, "disk") == std::vector<std::string>{"c", "d"});
    CHECK(attached->head()->create_snapshot("d").error().code == errc::exists);
    must(attached->head()->create_snapshot("b"));
    CHECK(names_of(*other, "disk") == std::vector<std::string>{"c", "d", "b"});
    must(attached->detach());
    CHECK(names_of(*other, "disk") == std::vector<std::string>{"b", "c", "d"});

    const auto before = must(runtime->snapshot(target("disk@d")));
    CHECK(before.info.size == 16 * MiB);
    CHECK(before.info.created_unix != 0);
    CHECK_FALSE(before.info.pending);
    CHECK(before.clones.empty());
    must(runtime->clone(target("disk@d"), "copy"));
    CHECK(must(runtime->snapshot(target("disk@d"))).clones == std::vector<std::string>{"copy"});
    CHECK(runtime->rename_snapshot(target("disk@d"), "e").error().code == errc::busy);
    CHECK(runtime->snapshot(target("disk@e")).error().code == errc::not_found);
    must(runtime->delete_volume("copy"));
    must(runtime->rename_snapshot(target("disk@d"), "e"));
    must(runtime->delete_snapshot(target("disk@e")));
}

TEST_CASE("several volumes are cut at one instant, all or none") {
    house h;
    const auto writer = h.runtime(), second = h.runtime(), asker = h.runtime();
    for (const auto* name : {"a", "b", "c"}) must(writer->create_volume(spec(name, ledger::volume_type::block, 16 * MiB)));
    auto a = must(writer->attach(target("a"), {})), b = must(second->attach(target("b"), {}));  // c by nobody
    const auto bytes_of = [](std::uint64_t number) {
        bytes out(4096);
        std::memcpy(out.data(), &number, sizeof number);
        return out;
    };
    const auto number_in = [](client::attachment& of) {
        std::uint64_t number = 0;
        const auto got = read(of, 0, 4096);
        std::memcpy(&number, got.data(), sizeof number);
        return number;
    };
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> at{0};
    std::thread working([&] {
        for (std::uint64_t n = 1; !stop; at = n++) {
            for (auto* to : {a.get(), b.get()}) {
                volume::change c;
                const auto data = bytes_of(n);
                c.write(1, 0, data);
                if (!to->head()->apply(c)) return;
            }
        }
    });
    std::vector<std::string> taken;
    for (int i = 0; i < 6; ++i) {
        const auto name = "s" + std::to_string(i);
        const auto before = at.load();
        const auto made = asker->create_snapshots({target("b@" + name), target("c@" + name), target("a@" + name)});
        if (!made) stop = true;
        CHECK(made.has_value());
        if (made) taken.push_back(name);
        for (int wait = 0; wait < 1000 && at == before; ++wait) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        CHECK(at != before);  // writing goes on
    }
    const auto refused = asker->create_snapshots({target("a@t"), target("b@s0")});
    CHECK(refused.error().code == errc::exists);
    CHECK(asker->create_snapshots({target("a@t"), target("a@u")}).error().code == errc::invalid);
    CHECK(asker->create_snapshots({target("a@t"), target("none@t")}).error().code == errc::not_found);
    stop = true;
    working.join();
    // One that is made, and one that cannot be: the first goes again.
    must(b->head()->hold_writes(7, std::chrono::seconds(20)));
    CHECK(asker->create_snapshots({target("a@t"), target("b@t")}).error().code == errc::conflict);
    must(b->head()->release_writes(7));
    for (auto* each : {a.get(), b.get()}) must(each->detach());
    for (const auto* name : {"a", "b", "c"}) CHECK(names_of(*asker, name) == taken);
    for (const auto& name : taken) {
        auto of_a = must(asker->attach(target("a@" + name), {})), of_b = must(asker->attach(target("b@" + name), {}));
        const auto first = number_in(*of_a), then = number_in(*of_b);
        INFO(name << " a=" << first << " b=" << then);
        CHECK((first == then || first == then + 1));
    }
}

TEST_CASE("a clone diverges from its snapshot, a flipped byte has a name, and deleting frees") {
    house h;
    auto runtime = h.runtime();
    const auto shared = pattern(4 * MiB, 6), own = pattern(1 * MiB, 7);
    must(runtime->create_volume(spec("base")));
    auto attached = must(runtime->attach(target("base"), {}));
    write(*attached, 0, shared);
    must(attached->detach());
    attached.reset();
    must(runtime->create_snapshot(target("base@one")));  // nobody owns it: opened, done, closed
    must(runtime->clone(target("base@one"), "copy"));
    CHECK(runtime->clone(target("base@two"), "copy2").error().code == errc::not_found);
    CHECK(runtime->clone(target("base@one"), "copy").error().code == errc::exists);
    auto copy = must(runtime->attach(target("copy"), {}));
    write(*copy, 0, own);
    CHECK(equal(read(*copy, 0, own.size()), own));
    CHECK(equal(read(*copy, own.size(), shared.size() - own.size()), bytes(shared.begin() + static_cast<std::ptrdiff_t>(own.size()), shared.end())));
    must(copy->detach());
    copy.reset();
    attached = must(runtime->attach(target("base"), {}));
    CHECK(equal(read(*attached, 0, shared.size()), shared));
    must(attached->detach());
    attached.reset();

    CHECK(must(runtime->check("copy", {})).faults.empty());
    CHECK(must(runtime->check("base", {})).faults.empty());
    CHECK(runtime->delete_snapshot(target("base@one")).error().code == errc::busy);
    CHECK(runtime->delete_volume("base").error().code == errc::not_empty);

    // One byte in the largest fragment of all miners, which is one of what both share; one of them alone may hold none.
    fs::path largest;
    for (const auto& e : fs::recursive_directory_iterator(h.dir.path))
        if (e.is_regular_file() && e.path().string().find("fragment") != std::string::npos && (largest.empty() || e.file_size() > fs::file_size(largest))) largest = e.path();
    REQUIRE_FALSE(largest.empty());
    {
        std::fstream file(largest, std::ios::in | std::ios::out | std::ios::binary);
        const auto middle = static_cast<std::streamoff>(fs::file_size(largest) / 2);
        file.seekg(middle);
        const char c = static_cast<char>(file.get() ^ 1);
        file.seekp(middle);
        file.put(c);
    }
    const auto report = must(runtime->check("copy", {}));
    REQUIRE(report.faults.size() == 1);
    CHECK(report.faults[0].what.code == errc::corrupt);
    auto still = must(runtime->attach(target("base@one"), {}));
    CHECK(equal(read(*still, 0, shared.size()), shared));
    still.reset();

    must(runtime->delete_volume("copy"));
    CHECK(runtime->volume("copy").error().code == errc::not_found);
    must(runtime->delete_snapshot(target("base@one")));
    CHECK(runtime->delete_snapshot(target("base@one")).error().code == errc::not_found);
    must(runtime->rename_volume("base", "renamed"));
    must(runtime->delete_volume("renamed"));
    CHECK(must(runtime->volumes()).empty());
}

TEST_CASE("bad names, sizes, types and unknown things each get one clear refusal and leave nothing") {
    house h;
    auto runtime = h.runtime();
    for (const auto& name : {std::string(""), std::string("a/b"), std::string("../x"), std::string("A"), std::string("a..b"), std::string("a\nb"), std::string(10'000, 'a')})
        CHECK(runtime->create_volume(spec(name)).error().code == errc::invalid);
    CHECK(runtime->create_volume(spec("disk", ledger::volume_type::block, 0)).error().code == errc::invalid);
    CHECK(runtime->create_volume(spec("disk", ledger::volume_type::block, ~std::uint64_t{0})).error().code == errc::invalid);
    CHECK(must(runtime->volumes()).empty());
    must(runtime->create_volume(spec("files")));
    CHECK(runtime->create_volume(spec("files")).error().code == errc::exists);
    CHECK(runtime->attach(target("nothing"), {}).error().code == errc::not_found);
    CHECK(runtime->attach(target("files@nothing"), {}).error().code == errc::not_found);
    client::attach_options wrong;
    wrong.expected = ledger::volume_type::bucket;
    CHECK(runtime->attach(target("files"), wrong).error().code == errc::unsupported);
    client::attach_options read_only;
    read_only.read_only = true;
    CHECK(runtime->attach(target("files"), read_only).error().code == errc::unsupported);
    CHECK(must(h.runtime("stranger")->volumes()).empty());
    CHECK(h.runtime("stranger")->attach(target("files"), {}).error().code == errc::not_found);
}

TEST_CASE("configuration is found in its order, and what is wrong with it is said by name") {
    scratch dir;
    const auto path = dir.path + "/client.toml";
    ::setenv("CESS_CONF", path.c_str(), 1);
    CHECK(must(client::find_config("")) == path);
    CHECK(must(client::find_config("/given")) == "/given");
    ::unsetenv("CESS_CONF");
    const auto refused = [&](const std::string& text) {
        std::ofstream(path) << text;
        const auto loaded = client::load_config(path);
        REQUIRE(loaded.has_error());
        CHECK_THAT(loaded.error().what, Catch::Contains("client.toml"));
    };
    refused("directory = \"d\"\naccount = \"a\"\n");
    refused("directory = \"d\"\naccount = \"a\"\ngenesis = \"zz\"\nvalidators = [\"x\"]\n");
    refused("directory = \"d\"\nunknown = 1\n");
    refused("directory = \"d\"\naccount = \"a\"\nmemory = \"1KiB\"\n");
    CHECK(client::load_config(dir.path + "/none").has_error());
}

TEST_CASE("an account's file must be its owner's alone, and its S3 key follows from it") {
    scratch dir;
    const auto path = dir.path + "/account.key";
    CHECK(client::load_account(path).error().code == errc::not_found);
    bytes seed(32, std::byte{7});
    must(keys::write(os::posix_file_system(), path, keys::account_kind, crypto::secret_key(seed)));
    const auto who = must(client::load_account(path));
    const auto key = client::s3_key_of(who);
    CHECK(key.access.size() == 20);
    CHECK(key.access.substr(0, 4) == "CESS");
    CHECK(key.secret.size() == 44);
    CHECK(key.secret.back() == '=');
    CHECK(client::s3_key_of(must(client::load_account(path))).secret == key.secret);
    ::chmod(path.c_str(), 0644);
    CHECK(client::load_account(path).error().code == errc::permission);
}

TEST_CASE("memory shares stay within the budget, shrink as volumes are attached, and come back") {
    client::memory_budget budget(256 * MiB);
    std::vector<client::memory_budget::share> shares;
    std::uint64_t sum = 0;
    for (;;) {
        auto share = budget.take(client::memory_budget::use::writing);
        if (!share) {
            CHECK(share.error().code == errc::exhausted);
            break;
        }
        volume::settings s;
        share->apply(s);
        CHECK(s.segment_size <= s.buffers_max);
        sum += s.buffers_max + s.metadata_cache + s.memtable;
        shares.push_back(std::move(*share));
        REQUIRE(shares.size() < 100);
    }
    CHECK(shares.size() >= 4);
    CHECK(sum <= 256 * MiB - budget.cache() - budget.moving() + shares.size() * MiB);
    shares.clear();
    CHECK(budget.take(client::memory_budget::use::writing).has_value());
}

TEST_CASE("working folders of the living are kept, those of the dead are swept") {
    scratch dir;
    system_random random;
    auto living = must(client::working_directory::make(dir.path + "/v", random.id<volume_id>(), random));
    const auto state = living->state();
    fs::create_directories(state);
    fs::create_directories(dir.path + "/v/dead/state");
    client::sweep_working_directories(dir.path + "/v");
    CHECK(fs::exists(state));
    CHECK_FALSE(fs::exists(dir.path + "/v/dead"));
    living.reset();
    CHECK_FALSE(fs::exists(state));
}
