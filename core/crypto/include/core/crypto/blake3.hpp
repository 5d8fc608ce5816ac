// BLAKE3 in its derive_key mode (the BLAKE3 paper, 2.3): what is hashed in one context never equals what is hashed in
// another, or by plain BLAKE3. By the authors' own code, with the widest instructions that the processor has: several
// times as fast as SHA-256, for what is hashed by the gigabyte.
#pragma once

#include <core/base/ids.hpp>

#include <initializer_list>
#include <memory>
#include <string_view>

namespace cess::crypto {

// Made once for each context; from then on a hash starts with a copy, so that being of a context costs nothing.
// Immutable, thread-safe. REQUIRES: `context` is a constant of the program and nobody else's, such as
// "cess 2026-11 fragment leaf".
class blake3_context {
public:
    explicit blake3_context(std::string_view context);
    [[nodiscard]] hash256 hash(byte_view data) const { return hash({data}); }
    [[nodiscard]] hash256 hash(std::initializer_list<byte_view> parts) const;  // of their concatenation

private:
    struct state;
    std::shared_ptr<const state> m_start;
};

}  // namespace cess::crypto
