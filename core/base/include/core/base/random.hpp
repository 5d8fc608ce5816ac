// Sources of randomness: the operating system's for keys, a seeded one for simulation and shuffling.
#pragma once

#include <core/base/bytes.hpp>

#include <cstdint>

namespace cess {

class random_source {
public:
    virtual ~random_source() = default;
    virtual void fill(byte_span out) = 0;

    std::uint64_t next() {
        std::uint64_t n = 0;
        fill(std::as_writable_bytes(std::span(&n, 1)));
        return n;
    }
    // Uniform in [0, bound). REQUIRES: bound > 0
    std::uint64_t below(std::uint64_t bound) {
        const std::uint64_t limit = ~std::uint64_t{0} - ~std::uint64_t{0} % bound;
        for (;;)
            if (const auto n = next(); n < limit) return n % bound;
    }
    template <class Id>
    Id id() {
        Id out;
        fill(out.raw);
        return out;
    }
};

// getrandom(2); thread-safe. Aborts if the kernel refuses, since no key may then be made.
class system_random final : public random_source {
public:
    void fill(byte_span out) override;
};

// xoshiro256** seeded by splitmix64; the same seed gives the same sequence for ever (golden test). Not for keys, not thread-safe.
class seeded_random final : public random_source {
public:
    explicit seeded_random(std::uint64_t seed) noexcept;
    void fill(byte_span out) override;

private:
    std::uint64_t step() noexcept;
    std::uint64_t m_state[4];
};

}  // namespace cess
