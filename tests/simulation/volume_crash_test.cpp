// Prefix consistency of the whole write path, from seeds: tests/support/crash_trial.hpp says what dies and what is
// checked. CESS_SEEDS=n runs n seeds, CESS_SEED=n that one, CESS_JOBS=n so many beside each other.
#include <support/crash_trial.hpp>
#include <support/seed_farm.hpp>

#include <core/base/log.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>

using namespace cess;
using namespace cess::test;

namespace {

constexpr std::uint64_t seeds = 300;           // as many as fit the time, on a slow machine
constexpr std::uint64_t seeds_least = 24;      // however long they take
constexpr std::uint64_t seeds_to_count = 48;   // enough to reach every step
constexpr std::uint64_t seeds_to_die = 1000;   // enough to die at every step: the rarest has one death in some thirty seeds
constexpr unsigned seconds = 70;

seed_result run_one(std::uint64_t seed) {
    log::settings how;
    how.threshold = environment_number("CESS_LOG", 0) ? log::level::debug : log::level::off;
    (void)log::configure(how);
    const auto report = crash_trial(seed);
    seed_result out;
    out.failure = report.violation;
    out.counts = {{"crashes", report.crashes}, {"writes", report.writes}, {"acknowledged", report.acknowledged}, {"snapshots", report.snapshots}, {"squeezed", report.squeezed}};
    for (std::size_t i = 0; i < crash_point_names.size(); ++i) {
        const std::string name(crash_point_names[i]);
        out.counts["seen:" + name] = report.seen >> i & 1;
        out.counts["died:" + name] = report.died_at[i];
    }
    return out;
}

}  // namespace

TEST_CASE("a volume that lost its owner, miners and messages holds a prefix of its writes, whatever the seed") {
    farm_options how;
    how.first = environment_number("CESS_SEED", 1);
    how.count = environment_number("CESS_SEED", 0) ? 1 : environment_number("CESS_SEEDS", seeds);
    how.jobs = static_cast<unsigned>(environment_number("CESS_JOBS", how.jobs));
    how.least = seeds_least;
    how.budget_seconds = std::getenv("CESS_SEEDS") ? 0 : seconds;
    auto report = run_seeds(how, run_one);
    for (const auto& [seed, why] : report.failures) FAIL_CHECK("CESS_SEED=" << seed << ": " << why);
    auto& n = report.counts;
    WARN(report.ran << " seeds, " << n["crashes"] << " crashes of owners, " << n["writes"] << " writes, " << n["acknowledged"]
                    << " acknowledgements, " << n["snapshots"] << " snapshots compared, " << n["squeezed"] << " bytes squeezed");
    CHECK(report.ran >= std::min(how.count, seeds_least));
    if (report.ran < seeds_to_count) return;
    CHECK(n["writes"] > report.ran * 20);
    CHECK(n["acknowledged"] > report.ran * 3);
    CHECK(n["snapshots"] > report.ran / 4);
    CHECK(n["squeezed"] > report.ran * 1024);
    std::string table;
    std::size_t deadly = 0;
    for (const auto& point : crash_point_names) {
        const std::string name(point);
        table += "\n  " + name + ": " + std::to_string(n["died:" + name]) + " deaths";
        INFO(name);
        CHECK(n["seen:" + name] > 0);
        if (report.ran >= seeds_to_die) CHECK(n["died:" + name] > 0);
        deadly += n["died:" + name] > 0;
    }
    CHECK(deadly * 2 >= crash_point_names.size());
    WARN("steps at which owners died:" << table);
}
