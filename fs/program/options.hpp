// cessfs' command line, in mount(8)'s words.
#pragma once

#include <fs/filesystem.hpp>
#include <objectstore/client/client.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace cess::fs::program {

struct options {
    std::string volume, directory;  // as given
    std::string conf, log_file;
    bool help = false, version = false;
    bool replace = false;              // the running cessfs of the directory, whose options hold but for …
    std::vector<std::string> changes;  // … these, each an argument of -o
    bool foreground = false, debug = false;
    bool read_only = false, allow_other = false, acls = true, snapshots = true, stats = true, force = false;
    fs::access_times access_times = fs::access_times::relative;
    volume::durability durability = volume::durability::remote;
    std::string metrics;           // where they are served; empty: nowhere
    std::uint64_t cache_size = 0;  // 0: as configured
    double entry_timeout = 3600, attr_timeout = 3600;  // seconds
    std::vector<std::string> words;  // for the kernel
};

// errc::invalid with one line for a person, who then sees exit code 2.
[[nodiscard]] result<options> parse(int argc, const char* const* argv);
// What a mount goes on with whose cessfs ran with `running` and is replaced by one that was called with `changes`.
[[nodiscard]] result<options> with_changes(options running, const std::vector<std::string>& changes);
[[nodiscard]] std::string help_text();

}  // namespace cess::fs::program
