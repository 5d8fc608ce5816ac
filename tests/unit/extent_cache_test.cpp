// The hot extents against a map of all rows, while rows of every length come, go and are replaced.
#include <extent_cache.hpp>

#include <core/base/random.hpp>

#include <catch2/catch.hpp>

#include <map>

using namespace cess;
using namespace cess::volume;

namespace {

constexpr std::uint64_t blob_size = 4 * MiB;
constexpr auto chunk_size = extent_cache::chunk_size;

struct world {
    explicit world(std::uint64_t seed, std::uint64_t bytes_max) : random(seed), cache(bytes_max) {}

    void remove(std::map<std::uint64_t, extent>::iterator at) {
        cache.erased(1, 0, at->second);
        rows.erase(at);
    }
    void add(const extent& e) {
        if (e.start == e.end) return;
        rows[e.end] = e;
        cache.inserted(1, 0, e);
    }
    // As the executor does it: what is there is cut, then the new row is placed.
    void write(std::uint64_t start, std::uint64_t end) {
        for (auto it = rows.upper_bound(start); it != rows.end() && it->second.start < end; it = rows.upper_bound(start)) {
            const auto old = it->second;
            remove(it);
            auto left = old, right = old;
            left.end = std::max(old.start, start);
            right.start = std::min(old.end, end);
            if (old.start < start) add(left);
            if (old.end > end) add(right);
        }
        if (random.below(4)) add({start, end, 0, {random.below(1000)}, 0});
    }
    extent_cache::rows expected(std::uint64_t chunk) const {
        extent_cache::rows out;
        for (const auto& [end, row] : rows)
            if (end >= chunk * chunk_size && row.start < (chunk + 1) * chunk_size) out.push_back(row);
        return out;
    }
    void look(std::uint64_t chunk) {
        const extent_cache::place at{1, 0, chunk};
        if (const auto* known = cache.find(at)) {
            ++hits;
            REQUIRE(*known == expected(chunk));
        } else if (cache.wanted(at)) {
            REQUIRE(cache.fill(at, expected(chunk)) == expected(chunk));
        }
    }

    seeded_random random;
    extent_cache cache;
    std::map<std::uint64_t, extent> rows;
    std::uint64_t hits = 0;
};

}  // namespace

TEST_CASE("a chunk of hot extents has the rows that reach into it or end where it begins") {
    for (const std::uint64_t seed : {1, 2, 3}) {
        world w(seed, 1 * GiB);
        for (int i = 0; i < 20'000; ++i) {
            const auto grain = w.random.below(3) ? std::uint64_t{4096} : chunk_size;
            const auto start = w.random.below(blob_size / grain) * grain;
            const auto length = (1 + w.random.below(w.random.below(8) ? 4 : 400)) * grain;
            w.write(start, std::min(start + length, blob_size));
            w.look(w.random.below(blob_size / chunk_size + 1));
        }
        CHECK(w.hits > 10'000);
    }
}

TEST_CASE("hot extents keep within their memory") {
    constexpr std::uint64_t bytes_max = 16 * KiB;
    world w(7, bytes_max);
    for (int i = 0; i < 20'000; ++i) {
        const auto start = w.random.below(blob_size / 4096) * 4096;
        w.write(start, start + 4096);
        w.look(w.random.below(blob_size / chunk_size));
        REQUIRE(w.cache.bytes() <= bytes_max);
    }
    CHECK(w.hits > 1000);
}

TEST_CASE("other blobs and generations have hot extents of their own") {
    extent_cache cache(1 * MiB);
    const extent row{0, 4096, 0, {1}, 0};
    CHECK(cache.fill({1, 0, 0}, {row}).size() == 1);
    CHECK(cache.fill({2, 0, 0}, {}).empty());
    CHECK(cache.fill({1, 1, 0}, {}).empty());
    cache.erased(1, 0, row);
    CHECK(cache.find({1, 0, 0})->empty());
    cache.inserted(2, 0, row);
    CHECK(cache.find({1, 0, 0})->empty());
    CHECK(cache.find({1, 1, 0})->empty());
    CHECK(cache.find({2, 0, 0})->size() == 1);
}
