// ISA-L's kernels with Jerasure's matrix give Jerasure's bytes, and any k fragments restore everything.
#include <core/base/random.hpp>
#include <core/erasure/codec.hpp>
#include <core/erasure/crc32c.hpp>

#include <jerasure.h>
#include <reed_sol.h>

#include <catch2/catch.hpp>

#include <bit>
#include <cstdlib>

using namespace cess;
using erasure::geometry;

namespace {

struct stripe {
    std::vector<bytes> fragments;  // data, then parity
    explicit stripe(geometry g, std::size_t size, std::uint64_t seed) {
        seeded_random random(seed);
        for (unsigned i = 0; i < g.total(); ++i) fragments.emplace_back(size, std::byte{0});
        for (unsigned i = 0; i < g.k; ++i) random.fill(fragments[i]);
    }
    void encode(geometry g) {
        std::vector<byte_view> data;
        std::vector<byte_span> parity;
        for (unsigned i = 0; i < g.total(); ++i) {
            if (i < g.k) data.emplace_back(fragments[i]);
            else parity.emplace_back(fragments[i]);
        }
        erasure::codec::make(g).value()->encode(data, parity);
    }
};

void encode_with_jerasure(geometry g, std::vector<bytes>& fragments) {
    const std::unique_ptr<int, void (*)(void*)> matrix(reed_sol_vandermonde_coding_matrix(g.k, g.m, 8), &std::free);
    std::vector<char*> pointers;
    for (auto& f : fragments) pointers.push_back(reinterpret_cast<char*>(f.data()));
    jerasure_matrix_encode(g.k, g.m, 8, matrix.get(), pointers.data(), pointers.data() + g.k, static_cast<int>(fragments.front().size()));
}

void restore(geometry g, const stripe& whole, unsigned lost) {
    std::vector<erasure::codec::piece> have;
    std::vector<erasure::codec::hole> wanted;
    std::vector<bytes> out(g.total(), bytes(whole.fragments.front().size(), std::byte{0xee}));
    for (unsigned i = 0; i < g.total(); ++i) {
        if (lost >> i & 1) wanted.push_back({i, out[i]});
        else have.push_back({i, whole.fragments[i]});
    }
    const auto restored = erasure::codec::make(g).value()->decode(have, wanted);
    if (static_cast<unsigned>(std::popcount(lost)) > g.m) {
        CHECK(restored.error() == errc::unavailable);
        return;
    }
    REQUIRE(restored);
    for (unsigned i = 0; i < g.total(); ++i)
        if (lost >> i & 1) CHECK(out[i] == whole.fragments[i]);
}

}  // namespace

TEST_CASE("parity is Jerasure's, byte for byte") {
    for (const auto g : {geometry{2, 1}, geometry{4, 2}, geometry{8, 4}, geometry{3, 3}, geometry{6, 3}, geometry{10, 4}, geometry{17, 5}, geometry{32, 16}})
        for (const std::size_t size : {8u, 4096u, 65528u}) {
            INFO(int{g.k} << "+" << int{g.m} << ", " << size << " bytes");
            stripe ours(g, size, 7);
            stripe theirs(g, size, 7);
            ours.encode(g);
            encode_with_jerasure(g, theirs.fragments);
            CHECK(ours.fragments == theirs.fragments);
        }
}

TEST_CASE("any k fragments restore everything, whichever are lost") {
    for (const auto g : {geometry{1, 2}, geometry{2, 1}, geometry{4, 2}, geometry{3, 3}, geometry{5, 4}}) {
        stripe whole(g, 1000 + g.k, 3);  // sizes need not be round
        whole.encode(g);
        for (unsigned lost = 0; lost < 1u << g.total(); ++lost) restore(g, whole, lost);
    }
}

TEST_CASE("one data fragment means copies") {
    stripe s({1, 3}, 100, 1);
    s.encode({1, 3});
    for (const auto& f : s.fragments) CHECK(f == s.fragments[0]);
}

TEST_CASE("no parity and no bytes are fine, wrong geometries and sizes are not") {
    stripe s({3, 0}, 10, 1);
    s.encode({3, 0});
    CHECK(erasure::codec::make({0, 1}).error() == errc::invalid);
    CHECK(erasure::codec::make({33, 1}).error() == errc::invalid);
    CHECK(erasure::codec::make({2, 17}).error() == errc::invalid);
    const auto codec = erasure::codec::make({2, 1}).value();
    bytes a(10), b(11), out(10);
    CHECK(codec->decode({{0, a}, {1, b}}, {{2, out}}).error() == errc::invalid);
    CHECK(codec->decode({{0, a}, {0, a}}, {{2, out}}).error() == errc::unavailable);
    CHECK(codec->decode({{0, a}, {9, a}}, {{2, out}}).error() == errc::invalid);
    CHECK(codec->decode({{0, a}, {1, a}}, {{3, out}}).error() == errc::invalid);
}

TEST_CASE("a geometry is written K+M") {
    CHECK(erasure::parse_geometry("4+2").value() == geometry{4, 2});
    CHECK(erasure::parse_geometry("1+0").value() == geometry{1, 0});
    for (const auto* bad : {"", "4", "+", "4+", "+2", "0+1", "33+1", "4+17", "4+2 ", " 4+2", "-4+2", "4+2+1", "256+1"})
        CHECK(erasure::parse_geometry(bad).error() == errc::invalid);
}

TEST_CASE("CRC-32C gives RFC 3720's sums, in one piece and in many") {
    const bytes zeros(32, std::byte{0});
    CHECK(~erasure::crc32c(~0U, zeros) == 0x8a9136aaU);
    CHECK(~erasure::crc32c(~0U, as_view("123456789")) == 0xe3069283U);
    CHECK(erasure::crc32c(erasure::crc32c(7, as_view("12345")), as_view("6789")) == erasure::crc32c(7, as_view("123456789")));
}
