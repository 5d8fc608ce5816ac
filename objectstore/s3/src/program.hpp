// cess-gateway: its command line and its life.
#pragma once

#include <objectstore/s3/gateway.hpp>
#include <objectstore/volume/volume.hpp>

#include <optional>
#include <string>

namespace cess::s3 {

struct arguments {
    gateway_settings gateway;
    std::string configuration;  // --conf
    std::string metrics;        // HOST:PORT, empty: none
    volume::durability durability = volume::durability::remote;
    bool help = false;
};

// errc::invalid names what is wrong.
[[nodiscard]] result<arguments> parse_arguments(int count, const char* const* words);
[[nodiscard]] std::string usage();
[[nodiscard]] int run(int count, const char* const* words);  // the exit code

}  // namespace cess::s3
