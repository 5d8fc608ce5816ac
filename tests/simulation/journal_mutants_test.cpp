// Would the simulation notice? Each rule of the protocol is broken once, behind a switch that only tests have, and some
// seed must then show a lost entry or a forked history.
#include <support/journal_world.hpp>

#include <core/base/log.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>

using namespace cess;
using namespace cess::simulation;

namespace {

constexpr std::uint64_t seeds_max = 2000;

// The first seed that shows it, or 0.
std::uint64_t caught_by(const layer::recovery_mutations& broken) {
    const char* text = std::getenv("CESS_MUTANT_SEEDS");
    const std::uint64_t count = text ? std::strtoull(text, nullptr, 10) : seeds_max;
    log::settings quiet;
    quiet.threshold = log::level::off;
    REQUIRE(log::configure(quiet).has_value());
    for (std::uint64_t seed = 1; seed <= count; ++seed) {
        const auto report = random_run(seed, broken);
        if (!report.violation) continue;
        WARN("caught by seed " << seed << ": " << *report.violation);
        return seed;
    }
    return 0;
}

}  // namespace

TEST_CASE("acknowledging with m members is noticed") {
    layer::recovery_mutations broken;
    broken.writer.acknowledge_early = true;
    CHECK(caught_by(broken) != 0);
}

TEST_CASE("recovering without a fence is noticed") {
    layer::recovery_mutations broken;
    broken.skip_fence = true;
    CHECK(caught_by(broken) != 0);
}

TEST_CASE("going on when m+1 members do not answer is noticed") {
    layer::recovery_mutations broken;
    broken.accept_fewer = true;
    CHECK(caught_by(broken) != 0);
}

TEST_CASE("taking a journal whose seal is not complete is noticed") {
    layer::recovery_mutations broken;
    broken.any_seal = true;
    CHECK(caught_by(broken) != 0);
}

TEST_CASE("counting a wiped member as an answer is noticed") {
    layer::recovery_mutations broken;
    broken.ignore_incarnation = true;
    CHECK(caught_by(broken) != 0);
}

TEST_CASE("serving before the tail is in the new journal is noticed") {
    layer::recovery_mutations broken;
    broken.serve_early = true;
    CHECK(caught_by(broken) != 0);
}

TEST_CASE("taking the first answer instead of the longest is noticed") {
    layer::recovery_mutations broken;
    broken.first_answer = true;
    CHECK(caught_by(broken) != 0);
}

TEST_CASE("reading the oldest journal past its seal is noticed") {
    layer::recovery_mutations broken;
    broken.skip_seals = true;
    CHECK(caught_by(broken) != 0);
}

TEST_CASE("counting an append of which only a part is there is noticed") {
    layer::recovery_mutations broken;
    broken.keep_fragments = true;
    CHECK(caught_by(broken) != 0);
}
