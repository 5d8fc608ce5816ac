// That all records of a filesystem agree with each other, and with the data that is there.
#pragma once

#include <fs/check.hpp>

#include <stdexcept>

namespace cess::testing {

// Throws std::runtime_error with the first flaw. REQUIRES: nobody changes it meanwhile.
inline void require_sound(volume::reader& of) {
    std::string first;
    const auto done = fs::check(of, [&](const fs::flaw& f) {
        if (first.empty()) first = f.what;
    });
    if (!done) throw std::runtime_error("check: " + done.error().message());
    if (!first.empty()) throw std::runtime_error("check: " + first);
}

}  // namespace cess::testing
