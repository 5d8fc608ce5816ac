// cessfs' command line, in mount(8)'s words.
#pragma once

#include <objectstore/client/client.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace cess::fs::program {

struct options {
    std::string volume, directory;  // as given
    std::string conf, log_file;
    bool help = false, version = false;
    bool foreground = false, debug = false;
    bool read_only = false, allow_other = false, access_times = true, force = false;
    volume::durability durability = volume::durability::remote;
    std::uint64_t cache_size = 0;  // 0: as configured
    double entry_timeout = 3600, attr_timeout = 3600;  // seconds
    std::vector<std::string> words;  // for the kernel
};

// errc::invalid with one line for a person, who then sees exit code 2.
[[nodiscard]] result<options> parse(int argc, const char* const* argv);
[[nodiscard]] std::string help_text();

}  // namespace cess::fs::program
