#include "support/fs_random.hpp"
#include "support/memory_volume.hpp"

#include <catch2/catch.hpp>

using namespace cess;

namespace {

class memory_world final : public testing::fs_world {
public:
    volume::volume& volume() override { return m_volume; }
    void crash(random_source& random) override { m_volume.crash(random); }
    void reopen() override { m_volume.crash_to(m_volume.volatile_changes()); }
    bool refuse_next_change() override {
        m_volume.fail_at(1, errc::no_space);
        return true;
    }
    void allow_changes() override { m_volume.fail_at(0, errc::ok); }

private:
    testing::memory_volume m_volume;
};

}  // namespace

TEST_CASE("random operations, refused changes and crashes leave what POSIX says") {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        INFO("seed " << seed);
        memory_world world;
        testing::random_run how;
        how.seed = seed;
        how.operations = 1500;
        how.crashes = 12;
        CHECK_NOTHROW(testing::run_randomly(world, how));
    }
}

TEST_CASE("quotas come and go under random operations, refusals and crashes, and count what is there") {
    for (std::uint64_t seed = 21; seed <= 32; ++seed) {
        INFO("seed " << seed);
        memory_world world;
        testing::random_run how;
        how.seed = seed;
        how.operations = 1500;
        how.crashes = 12;
        how.quotas = true;
        CHECK_NOTHROW(testing::run_randomly(world, how));
    }
}
