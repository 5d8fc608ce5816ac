// The committee under random weather, crashes, twins and mutators, from seeds (support/consensus_world.hpp has the fault model
// and the oracles). CESS_SEEDS=n runs n seeds, CESS_SEED=n that one.
#include <support/consensus_world.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>

using namespace cess;
using namespace cess::simulation;

namespace {

#ifdef CESS_FEWER_SEEDS
constexpr std::uint64_t seeds = 1'000, hostile_seeds = 50;
#else
constexpr std::uint64_t seeds = 10'000, hostile_seeds = 300;
#endif

std::uint64_t number(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

committee_report run_seeds(std::uint64_t first, std::uint64_t count, committee_plan (*plan)(std::uint64_t seed)) {
    committee_report sum;
    for (auto seed = first; seed < first + count; ++seed) {
        const auto got = run_committee(plan(seed));
        INFO("seed " << seed);
        if (got.violation) FAIL(*got.violation);
        sum.blocks += got.blocks;
        sum.rounds += got.rounds;
        sum.committed += got.committed;
        sum.skipped += got.skipped;
        sum.undecided += got.undecided;
        sum.crashes += got.crashes;
        sum.resumed += got.resumed;
        sum.lost_records += got.lost_records;
        sum.forks += got.forks;
        sum.refused += got.refused;
        sum.recovery = std::max(sum.recovery, got.recovery);
    }
    WARN(count << " seeds: " << sum.blocks << " blocks in " << sum.rounds << " rounds; " << sum.committed << " slots committed, " << sum.skipped << " skipped, "
               << sum.undecided << " undecided at the end; " << sum.forks << " forks, " << sum.refused << " blocks refused, " << sum.crashes
               << " crashes that lost " << sum.lost_records << " records, " << sum.resumed << " starts from a checkpoint; back at most " << sum.recovery << " δ after the storm");
    return sum;
}

}  // namespace

TEST_CASE("honest members decide alike and go on, whatever the seed") {
    const auto first = number("CESS_SEED", 1);
    const auto count = std::getenv("CESS_SEED") ? 1 : number("CESS_SEEDS", seeds);
    const auto sum = run_seeds(first, count, random_plan);
    if (count >= seeds) CHECK(sum.blocks > seeds * 100);
}

TEST_CASE("coins decide where the network splits the committee at every leader, for ever") {
    const auto sum = run_seeds(1, hostile_seeds, hostile_plan);
    CHECK((sum.committed + sum.skipped) * 100 > (sum.committed + sum.skipped + sum.undecided) * 60);
}

TEST_CASE("coins decide with liars beside such a network") { run_seeds(1, hostile_seeds, hostile_liars_plan); }

TEST_CASE("members on slow disks crash often, and neither say two things nor lose or repeat payload") {
    const auto sum = run_seeds(1, hostile_seeds, crashing_plan);
    CHECK(sum.crashes > hostile_seeds);
    CHECK(sum.resumed > hostile_seeds);
}

TEST_CASE("liars that show many copies and name what never was fill nothing") { run_seeds(1, hostile_seeds / 3, flooded_plan); }

TEST_CASE("committees in which not all lead decide alike and go on") { run_seeds(1, hostile_seeds / 5, large_plan); }

TEST_CASE("a member that was away for long catches up, whatever liars left behind meanwhile") { run_seeds(1, hostile_seeds, lagging_plan); }

TEST_CASE("the epoch ends at the same commit for all, and what it leaves out is handed on") { run_seeds(1, hostile_seeds * 3, closing_plan); }

TEST_CASE("the same seed is the same run") {
    CHECK(run_committee(random_plan(7)).trace == run_committee(random_plan(7)).trace);
    CHECK(run_committee(random_plan(7)).trace != run_committee(random_plan(8)).trace);
}
