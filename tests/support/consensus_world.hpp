// A whole committee in one thread, replayed from a seed: the real step machines (chain/consensus), and around them time, a
// network, disks and liars.
//
// Fault model. At most f members are Byzantine: run as *twins* (one key, two processes that each believe to be the
// member, and neither hears the other) or as *mutators* (an honest process inside, whose messages are withheld, sent to some,
// repeated late, forked, or mangled), or as *flooders* (it shows many copies of its blocks, that wait for each other, and blocks
// that wait for what never was). Any number crash and come back with their log cut anywhere behind the last sync; what is left
// of it is no more synced than before. Every other time they go on from the newest checkpoint that the log was synced for.
// Messages are late, lost, repeated and overtake each other, links are cut one way and mended. Clocks are apart and
// run at different speeds. When the *calm* comes all that ends, but for the Byzantine.
//
// Oracles, after every step of an honest member: one decision a slot; one sequence, of which every member has a prefix, from
// the start or the checkpoint again after a restart; each block once; no block before what it refers to; no two blocks of an honest member in a
// round, answers to requests included; each item of an honest member's payload once. Ceilings: copies of an author and round,
// what waits and what it waits for, what is asked for and looked up in the archive at once. At the end: what an honest
// member said and all others heard is in the sequence, so is all payload that was durable in the storm, and all go on. Where the
// epoch ends: at the same commit for all, nothing comes after it, and the payload that it leaves out is handed on, and only that.
//
// Signatures and coin are fast stand-ins (consensus_standins.hpp) that the liars here do not try to forge, though they send
// wrong shares: forging is tests/unit/coin_test.cpp's and consensus_test.cpp's business. All else is the shipping code.
#pragma once

#include <chain/consensus/replica.hpp>
#include <core/base/random.hpp>

#include <string>

namespace cess::simulation {

enum class weather_kind : std::uint8_t {
    steady,    // around δ
    stormy,    // heavy-tailed
    directed,  // who hears whom late is drawn anew for each receiver and round: any quorum may be what a block sees
    hostile,   // splits the committee at every leader that it knows, for ever; coin slots decide, or nothing does
};
enum class liar_kind : std::uint8_t { none, silent, twin, mutator, flooder };

struct committee_plan {
    std::uint64_t seed = 1;
    consensus::rules by = consensus::rules::of(4);
    weather_kind sky = weather_kind::steady;
    liar_kind liars = liar_kind::none;  // f of them
    std::size_t crashed = 0;            // from the start, for ever; counts as Byzantine
    unsigned jitter_percent = 50;       // delays are δ, more or less by so much
    unsigned loss_permille = 0, duplicate_permille = 0;
    unsigned crashes = 0, cuts = 0;     // in the whole run
    consensus::round_number calm_round = 40;   // rounds until the calm
    std::uint64_t recovery_max = 300;          // δ after it in which all must be well again
    consensus::instant leader_wait = 5'000;    // half of δ
    consensus::round_number close_at = 0;  // members wish for the epoch's end about then; 0 = never
    bool isolate = false;               // one honest member hears and says nothing until the calm
    consensus::instant sync_max = 1'000;  // how long a disk takes
    std::uint64_t outage_max = 20;      // δ that a crashed member is away
    // Mutants of the owner:
    bool send_early = false;            // a block is sent before it is durable;
    bool answer_early = false;          // others' requests are answered with it;
    bool start_unsynced = false;        // what a replay finds in the log is sent though it was never synced;
    bool forget_own = false;            // the log comes back without own blocks;
    bool unsynced_checkpoint = false;   // a checkpoint counts before the log is synced
};

struct committee_report {
    std::optional<std::string> violation;
    std::uint64_t blocks = 0, rounds = 0;
    std::uint64_t recovery = 0;  // from the calm until all honest members have committed what came after it, in δ
    std::uint64_t slots = 0, committed = 0, skipped = 0, undecided = 0;  // at the end, at the best honest member
    bool closed = false;         // the epoch has ended, at all honest members
    std::uint64_t crashes = 0, resumed = 0, lost_records = 0, forks = 0, refused = 0;
    std::vector<std::uint32_t> latency;  // of honest blocks, from being made to being sequenced by their maker; in δ/100
    hash256 trace;
};

// δ of the simulated network.
inline constexpr consensus::instant one_way_delay = 10'000;

[[nodiscard]] committee_report run_committee(const committee_plan& plan);
// What the seed makes of all that can vary.
[[nodiscard]] committee_plan random_plan(std::uint64_t seed);
// An honest member falls many rounds behind a committee with liars in it.
[[nodiscard]] committee_plan lagging_plan(std::uint64_t seed);
// Slow disks, and members that crash often and stay away for long.
[[nodiscard]] committee_plan crashing_plan(std::uint64_t seed);
// Liars that try to fill memory and logs.
[[nodiscard]] committee_plan flooded_plan(std::uint64_t seed);
// Of more than ten members, so that not all lead.
[[nodiscard]] committee_plan large_plan(std::uint64_t seed);
// Any of the others, and the epoch ends in the storm.
[[nodiscard]] committee_plan closing_plan(std::uint64_t seed);
// One leader a round, whom the network splits the committee over, for ever: only coins decide.
[[nodiscard]] committee_plan hostile_plan(std::uint64_t seed);
// The same, with liars beside it.
[[nodiscard]] committee_plan hostile_liars_plan(std::uint64_t seed);

}  // namespace cess::simulation
