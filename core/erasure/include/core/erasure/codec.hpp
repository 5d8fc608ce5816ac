// Systematic Reed–Solomon over GF(2⁸): k data fragments, m parity fragments, any k restore everything.
//
// The coding matrix is Jerasure's (reed_sol_vandermonde_coding_matrix, w = 8), so that the bytes are those of a
// well-known code; the hot loop is ISA-L's, fed with that matrix, and tests hold the two byte-identical.
// Immutable after construction, thread-safe; tables are cached by geometry.
#pragma once

#include <core/base/bytes.hpp>

#include <memory>
#include <vector>

namespace cess::erasure {

struct geometry {
    std::uint8_t k = 2;  // data fragments, 1..32
    std::uint8_t m = 1;  // parity fragments, 0..16; k = 1 means m+1 copies

    [[nodiscard]] unsigned total() const noexcept { return unsigned{k} + m; }
    [[nodiscard]] bool valid() const noexcept { return k >= 1 && k <= 32 && m <= 16; }
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.k, self.m); }
    friend bool operator==(const geometry&, const geometry&) = default;
};

[[nodiscard]] result<geometry> parse_geometry(std::string_view text);  // "4+2"

class codec {
public:
    // errc::invalid if the geometry is not.
    static result<std::shared_ptr<const codec>> make(geometry g);
    virtual ~codec() = default;
    [[nodiscard]] virtual geometry shape() const noexcept = 0;
    // REQUIRES: data.size() == k, parity.size() == m, all of one size.
    virtual void encode(const std::vector<byte_view>& data, const std::vector<byte_span>& parity) const = 0;
    // Restores the fragments at `wanted` (indexes 0..k+m-1) from those in `have` (at least k distinct indexes, all of one size).
    // errc::unavailable if there are fewer than k.
    struct piece {
        unsigned index;
        byte_view data;
    };
    struct hole {
        unsigned index;
        byte_span data;
    };
    [[nodiscard]] virtual result<void> decode(const std::vector<piece>& have, const std::vector<hole>& wanted) const = 0;
};

}  // namespace cess::erasure
