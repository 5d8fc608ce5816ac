// The disk tier of the block cache: what it answers is right or nothing, whatever happens to its disk.
#include <cache/disk_cache.hpp>
#include <cache/tiered_cache.hpp>
#include <support/faulty_disk.hpp>

#include <core/base/log.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
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

// What a block holds follows from its key, so that any answer can be checked.
bytes content_of(const cache::block_key& key, std::size_t size = 4096) {
    seeded_random random(id_hash()(key.segment) + key.block);
    bytes out(size);
    random.fill(out);
    return out;
}

// The layer's part: who has this key reads and forges blocks, the disk does neither.
const crypto::secret_key& layers_key() {
    static seeded_random random(99);
    static const auto key = crypto::secret_key::generate(random);
    return key;
}

cache::sealed_run sealed(const cache::block_key& key, const bytes& content) {
    bytes out(content.size() + crypto::aead_tag_size);
    crypto::aead cipher(layers_key());
    cipher.seal(crypto::aead_nonce::from_index(key.block), key.segment.view(), content, out);
    const auto size = static_cast<std::uint32_t>(out.size());
    return {key.segment, key.block, 1, size, std::make_shared<const bytes>(std::move(out))};
}

result<bytes> opened(const cache::block_key& key, byte_view sealed) {
    if (sealed.size() < crypto::aead_tag_size) return error(errc::corrupt);
    bytes plain(sealed.size() - crypto::aead_tag_size);
    crypto::aead cipher(layers_key());
    CHECK_OK(cipher.open(crypto::aead_nonce::from_index(key.block), key.segment.view(), sealed, plain));
    return plain;
}

// As the layer does it: what does not open is dropped.
cache::block fetch(cache::sealed_cache& from, const cache::block_key& key) {
    const auto there = from.fetch(key.segment, key.block, 1);
    if (there.empty()) return nullptr;
    auto plain = opened(key, there.front().sealed(0));
    if (plain) return std::make_shared<const bytes>(std::move(*plain));
    from.drop_wrong(key);
    return nullptr;
}

struct house {
    explicit house(std::uint64_t capacity = 4 * MiB) {
        log::settings quiet;
        quiet.threshold = log::level::off;
        REQUIRE(log::configure(quiet).has_value());
        how.directory = "/cache";
        how.capacity = capacity;
        how.memory_max = 1 * MiB;
        how.key = crypto::secret_key::generate(random);
    }
    std::unique_ptr<cache::disk_cache> open() {
        auto made = cache::disk_cache::open(disk, how, random, count);
        REQUIRE(made.has_value());
        return std::move(*made);
    }
    std::uint64_t counted(std::string_view name) { return count.make_counter(name, "", "tier=\"disk\"").value(); }

    test::faulty_disk disk;
    system_random random;
    metrics count;
    cache::disk_options how;
};

void insert(cache::disk_cache& into, std::uint64_t segment, std::uint32_t from, std::uint32_t to, std::size_t size = 4096) {
    for (auto i = from; i < to; ++i) {
        const auto key = key_of(segment, i);
        into.insert(sealed(key, content_of(key, size)));
        if (i % 8 == 7) into.flush();  // faster than the queue holds
    }
    into.flush();
}

// How many of them are there. What is there is right.
std::size_t found(cache::disk_cache& in, std::uint64_t segment, std::uint32_t from, std::uint32_t to, std::size_t size = 4096) {
    std::size_t n = 0;
    for (auto i = from; i < to; ++i) {
        const auto key = key_of(segment, i);
        const auto block = fetch(in, key);
        if (!block) continue;
        REQUIRE(*block == content_of(key, size));
        ++n;
    }
    return n;
}

}  // namespace

