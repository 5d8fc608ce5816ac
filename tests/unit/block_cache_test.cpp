#include <cache/block_cache.hpp>
#include <core/base/random.hpp>

#include <catch2/catch.hpp>

#include <thread>

using namespace cess;

namespace {

cache::block_key key_of(std::uint64_t segment, std::uint32_t block) {
    cache::block_key key;
    seeded_random random(segment);
    random.fill(key.segment.raw);
    key.block = block;
    return key;
}

cache::block block_of(std::size_t size, unsigned char fill) { return std::make_shared<const bytes>(size, static_cast<std::byte>(fill)); }

}  // namespace

TEST_CASE("the cache answers what was inserted and nothing else") {
    metrics count;
    const auto blocks = cache::make_memory_cache(8 * MiB, count);
    CHECK_FALSE(blocks->find(key_of(1, 0)));
    blocks->insert(key_of(1, 0), block_of(4096, 7));
    const auto found = blocks->find(key_of(1, 0));
    REQUIRE(found);
    CHECK((*found)[100] == std::byte{7});
    CHECK_FALSE(blocks->find(key_of(1, 1)));
    CHECK_FALSE(blocks->find(key_of(2, 0)));
}

TEST_CASE("the cache never exceeds its capacity") {
    metrics count;
    for (const std::uint64_t capacity : {64 * KiB, 1 * MiB, 20 * MiB}) {
        const auto blocks = cache::make_memory_cache(capacity, count);
        seeded_random random(capacity);
        for (int i = 0; i < 20'000; ++i) {
            blocks->insert(key_of(random.below(50), static_cast<std::uint32_t>(random.below(2000))), block_of(random.below(16 * KiB) + 1, 1));
            if (random.below(3) == 0) (void)blocks->find(key_of(random.below(50), static_cast<std::uint32_t>(random.below(2000))));
            if (i % 100 == 0) REQUIRE(blocks->size_bytes() <= capacity);
        }
        CHECK(blocks->size_bytes() <= capacity);
        CHECK(blocks->size_bytes() > capacity / 2);
    }
}

TEST_CASE("a scan does not push out what is used again and again") {
    metrics count;
    const auto blocks = cache::make_memory_cache(2 * MiB, count);
    for (int round = 0; round < 4; ++round)
        for (std::uint32_t i = 0; i < 100; ++i)
            if (!blocks->find(key_of(1, i))) blocks->insert(key_of(1, i), block_of(4096, 1));
    for (std::uint32_t i = 0; i < 5000; ++i) {
        blocks->insert(key_of(2, i), block_of(4096, 2));
        if (i % 10 == 0) (void)blocks->find(key_of(1, i / 10 % 100));
    }
    int kept = 0;
    for (std::uint32_t i = 0; i < 100; ++i) kept += blocks->find(key_of(1, i)) != nullptr;
    CHECK(kept > 90);
}

TEST_CASE("a block that was let go and is wanted again soon stays") {
    metrics count;
    const auto blocks = cache::make_memory_cache(2 * MiB, count);
    const auto scan = [&](std::uint64_t segment, std::uint32_t n) {
        for (std::uint32_t i = 0; i < n; ++i) blocks->insert(key_of(segment, i), block_of(4096, 1));
    };
    scan(1, 1000);  // it is full, and the first are gone
    REQUIRE_FALSE(blocks->find(key_of(1, 450)));
    for (std::uint32_t i = 450; i < 460; ++i) blocks->insert(key_of(1, i), block_of(4096, 1));
    scan(2, 600);
    int kept = 0;
    for (std::uint32_t i = 450; i < 460; ++i) kept += blocks->find(key_of(1, i)) != nullptr;
    CHECK(kept == 10);
}

