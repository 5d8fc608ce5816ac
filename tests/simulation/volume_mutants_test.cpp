// Would the simulation of the whole write path notice? Each rule is broken once, behind a switch that only tests have,
// and some seed must then show it. CESS_MUTANT_SEEDS=n tries n seeds at most.
//
// What is not caught here, because too few seeds get to it in the time of one run:
//   - acknowledging with m members, taking over without a fence: journal_mutants_test catches both
//   - undivided cuts, one seed in some fifty, and bytes left out too early, one in a hundred or more (volume_squeezing_test
//     catches it at once); by hand with  volume_mutants_test "[rare]"
#include <support/crash_trial.hpp>
#include <support/seed_farm.hpp>

#include <core/base/log.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::test;

namespace {

constexpr std::uint64_t seeds_max = 400;

// Some seed fails for a reason that is about bytes, not about time.
bool is_noticed(const broken_rules& broken) {
    farm_options how;
    how.count = environment_number("CESS_MUTANT_SEEDS", seeds_max);
    how.stop_at_first = true;
    const auto report = run_seeds(how, [&broken](std::uint64_t seed) {
        log::settings quiet;
        quiet.threshold = log::level::off;
        (void)log::configure(quiet);
        seed_result out;
        out.failure = crash_trial(seed, broken).violation;
        return out;
    });
    for (const auto& [seed, why] : report.failures) WARN("noticed by seed " << seed << " after " << report.ran << ": " << why);
    return !report.failures.empty();
}

}  // namespace

TEST_CASE("a stored segment whose place is not journaled is noticed") {
    broken_rules broken;
    broken.engine.lose_locations = true;
    CHECK(is_noticed(broken));
}

TEST_CASE("acknowledging what was only sent is noticed") {
    broken_rules broken;
    broken.engine.sync_early = true;
    CHECK(is_noticed(broken));
}

TEST_CASE("a root that lets go of entries past its cut is noticed") {
    broken_rules broken;
    broken.engine.trim_early = true;
    CHECK(is_noticed(broken));
}

TEST_CASE("an entry with changes on both sides of a cut is noticed", "[.][rare]") {
    broken_rules broken;
    broken.engine.undivided_cuts = true;
    CHECK(is_noticed(broken));
}

TEST_CASE("a change of which only the first segment's bytes are journaled is noticed") {
    broken_rules broken;
    broken.engine.first_payload_only = true;
    CHECK(is_noticed(broken));
}

TEST_CASE("a snapshot without what was still in buffers is noticed") {
    broken_rules broken;
    broken.engine.snapshot_misses_buffers = true;
    CHECK(is_noticed(broken));
}

TEST_CASE("freeing what a snapshot still needs is noticed") {
    broken_rules broken;
    broken.engine.forget_snapshots = true;
    CHECK(is_noticed(broken));
}

TEST_CASE("leaving out bytes before the change that overwrote them is told with their segment is noticed", "[.][rare]") {
    broken_rules broken;
    broken.engine.squeeze_early = true;
    CHECK(is_noticed(broken));
}

TEST_CASE("sealing a journal without copying its tail is noticed") {
    broken_rules broken;
    broken.layer.forget_tail = true;
    CHECK(is_noticed(broken));
}

TEST_CASE("miners that answer before they synced are noticed") {
    broken_rules broken;
    broken.lying_syncs = true;
    CHECK(is_noticed(broken));
}

TEST_CASE("a local disk that answers before it synced is noticed") {
    broken_rules broken;
    broken.lying_local_disk = true;
    CHECK(is_noticed(broken));
}
