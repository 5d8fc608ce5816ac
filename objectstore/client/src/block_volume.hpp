// What the client does to block volumes beyond the engine: limits that are kept in the volume, and sizes.
#pragma once

#include <objectstore/client/limits.hpp>
#include <objectstore/volume/volume.hpp>

namespace cess::client {

// No limits if there are none.
[[nodiscard]] result<io_limits> read_limits(volume::reader& of);
// Durable when it returns. errc::unsupported for what is no block volume.
[[nodiscard]] result<void> write_limits(volume::volume& of, const io_limits& to);

// Sets the size; bytes past it are cut off and never come back. `shrunk` is called between the two halves of a shrink,
// when the size stands and before what lies past it is cut: whoever admits writes must have the new end by then.
[[nodiscard]] result<void> resize_head(volume::volume& of, std::uint64_t size, const std::function<void(std::uint64_t)>& changed);

}  // namespace cess::client