TEST_CASE("what is near by anyway is wanted while there is room, and else when it is asked for again") {
    metrics count;
    const auto blocks = cache::make_memory_cache(2 * MiB, count);
    CHECK(blocks->wants(key_of(1, 0)));
    CHECK_FALSE(blocks->find(key_of(1, 0)));
    for (std::uint32_t i = 0; i < 1000; ++i) blocks->insert(key_of(1, i), block_of(4096, 1));
    CHECK(blocks->wants(key_of(1, 999)));
    CHECK_FALSE(blocks->wants(key_of(2, 0)));
    CHECK_FALSE(blocks->contains(key_of(2, 0)));
    REQUIRE(blocks->wants(key_of(2, 0)));
    blocks->insert(key_of(2, 0), block_of(4096, 2));
    CHECK(blocks->find(key_of(2, 0)));
    const auto before = blocks->size_bytes();
    int wanted = 0;
    for (std::uint32_t i = 0; i < 5000; ++i) wanted += blocks->wants(key_of(3, i));
    CHECK(wanted < 50);  // now and then there is room
    CHECK(blocks->size_bytes() <= 2 * MiB);
    CHECK(blocks->size_bytes() > before - 64 * KiB);  // nothing gave way to what was not wanted
    CHECK_FALSE(blocks->wants(key_of(3, 0)));  // long ago
}

TEST_CASE("whatever comes and goes, a key finds its own block or none") {
    metrics count;
    const auto blocks = cache::make_memory_cache(256 * KiB, count);
    seeded_random random(5);
    std::uint64_t hits = 0;
    for (int i = 0; i < 300'000; ++i) {
        const auto segment = random.below(4);
        const auto n = static_cast<std::uint32_t>(random.below(random.below(2000) + 1));
        const auto key = key_of(segment, n);
        const auto size = 8 + n % 500;
        if (const auto found = blocks->find(key)) {
            ++hits;
            REQUIRE(*found == bytes(size, static_cast<std::byte>(segment * 50 + n % 50)));
        } else {
            REQUIRE_FALSE(blocks->contains(key));
            blocks->insert(key, block_of(size, static_cast<unsigned char>(segment * 50 + n % 50)));
            REQUIRE(blocks->contains(key));
        }
        if (random.below(20'000) == 0) blocks->forget(key.segment);
    }
    CHECK(hits > 30'000);
    CHECK(blocks->size_bytes() <= 256 * KiB);
    for (std::uint64_t segment = 0; segment < 4; ++segment) blocks->forget(key_of(segment, 0).segment);
    CHECK(count.make_gauge("cess_cache_bytes", "", "tier=\"memory\"").value() == 0);
}

TEST_CASE("a forgotten segment is gone, its neighbours stay") {
    metrics count;
    const auto blocks = cache::make_memory_cache(64 * MiB, count);
    for (std::uint32_t i = 0; i < 50; ++i) {
        blocks->insert(key_of(1, i), block_of(100, 1));
        blocks->insert(key_of(2, i), block_of(100, 2));
    }
    blocks->forget(key_of(1, 0).segment);
    for (std::uint32_t i = 0; i < 50; ++i) {
        CHECK_FALSE(blocks->find(key_of(1, i)));
        CHECK(blocks->find(key_of(2, i)));
    }
}

TEST_CASE("a block larger than the cache is not taken") {
    metrics count;
    const auto blocks = cache::make_memory_cache(64 * KiB, count);
    blocks->insert(key_of(1, 0), block_of(1 * MiB, 1));
    CHECK(blocks->size_bytes() == 0);
}

TEST_CASE("the cache is used by many threads at once") {
    metrics count;
    const auto blocks = cache::make_memory_cache(8 * MiB, count);
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (unsigned t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            seeded_random random(t);
            for (int i = 0; i < 20'000; ++i) {
                const auto n = static_cast<std::uint32_t>(random.below(4000));
                if (const auto found = blocks->find(key_of(1, n)); found && (*found)[0] != static_cast<std::byte>(n)) ++wrong;
                blocks->insert(key_of(1, n), block_of(4096, static_cast<unsigned char>(n)));
                if (i % 5000 == 0) blocks->forget(key_of(1, 0).segment);
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(blocks->size_bytes() <= 8 * MiB);
}