TEST_CASE("the disk tier answers what was inserted, and still does after a restart") {
    house h;
    {
        const auto blocks = h.open();
        insert(*blocks, 1, 0, 100);
        CHECK(found(*blocks, 1, 0, 100) == 100);
        CHECK(found(*blocks, 2, 0, 100) == 0);
        CHECK(h.counted("cess_cache_hits_total") == 100);
        CHECK(h.counted("cess_cache_misses_total") == 100);
    }
    for (int restart = 0; restart < 3; ++restart) {
        const auto blocks = h.open();
        blocks->flush();  // it has looked at its regions then
        CHECK(found(*blocks, 1, 0, 100) == 100);
    }
    CHECK(h.counted("cess_cache_errors_total") == 0);
}

TEST_CASE("of a run that is larger than the queue, what there is room for goes to the disk") {
    house h;
    const auto blocks = h.open();
    blocks->flush();  // it has looked at its regions then
    bytes data;
    for (std::uint32_t i = 0; i < 64; ++i) append(data, *sealed(key_of(1, 3 + i), content_of(key_of(1, 3 + i))).data);
    REQUIRE(data.size() > h.how.memory_max / 8);
    const auto size = static_cast<std::uint32_t>(data.size() / 64);
    data.resize(data.size() - size);
    const auto last = key_of(1, 66);
    append(data, *sealed(last, content_of(last, 100)).data);  // the last of a segment is shorter
    blocks->insert({last.segment, 3, 64, size, std::make_shared<const bytes>(std::move(data))});
    blocks->flush();
    CHECK(found(*blocks, 1, 3, 3 + 30) == 30);
    blocks->insert({last.segment, 66, 1, size, sealed(last, content_of(last, 100)).data});
    blocks->flush();
    CHECK(found(*blocks, 1, 66, 67, 100) == 1);
}

TEST_CASE("blocks that wait to be written are written when the cache closes") {
    house h;
    const auto key = key_of(1, 1);
    {
        const auto blocks = h.open();
        blocks->flush();  // it has looked at its regions then
        blocks->insert(sealed(key, content_of(key)));
    }
    const auto blocks = h.open();
    blocks->flush();
    CHECK(found(*blocks, 1, 1, 2) == 1);
}

TEST_CASE("a flipped bit anywhere is a miss that drops the block, never a wrong byte") {
    house h(1 * MiB);
    {
        const auto blocks = h.open();
        insert(*blocks, 1, 0, 64);
    }
    seeded_random random(1);
    std::uint64_t lost = 0;
    for (int i = 0; i < 150; ++i) {
        auto blocks = h.open();
        blocks->flush();
        const auto before = found(*blocks, 1, 0, 64);
        const auto at = random.below(1 * MiB);
        REQUIRE(h.disk.flip("/cache/blocks", at));
        lost += before - found(*blocks, 1, 0, 64);  // found() checks every byte
        CHECK(found(*blocks, 1, 0, 64) == found(*blocks, 1, 0, 64));
        CHECK_FALSE(blocks->off());
        blocks.reset();
        REQUIRE(h.disk.flip("/cache/blocks", at));
        blocks = h.open();
        blocks->flush();
        if (found(*blocks, 1, 0, 64) < 64) insert(*blocks, 1, 0, 64);
    }
    CHECK(lost > 10);  // the blocks fill a quarter of the file
    CHECK(h.counted("cess_cache_errors_total") >= lost);
}

TEST_CASE("a truncated file costs its blocks and nothing else") {
    house h;
    for (const std::uint64_t size : {3 * MiB, 200 * KiB, 70 * KiB, 1000ul, 0ul}) {
        {
            const auto blocks = h.open();
            blocks->flush();
            insert(*blocks, 1, 0, 100);
            CHECK(found(*blocks, 1, 0, 100) == 100);
            REQUIRE((*h.disk.open("/cache/blocks", os::open_mode::read_write))->truncate(size).has_value());
            (void)found(*blocks, 1, 0, 100);
            CHECK_FALSE(blocks->off());
        }
        const auto blocks = h.open();
        blocks->flush();
        (void)found(*blocks, 1, 0, 100);
    }
}

