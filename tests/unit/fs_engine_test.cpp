#include "support/fs_random.hpp"
#include "support/memory_layer.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>

using namespace cess;

namespace {

// The real engine; the network below it is in memory.
class engine_world final : public testing::fs_world {
public:
    engine_world() {
        m_network.create_volume("home", ledger::volume_type::filesystem);
        open();
    }
    volume::volume& volume() override { return *m_volume; }
    void crash(random_source& random) override {
        m_network.crash(random.below(50));
        m_volume.reset();
        open();
    }
    void reopen() override {
        if (const auto closed = m_volume->close(); !closed) throw std::runtime_error("close: " + closed.error().message());
        m_volume.reset();
        open();
    }

private:
    void open() {
        volume::settings how;
        how.append_idle = std::chrono::milliseconds(5);
        auto opened = m_network.open("home", how);
        if (!opened) throw std::runtime_error("open: " + opened.error().message());
        m_volume = std::move(*opened);
    }
    support::memory_network m_network;
    std::unique_ptr<volume::volume> m_volume;
};

}  // namespace

TEST_CASE("random operations and crashes over the real engine leave what POSIX says") {
    for (std::uint64_t seed = 100; seed < 103; ++seed) {
        INFO("seed " << seed);
        engine_world world;
        testing::random_run how;
        how.seed = seed;
        how.operations = 1200;
        how.crashes = 10;
        how.refuse = false;
        how.quotas = seed % 2 == 0;
        CHECK_NOTHROW(testing::run_randomly(world, how));
    }
}
