// What the committee costs and takes, in the simulator: commit latency in units of the one-way delay δ, from a block being
// made to its maker having it in the sequence; and processor time for each block at each member, simulator included.
#include <support/consensus_world.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>

using namespace cess;
using namespace cess::simulation;

namespace {

struct scene {
    const char* what;
    std::size_t members;
    std::size_t crashed = 0;
    weather_kind sky = weather_kind::steady;
    liar_kind liars = liar_kind::none;
    consensus::round_number coin_interval = 64;
    std::size_t leaders = 0;  // 0: all
    unsigned jitter_percent = 10;
};

double percentile(std::vector<std::uint32_t>& of, std::size_t percent) {
    if (of.empty()) return 0;
    const auto at = of.begin() + static_cast<std::ptrdiff_t>((of.size() - 1) * percent / 100);
    std::nth_element(of.begin(), at, of.end());
    return *at / 100.0;
}

void play(const scene& in) {
    committee_report sum;
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint64_t seed = 1; seed <= 10 && !sum.violation; ++seed) {
        committee_plan plan;
        plan.seed = seed;
        plan.by = consensus::rules::of(in.members);
        plan.by.coin_interval = in.coin_interval;
        if (in.leaders != 0) plan.by.leaders = in.leaders;
        plan.sky = in.sky;
        plan.liars = in.liars;
        plan.crashed = in.crashed;
        plan.jitter_percent = in.jitter_percent;
        plan.calm_round = 400;
        const auto got = run_committee(plan);
        sum.violation = got.violation;
        sum.blocks += got.blocks;
        sum.committed += got.committed;
        sum.skipped += got.skipped;
        sum.undecided += got.undecided;
        sum.latency.insert(sum.latency.end(), got.latency.begin(), got.latency.end());
    }
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    const auto slots = sum.committed + sum.skipped + sum.undecided;
    std::printf("%-44s p50 %5.1f  p99 %6.1f δ   %5.1f %% of slots decided, %5.1f %% committed   %5.2f us a block and member   %s\n", in.what,
                percentile(sum.latency, 50), percentile(sum.latency, 99), 100.0 * static_cast<double>(sum.committed + sum.skipped) / static_cast<double>(slots),
                100.0 * static_cast<double>(sum.committed) / static_cast<double>(slots),
                took.count() / static_cast<double>(sum.blocks * in.members), sum.violation ? sum.violation->c_str() : "");
    std::fflush(stdout);
}

}  // namespace

int main() {
    for (const auto& in : {
             scene{"4 members", 4},
             scene{"4 members, 1 crashed", 4, 1},
             scene{"7 members", 7},
             scene{"7 members, 2 crashed", 7, 2},
             scene{"10 members", 10},
             scene{"4 members, delays of 0.5 to 1.5 δ", 4, 0, weather_kind::steady, liar_kind::none, 64, 0, 50},
             scene{"4 members, heavy-tailed delays", 4, 0, weather_kind::stormy},
             scene{"4 members, 1 equivocates and withholds", 4, 0, weather_kind::steady, liar_kind::mutator},
             scene{"4 members, splitting adversary, K = 64", 4, 0, weather_kind::hostile, liar_kind::none, 64, 1},
             scene{"4 members, splitting adversary, K = 16", 4, 0, weather_kind::hostile, liar_kind::none, 16, 1},
         })
        play(in);
}