TEST_CASE("a crash between any two operations costs blocks, never wrong bytes") {
    for (std::uint64_t at = 0;; ++at) {
        house h(1 * MiB);
        {
            const auto blocks = h.open();
            insert(*blocks, 1, 0, 40);
        }
        h.disk.die_at(at);
        bool died = false;
        if (auto blocks = cache::disk_cache::open(h.disk, h.how, h.random, h.count)) {
            insert(**blocks, 2, 0, 260);  // more than fits: regions are written anew
            (void)found(**blocks, 1, 0, 40);
            (void)found(**blocks, 2, 0, 260);
        }
        died = h.disk.fault_met();
        h.disk.crash(at);
        const auto blocks = h.open();
        blocks->flush();
        (void)found(*blocks, 1, 0, 40);
        (void)found(*blocks, 2, 0, 260);
        insert(*blocks, 3, 0, 20);
        CHECK(found(*blocks, 3, 0, 20) == 20);
        CHECK_FALSE(blocks->off());
        if (!died) {
            CHECK(at > 20);
            break;
        }
    }
}

TEST_CASE("a torn and reordered file is sound blocks and misses") {
    house h(2 * MiB);
    for (std::uint64_t seed = 0; seed < 30; ++seed) {
        {
            const auto blocks = h.open();
            insert(*blocks, seed, 0, 200);
            h.disk.crash(seed);  // with everything in flight
        }
        h.disk.new_process();
        const auto blocks = h.open();
        blocks->flush();
        for (std::uint64_t old = 0; old <= seed; ++old) (void)found(*blocks, old, 0, 200);
        CHECK_FALSE(blocks->off());
    }
}

TEST_CASE("a failing or full disk switches the tier off and nothing else") {
    for (const auto what : {errc::no_space, errc::io})
        for (std::uint64_t at = 4; at < 12; ++at) {
            house h;
            const auto blocks = h.open();
            blocks->flush();
            h.disk.fail_at(at, what);
            insert(*blocks, 1, 0, 300);
            if (!h.disk.fault_met()) continue;
            CHECK(blocks->off());
            // Where there is no room, what it took is given back.
            const auto left = h.disk.open("/cache/blocks", os::open_mode::read).value()->size().value();
            CHECK((left == 0) == (what == errc::no_space));
            CHECK(found(*blocks, 1, 0, 300) == 0);
            insert(*blocks, 1, 0, 20);
            CHECK(h.counted("cess_cache_errors_total") >= 1);
        }
}

TEST_CASE("the disk tier keeps its bounds on disk and in memory") {
    house h(1 * MiB);
    const auto blocks = h.open();
    CHECK(blocks->memory_bytes() <= h.how.memory_max);
    seeded_random random(3);
    for (std::uint32_t i = 0; i < 2000; ++i) {
        const auto key = key_of(4, i);
        blocks->insert(sealed(key, content_of(key, random.below(12 * KiB) + 1)));
        if (i % 4 == 0) blocks->flush();
    }
    CHECK(blocks->size_bytes() <= 1 * MiB);
    CHECK(*(*h.disk.open("/cache/blocks", os::open_mode::read))->size() <= 1 * MiB);
    CHECK(h.counted("cess_cache_evictions_total") > 100);
}

