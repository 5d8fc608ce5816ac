// The validator with threads, RocksDB and a real disk.
#include <support/chain_process.hpp>

#include <catch2/catch.hpp>

#include <filesystem>
#include <thread>

using namespace cess;
using test::chain_process;

namespace {

struct scratch {
    scratch() : path((std::filesystem::temp_directory_path() / ("cess-validator-" + hash256::from(bytes(32, std::byte{1})).brief())).string() + std::to_string(::getpid())) {
        std::filesystem::remove_all(path);
    }
    ~scratch() { std::filesystem::remove_all(path); }
    std::string path;
};

bool present(chain_process& on, const std::string& name) {
    const auto read = net::wait(on.world, on.client->read(ledger::key::volume(chain_process::creation(name).id), on.world.now() + std::chrono::seconds(10)));
    return read && read->value.has_value();
}

}  // namespace

TEST_CASE("many clients at once, a clean restart, and a copy taken without one, all have everything") {
    scratch at;
    chain_process on(at.path + "/a");
    REQUIRE(on.start().has_value());
    std::atomic<int> failed{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 20; ++i)
                if (!on.submit(chain_process::creation("v" + std::to_string(t) + "." + std::to_string(i)))) ++failed;
        });
    for (auto& t : threads) t.join();
    CHECK(failed == 0);
    const auto before = wire::encode(on.node->certificate());
    std::filesystem::copy(at.path + "/a", at.path + "/b", std::filesystem::copy_options::recursive);  // as kill -9 leaves it
    std::filesystem::remove(at.path + "/b/state/LOCK");
    on.stop();
    REQUIRE(on.start().has_value());
    CHECK(wire::encode(on.node->certificate()) == before);
    CHECK(present(on, "v7.19"));
    chain_process killed(at.path + "/b");
    REQUIRE(killed.start().has_value());
    CHECK(wire::encode(killed.node->certificate()) == before);
    for (int t = 0; t < 8; ++t)
        for (int i = 0; i < 20; ++i) CHECK(present(killed, "v" + std::to_string(t) + "." + std::to_string(i)));
    CHECK(killed.submit(chain_process::creation("more")).has_value());
    const auto again = killed.submit(chain_process::creation("more"));
    CHECK(again.error().code == errc::conflict);
}

TEST_CASE("a second process on the same state is refused in one line") {
    scratch at;
    chain_process on(at.path), other(at.path);
    REQUIRE(on.start().has_value());
    CHECK(other.start().error().code == errc::busy);
}
