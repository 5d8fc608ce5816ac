// A mount from its command line to its end.
#pragma once

#include "background.hpp"
#include "options.hpp"

namespace cess::fs::program {

// Attaches, mounts, serves until unmounted, and gives the volume back; the exit code. Starts threads.
[[nodiscard]] int run(const options& how, readiness& report);

// Absolute paths, so that the daemon may leave the directory it was started in; refuses what cannot be a mount point.
[[nodiscard]] result<options> resolve_paths(options how);

}  // namespace cess::fs::program