TEST_CASE("an index too small for the disk lets the oldest go") {
    house h(256 * MiB);
    const auto blocks = h.open();
    CHECK(blocks->memory_bytes() <= h.how.memory_max);
    for (std::uint32_t i = 0; i < 24'000; ++i) {
        blocks->insert(sealed(key_of(1, i), bytes(64, std::byte{1})));
        if (i % 1000 == 0) blocks->flush();
    }
    blocks->flush();
    CHECK(fetch(*blocks, key_of(1, 23'999)));
    CHECK_FALSE(fetch(*blocks, key_of(1, 1)));
}

TEST_CASE("hot blocks that move to a new region leave room for the one that began it") {
    house h(1 * MiB);
    const auto blocks = h.open();
    seeded_random random(5);
    for (int round = 0; round < 60; ++round) {
        for (std::uint32_t i = 0; i < 260; i += 4) {  // asked for again and again, and more than fits: all move, all the time
            for (auto j = i; j < i + 4; ++j) {
                const auto key = key_of(1, j);
                const auto size = 1 + 37 * (j % 97) + 4 * KiB;
                if (const auto block = fetch(*blocks, key))
                    REQUIRE(*block == content_of(key, size));
                else
                    blocks->insert(sealed(key, content_of(key, size)));
            }
            if (random.below(4) == 0) blocks->flush();
        }
    }
    CHECK_FALSE(blocks->off());
    CHECK(h.counted("cess_cache_errors_total") == 0);
    CHECK(h.counted("cess_cache_evictions_total") > 1000);
}

TEST_CASE("a scan does not push out of the disk tier what is asked for again and again") {
    house h(4 * MiB);
    const auto blocks = h.open();
    insert(*blocks, 1, 0, 200);
    for (std::uint32_t i = 0; i < 4000; i += 40) {
        insert(*blocks, 2, i, i + 40);
        (void)found(*blocks, 1, i / 40 % 5 * 40, i / 40 % 5 * 40 + 40);
    }
    CHECK(found(*blocks, 1, 0, 200) > 150);
}

TEST_CASE("a block that was let go and is wanted again soon stays") {
    house h(4 * MiB);
    const auto blocks = h.open();
    insert(*blocks, 1, 0, 900);  // fills it, and the first are let go
    REQUIRE(found(*blocks, 1, 0, 1) == 0);
    insert(*blocks, 1, 0, 40);
    insert(*blocks, 2, 0, 900);
    CHECK(found(*blocks, 1, 0, 40) > 30);
}

TEST_CASE("nothing on the disk can be read without the key") {
    house h;
    const auto key = key_of(1, 5);
    const auto content = content_of(key);
    {
        const auto blocks = h.open();
        blocks->flush();
        blocks->insert(sealed(key, content));
    }
    bytes all(4 * MiB);
    REQUIRE((*h.disk.open("/cache/blocks", os::open_mode::read))->read_at(0, all).has_value());
    const auto nowhere = [&](byte_view what) { return std::search(all.begin(), all.end(), what.begin(), what.end()) == all.end(); };
    CHECK(nowhere(byte_view(content).first(16)));
    CHECK(nowhere(key.segment.view()));
    const auto ours = h.how.key;
    h.how.key = crypto::secret_key::generate(h.random);
    {
        const auto stranger = h.open();
        stranger->flush();
        CHECK_FALSE(fetch(*stranger, key));
    }
    h.how.key = ours;
    const auto blocks = h.open();
    blocks->flush();
    CHECK(fetch(*blocks, key));
}

TEST_CASE("the disk tier is used by many threads at once") {
    house h(1 * MiB);
    const auto disk = h.open();
    std::vector<std::thread> threads;
    std::atomic<std::uint64_t> hits{0}, wrong{0};
    for (unsigned t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            seeded_random random(t);
            for (int i = 0; i < 3000; ++i) {
                const auto key = key_of(1, static_cast<std::uint32_t>(random.below(random.below(400) + 1)));
                const auto block = fetch(*disk, key);
                if (block) ++hits;
                if (block && *block != content_of(key)) ++wrong;
                if (!block) disk->insert(sealed(key, content_of(key)));
                if (random.below(50) == 0) disk->flush();
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(hits > 100);
    CHECK_FALSE(disk->off());
    CHECK(h.counted("cess_cache_errors_total") == 0);
}

TEST_CASE("a slower tier may come behind the memory later") {
    house h;
    cache::tiered_cache blocks(cache::make_memory_cache(1 * MiB, h.count));
    CHECK(blocks.slow() == nullptr);
    auto disk = h.open();
    const auto* const there = disk.get();
    blocks.put_behind(std::move(disk));
    CHECK(blocks.slow() == there);
}

namespace {

// Blocks [first, end) of segment 1; the last is short.
cache::sealed_run run_of(std::uint32_t first, std::uint32_t end, std::size_t last = 100) {
    cache::sealed_run out;
    out.segment = key_of(1, 0).segment;
    out.first = first;
    bytes all;
    for (auto i = first; i < end; ++i) {
        const auto one = sealed(key_of(1, i), content_of(key_of(1, i), i + 1 == end ? last : 4096));
        if (i == first) out.block_size = one.block_size;
        append(all, *one.data);
        ++out.count;
    }
    out.data = std::make_shared<const bytes>(std::move(all));
    return out;
}

}  // namespace

TEST_CASE("a run of blocks is found block by block, the shorter last one as well") {
    house h;
    const auto blocks = h.open();
    blocks->flush();
    blocks->insert(run_of(7, 20));
    blocks->flush();
    CHECK(found(*blocks, 1, 0, 19) == 12);
    CHECK(found(*blocks, 1, 19, 20, 100) == 1);
}

TEST_CASE("what was written together is found together") {
    house h;
    const auto blocks = h.open();
    blocks->flush();
    const auto first = run_of(7, 20), second = run_of(30, 32);
    blocks->insert(first);
    blocks->insert(second);
    blocks->insert(sealed(key_of(1, 20), content_of(key_of(1, 20))));
    blocks->flush();
    const auto all = blocks->fetch(first.segment, 0, 40);
    REQUIRE(all.size() == 3);
    CHECK(all[0].first == 7);
    CHECK(all[0].count == 13);
    CHECK(all[0].block_size == first.block_size);
    CHECK(*all[0].data == *first.data);
    CHECK(all[1].first == 20);  // it follows one that is shorter than a block, so it is found alone
    CHECK(all[1].count == 1);
    CHECK(all[2].first == 30);
    CHECK(*all[2].data == *second.data);
    const auto part = blocks->fetch(first.segment, 9, 5);
    REQUIRE(part.size() == 1);
    CHECK(part[0].first == 9);
    CHECK(part[0].count == 5);
    for (std::uint32_t i = 0; i < 5; ++i) CHECK(opened(key_of(1, 9 + i), part[0].sealed(i)).has_value());
    CHECK(h.counted("cess_cache_hits_total") == 16 + 5);
    CHECK(h.counted("cess_cache_misses_total") == 40 - 16);
}

TEST_CASE("a run is likely here if single blocks of it are not all that is") {
    house h;
    const auto blocks = h.open();
    blocks->flush();
    blocks->insert(run_of(0, 24));
    blocks->insert(sealed(key_of(1, 101), content_of(key_of(1, 101))));
    blocks->flush();
    const auto id = key_of(1, 0).segment;
    CHECK(blocks->may_hold(id, 0, 256));
    CHECK(blocks->may_hold(id, 23, 1));
    CHECK(blocks->may_hold(id, 101, 1));
    CHECK_FALSE(blocks->may_hold(id, 24, 1));
    CHECK_FALSE(blocks->may_hold(id, 24, 192));
    CHECK_FALSE(blocks->may_hold(key_of(2, 0).segment, 0, 256));
}

TEST_CASE("a block that another opens as its own is no hit") {
    house h;
    const auto blocks = h.open();
    blocks->flush();
    blocks->insert(sealed(key_of(1, 1), content_of(key_of(1, 1))));
    blocks->flush();
    const auto there = blocks->fetch(key_of(1, 1).segment, 1, 1);
    REQUIRE(there.size() == 1);
    CHECK_FALSE(opened(key_of(1, 2), there.front().sealed(0)).has_value());
    blocks->drop_wrong(key_of(1, 1));
    CHECK(h.counted("cess_cache_errors_total") == 1);
    CHECK_FALSE(fetch(*blocks, key_of(1, 1)));
}
