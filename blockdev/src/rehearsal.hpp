// Runs something that needs threads before a fork, in a child process of its own, and brings its answer back.
#pragma once

#include <core/base/result.hpp>

#include <functional>

namespace cess::blockdev {

// REQUIRES: the calling process has one thread. The child ends without running destructors of the parent's objects.
[[nodiscard]] result<void> in_child(const std::function<result<void>()>& what);

}  // namespace cess::blockdev
