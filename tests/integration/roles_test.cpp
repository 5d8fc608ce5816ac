// A whole network in one process, over real sockets and directories.
#include <core/keys/key_file.hpp>
#include <core/net/blocking.hpp>
#include <core/net/real_env.hpp>
#include <core/net/tls_transport.hpp>
#include <node/roles/host.hpp>
#include <node/storage/protocol.hpp>
#include <support/written_committee.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace cess;
using test::scratch;
using test::written_committee;

namespace {

std::unique_ptr<roles::host> start_one(const std::string& conf) {
    auto with = roles::load(conf, roles::overrides());
    REQUIRE(with.has_value());
    auto started = roles::host::start(std::move(*with));
    INFO((started ? std::string() : started.error().message()));
    REQUIRE(started.has_value());
    return std::move(*started);
}

// Files of a network with one consensus node and `miners` storage miners.
struct written_network {
    scratch dir;
    unsigned miners;
    std::string genesis, validator;

    explicit written_network(unsigned n) : miners(n) {
        system_random random;
        std::filesystem::create_directories(dir.path + "/consensus");
        const auto key = keys::read_or_make(os::posix_file_system(), dir.path + "/consensus/node.key", keys::node_kind, random);
        REQUIRE(key.has_value());
        ledger::genesis origin;
        origin.name = "roles test";
        origin.first.members.push_back(key->pub());
        genesis = to_hex(wire::encode(origin));
        net::peer who;
        who.id = crypto::id_of<node_id>(key->pub());
        who.address = "127.0.0.1:" + std::to_string(19000 + random.next() % 900);
        validator = roles::format_peer(who);
        write("consensus", "role = \"consensus\"\ndirectory = \"consensus\"\nlisten = \"" + who.address + "\"\n");
        std::string all = "\"consensus.toml\"";
        for (unsigned i = 1; i <= miners; ++i) {
            const auto name = "storage" + std::to_string(i);
            write(name, "role = \"storage\"\ndirectory = \"" + name + "\"\ncapacity = \"256MiB\"\ndisk_reserve = 0\n");
            all += ", \"" + name + ".toml\"";
        }
        std::ofstream(dir.path + "/all.toml") << "metrics = \"127.0.0.1:0\"\nnodes = [" << all << "]\n";
    }
    void write(const std::string& name, const std::string& text) const {
        std::ofstream(dir.path + "/" + name + ".toml") << text << "genesis = \"" << genesis << "\"\nvalidators = [\"" << validator << "\"]\n";
    }
    [[nodiscard]] std::unique_ptr<roles::host> start() const { return start_one(dir.path + "/all.toml"); }
};

void wait_until_registered(const roles::host& on) {
    for (int i = 0; i < 600; ++i) {
        bool all = true;
        for (const auto& n : on.nodes()) all = all && n.registered;
        if (all) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    FAIL("not all nodes are registered after 30 s");
}

}  // namespace

TEST_CASE("a committee over TLS goes on without a member, and takes it in again") {
    const written_committee files;
    std::vector<std::unique_ptr<roles::host>> members;
    for (unsigned i = 0; i < 4; ++i) members.push_back(start_one(files.conf(i)));
    for (const auto& m : members) wait_until_registered(*m);

    net::real_env world(1);
    metrics count;
    system_random random;
    const auto caller = net::make_tls_caller(world, crypto::signing_key::generate(random), net::tls_limits(), count);
    const auto with = roles::load(files.conf(0), roles::overrides());
    REQUIRE(with.has_value());
    const auto network = roles::network_of(with->nodes.at(0));
    REQUIRE(network.has_value());
    const auto ledger = chain::make_client(world, *caller, *network);
    const chain::account account{crypto::signing_key::generate(random), {}};
    const auto create = [&](const std::string& name) {
        ledger::create_volume what;
        what.name = name;
        what.id = volume_id::from(crypto::sha256(as_view(name)).view());
        what.block_size = 4096;
        what.geometry = {2, 1};
        return net::wait(world, ledger->submit(account, ledger::action(what), world.now() + std::chrono::seconds(30)));
    };
    CHECK(create("a").has_value());
    members[1].reset();
    for (const auto* name : {"b", "c", "d"}) CHECK(create(name).has_value());
    members[1] = start_one(files.conf(1));
    wait_until_registered(*members[1]);
    auto alone = *network;
    alone.validators = {network->validators[1]};
    const auto of_it = chain::make_client(world, *caller, alone);
    const auto there = [&] {
        const auto volumes = net::wait(world, of_it->volumes(account.id(), world.now() + std::chrono::seconds(5)));
        return volumes && volumes->size() == 4;
    };
    for (int i = 0; i < 300 && !there(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    CHECK(there());
}

TEST_CASE("a member of a committee does not start without its part of the coin") {
    const written_committee files;
    std::filesystem::remove(files.dir.path + "/2/coin.key");
    auto with = roles::load(files.conf(2), roles::overrides());
    REQUIRE(with.has_value());
    const auto started = roles::host::start(std::move(*with));
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().message().find("coin.key") != std::string::npos);
}

TEST_CASE("a network of one process registers its nodes, answers over TLS, and is the same network after a restart") {
    const written_network files(3);
    std::vector<node_id> first;
    for (int round = 0; round < 2; ++round) {
        const auto host = files.start();
        wait_until_registered(*host);
        CHECK_FALSE(host->metrics_address().empty());

        net::real_env world(1);
        metrics count;
        system_random random;
        const auto identity = crypto::signing_key::generate(random);
        const auto caller = net::make_tls_caller(world, identity, net::tls_limits(), count);
        const auto with = roles::load(files.dir.path + "/consensus.toml", roles::overrides());
        REQUIRE(with.has_value());
        const auto network = roles::network_of(with->nodes.at(0));
        REQUIRE(network.has_value());
        const auto ledger = chain::make_client(world, *caller, *network);
        const auto nodes = net::wait(world, ledger->nodes(world.now() + std::chrono::seconds(5)));
        REQUIRE(nodes.has_value());
        CHECK(nodes->size() == 4);  // also after the restart: the miners' ports changed, the nodes did not
        std::vector<node_id> ids;
        for (const auto& n : *nodes) {
            ids.push_back(n.id);
            if (n.role != ledger::node_role::storage) continue;
            CHECK(n.offered == 256 * MiB);
            net::peer to;
            to.id = n.id;
            to.address = n.address;
            storage::hello_request hello;
            hello.network = ledger::id_of(network->origin);
            const auto answered = net::wait(world, net::call_typed<storage::hello_reply>(*caller, to, storage::method::hello, hello, {},
                                                                                        world.now() + std::chrono::seconds(5), net::lane::control));
            REQUIRE(answered.has_value());
            CHECK(answered->message.capacity == 256 * MiB);
        }
        std::sort(ids.begin(), ids.end());
        if (round == 0) first = ids;
        else CHECK(ids == first);
        host->stop();
    }
}

TEST_CASE("a directory belongs to one process at a time") {
    const written_network files(1);
    const auto host = files.start();
    auto again = roles::load(files.dir.path + "/all.toml", roles::overrides());
    REQUIRE(again.has_value());
    CHECK(roles::host::start(std::move(*again)).has_error());
    host->stop();
}

TEST_CASE("a wrong configuration of a node is one clear line") {
    const written_network files(1);
    const auto refusal = [&](const std::string& text) {
        files.write("wrong", text);
        const auto loaded = roles::load(files.dir.path + "/wrong.toml", roles::overrides());
        return loaded ? std::string() : loaded.error().what;
    };
    CHECK(refusal("role = \"cache\"\n").find("expected storage or consensus") != std::string::npos);
    CHECK(refusal("role = \"storage\"\n").find("directory is missing") != std::string::npos);
    CHECK(refusal("role = \"storage\"\ndirectory = \"x\"\n").find("capacity is missing") != std::string::npos);
    CHECK(refusal("role = \"storage\"\ndirectory = \"x\"\ncapacity = \"2XB\"\n").find("unknown unit") != std::string::npos);
    CHECK(roles::load("/nonexistent.toml", roles::overrides()).has_error());
    roles::overrides over;
    over.role = "storage";
    CHECK(roles::load(files.dir.path + "/all.toml", over).has_error());
}
