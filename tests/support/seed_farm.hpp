// Runs many seeds in child processes beside each other: what waits does not stop the others, and a seed that crashes or
// hangs is named instead of taking the rest with it. Call it before this process has threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace cess::test {

struct farm_options {
    std::uint64_t first = 1, count = 1;
    unsigned jobs = 6;
    unsigned silence_seconds = 400;   // a seed that takes longer hangs
    unsigned budget_seconds = 0;      // no seed is begun after it, once `least` have been; 0: all are
    std::uint64_t least = 0;
    bool stop_at_first = false;       // failure
};

struct farm_report {
    std::uint64_t ran = 0;
    std::map<std::uint64_t, std::string> failures;   // by seed
    std::map<std::string, std::uint64_t> counts;     // sums of what the seeds counted
};

struct seed_result {
    std::string failure;  // empty: sound; one line
    std::map<std::string, std::uint64_t> counts;
};

[[nodiscard]] farm_report run_seeds(const farm_options& how, const std::function<seed_result(std::uint64_t seed)>& run);

// CESS_SEED=n: that one; CESS_SEEDS=n: so many. A number of the environment, or `otherwise`.
[[nodiscard]] std::uint64_t environment_number(const char* name, std::uint64_t otherwise);

}  // namespace cess::test
