// Random operations on a filesystem and on the model of one, side by side: the same answers, the same trees, also after
// refused changes and after crashes that leave a prefix of the history.
#pragma once

#include "fs_model.hpp"

#include <core/base/random.hpp>
#include <fs/filesystem.hpp>

#include <functional>

namespace cess::testing {

// The volume under test. `volume()` may change with every reopen.
class fs_world {
public:
    virtual ~fs_world() = default;
    [[nodiscard]] virtual volume::volume& volume() = 0;
    virtual void crash(random_source& random) = 0;          // loses some of what was not synced, never what was
    virtual void reopen() = 0;                              // cleanly
    virtual bool refuse_next_change() { return false; }     // with ENOSPC; false: cannot
    virtual void allow_changes() {}
};

struct random_run {
    std::uint64_t seed = 1;
    int operations = 2000;
    int crashes = 10;
    bool refuse = true;
    bool quotas = false;  // some directories get one, and lose it
};
// Throws std::runtime_error with the seed and what differed.
void run_randomly(fs_world& world, const random_run& how);

}  // namespace cess::testing
