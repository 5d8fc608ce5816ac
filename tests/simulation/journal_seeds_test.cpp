// The journal's protocol under random weather, crashes, takeovers and up to m faulty miners, from seeds.
// CESS_SEEDS=n runs n seeds, CESS_SEED=n that one.
#include <support/journal_world.hpp>

#include <core/base/log.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>

using namespace cess;
using namespace cess::simulation;

namespace {

std::uint64_t number(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

TEST_CASE("no acknowledged entry is lost and no history forks, whatever the seed") {
    const auto first = number("CESS_SEED", 1);
    const auto count = std::getenv("CESS_SEED") ? 1 : number("CESS_SEEDS", 2000);
    log::settings quiet;
    quiet.threshold = log::level::off;
    REQUIRE(log::configure(quiet).has_value());
    std::size_t takes = 0, acknowledged = 0, recovered = 0;
    for (auto seed = first; seed < first + count; ++seed) {
        const auto report = random_run(seed);
        INFO("seed " << seed);
        if (report.violation) FAIL(*report.violation);
        takes += report.takes;
        acknowledged += report.acknowledged;
        recovered += report.recovered_last;
    }
    WARN(count << " seeds: " << takes << " takes, " << acknowledged << " acknowledged entries, " << recovered << " recovered in the end");
    if (count < 100) return;
    CHECK(takes > count * 2);
    CHECK(acknowledged > count * 5);
    CHECK(recovered == count);
}

TEST_CASE("the same seed is the same run") {
    CHECK(random_run(7).trace == random_run(7).trace);
    CHECK(random_run(7).trace != random_run(8).trace);
}
