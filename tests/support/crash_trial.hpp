// One seeded run of the whole write path: a block volume on real miners is written to, everything around it dies or
// misbehaves, it is recovered, and what is there is compared with what was written.
//
// The seed draws the workload, the weather and who dies at which named step; the threads' interleaving is the machine's,
// so a seed that failed once may need a few runs to fail again. What is checked, after every recovery:
//   - the image is a prefix of the writes that reaches at least to the last acknowledged flush
//   - a snapshot that was acknowledged exists, with exactly the image of its moment; one that was not may, with the same
//   - a third of the seeds acknowledge from the owners' own disk, which forgets and tears what was not synced; nothing of
//     its journals is ever set aside
//   - an owner that was replaced while it wrote has no acknowledgement that its successor does not know
//   - in the end every fragment is where the ledger lists it, but at a miner that was wiped
//   - an acknowledged resize stands; the volume can be written again, closed, opened, cloned
#pragma once

#include <support/crash_house.hpp>

#include <objectstore/volume/volume.hpp>

#include <array>

namespace cess::test {

struct broken_rules {
    layer::recovery_mutations layer;
    volume::mutations engine;
    bool lying_syncs = false;  // miners answer before anything is on their disks
    bool lying_local_disk = false;  // and the owners' own disk, which acknowledges for durability=local
};

struct crash_report {
    std::string violation;  // empty: sound
    std::uint64_t crashes = 0, writes = 0, acknowledged = 0, snapshots = 0;
    std::uint64_t squeezed = 0;                                                            // bytes, by owners that died
    std::uint64_t seen = 0;                                                                // steps reached, a bit each
    std::array<std::uint64_t, static_cast<std::size_t>(crash_point::count)> died_at{};     // deaths at each step
};

[[nodiscard]] crash_report crash_trial(std::uint64_t seed, const broken_rules& broken = {});

}  // namespace cess::test
