// Ports of the development network: the same for a directory every time it is made, if they are free.
#pragma once

#include <core/base/result.hpp>

#include <cstdint>
#include <set>
#include <string>

namespace cess::cli::dev {

[[nodiscard]] bool port_is_free(std::uint16_t port);  // on 127.0.0.1
// Where to look first: from the directory's name, below the ports that the kernel gives out itself.
[[nodiscard]] std::uint16_t first_port(const std::string& directory);
// The first port from `from` on that is free and not in `taken` (given to a node that does not run yet); adds it.
[[nodiscard]] result<std::string> take_port(std::uint16_t from, std::set<std::uint16_t>& taken);
[[nodiscard]] result<std::uint16_t> port_of(const std::string& address);

}  // namespace cess::cli::dev
