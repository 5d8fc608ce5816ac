// The local store alone: its checkpoints are whole, and end, whoever reads beside.
#include <rocks.hpp>
#include <store.hpp>

#include <catch2/catch.hpp>
#include <rocksdb/perf_context.h>
#include <rocksdb/perf_level.h>

#include <atomic>
#include <filesystem>
#include <thread>

using namespace cess;
using namespace cess::volume;
using namespace std::chrono_literals;
namespace files = std::filesystem;

namespace {

bytes key_of(std::uint64_t i) {
    const auto text = std::to_string(1'000'000 + i);
    return row::user_key(as_view(text));
}

struct place {
    place() : root(files::temp_directory_path() / ("cess-store-" + std::to_string(::getpid()))) {
        files::remove_all(root);
        files::create_directories(root / "db");
    }
    ~place() { files::remove_all(root); }
    [[nodiscard]] store::options options(const std::string& name, bool read_only = false) const {
        store::options how;
        how.directory = (root / name).string();
        how.table = 64 * KiB;
        how.read_only = read_only;
        return how;
    }
    files::path root;
};

void put(store& on, std::uint64_t i, std::uint64_t value) {
    rocksdb::WriteBatch batch;
    batch.Put(slice(key_of(i)), slice(as_view(std::to_string(value))));
    REQUIRE(on.write(batch).has_value());
}

void cut(store& on, const std::string& to) {
    REQUIRE(on.begin_flush().has_value());
    REQUIRE(on.wait_flushed(60s).has_value());
    if (auto done = on.checkpoint_to(to); !done) FAIL(done.error().message());
}

}  // namespace

TEST_CASE("a checkpoint holds what was flushed and nothing that came since") {
    const place here;
    auto opened = store::open(here.options("db"));
    REQUIRE(opened.has_value());
    auto& on = **opened;
    for (std::uint64_t round = 1; round <= 12; ++round) {  // past a compaction
        for (std::uint64_t i = 0; i < 2000; ++i) put(on, i, round * 10'000 + i);
        REQUIRE(on.begin_flush().has_value());
        REQUIRE(on.wait_flushed(60s).has_value());
        put(on, 7, 1);  // later
        const auto name = "cut" + std::to_string(round);
        const auto made = on.checkpoint_to((here.root / name).string());
        if (!made) FAIL(made.error().message());
        put(on, 8, 1);
        auto copy = store::open(here.options(name, true));
        if (!copy) FAIL(copy.error().message());
        for (std::uint64_t i = 0; i < 2000; i += 7) {
            const auto row = (*copy)->get(key_of(i));
            REQUIRE(row.has_value());
            REQUIRE(row->has_value());
            CHECK(to_string(**row) == std::to_string(round * 10'000 + i));
        }
    }
}

TEST_CASE("many rows that were deleted side by side are soon in nobody's way") {
    const place here;
    auto opened = store::open(here.options("db"));
    REQUIRE(opened.has_value());
    auto& on = **opened;
    constexpr std::uint64_t rows = 20'000;
    const auto flush = [&on] {
        REQUIRE(on.begin_flush().has_value());
        REQUIRE(on.wait_flushed(60s).has_value());
    };
    for (std::uint64_t i = 0; i < rows; ++i) put(on, i, i);
    flush();
    for (std::uint64_t i = 0; i < rows; ++i) {
        if (i % 1000 == 0) continue;
        rocksdb::WriteBatch batch;
        batch.Delete(slice(key_of(i)));
        REQUIRE(on.write(batch).has_value());
    }
    flush();
    rocksdb::SetPerfLevel(rocksdb::PerfLevel::kEnableCount);
    const auto skipped = [&on] {
        rocksdb::get_perf_context()->Reset();
        const auto left = on.scan(row::user_key({}), {}, SIZE_MAX, 1);
        REQUIRE(left.has_value());
        CHECK(left->size() == rows / 1000);
        return rocksdb::get_perf_context()->internal_delete_skipped_count;
    };
    auto left = skipped();
    for (int i = 0; i < 2000 && left > rows / 100; ++i, left = skipped()) std::this_thread::sleep_for(5ms);
    CHECK(left <= rows / 100);
    rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
}

TEST_CASE("checkpoints end while readers let go of old tables") {
    const place here;
    auto opened = store::open(here.options("db"));
    REQUIRE(opened.has_value());
    auto& on = **opened;
    std::atomic<bool> stop = false;
    std::vector<std::thread> readers;
    for (int i = 0; i < 3; ++i)
        readers.emplace_back([&] {
            while (!stop) (void)on.walk(row::user_kind);
        });
    for (std::uint64_t round = 0; round < 1000; ++round) {
        put(on, round % 50, round);
        const auto to = (here.root / "cut").string();
        cut(on, to);
        files::remove_all(to);
    }
    stop = true;
    for (auto& each : readers) each.join();
}

TEST_CASE("an extent is found again without a look into RocksDB, until anything is written") {
    const place here;
    auto opened = store::open(here.options("db"));
    REQUIRE(opened.has_value());
    auto& on = **opened;
    const auto map = [&on](const extent& e, std::uint32_t generation) {
        rocksdb::WriteBatch batch;
        batch.Put(slice(row::extent_key(1, generation, e.end)), slice(row::extent_value(e)));
        REQUIRE(on.write(batch).has_value());
    };
    rocksdb::SetPerfLevel(rocksdb::PerfLevel::kEnableCount);
    // What covers [offset, end), and whether that took RocksDB.
    const auto look = [&on](std::uint64_t offset, std::uint64_t end) {
        rocksdb::get_perf_context()->Reset();
        const auto found = on.extents(1, offset, end);
        REQUIRE(found.has_value());
        return std::pair(*found, rocksdb::get_perf_context()->seek_on_memtable_count != 0);
    };
    const extent first{0, 64 * KiB, 0, {1}, 0}, second{0, 64 * KiB, 0, {2}, 0}, other{1 * MiB, 2 * MiB, 0, {3}, 0}, third{0, 64 * KiB, 0, {4}, 0};
    const auto one = [](const extent& e) { return std::vector<extent>{e}; };
    map(first, 0);
    CHECK(look(4096, 8192) == std::pair(one(first), true));
    CHECK(look(4096, 8192) == std::pair(one(first), false));
    CHECK(look(4096, 128 * KiB) == std::pair(one(first), true));  // not covered
    map(second, 0);
    CHECK(look(4096, 8192) == std::pair(one(second), true));
    map(other, 0);
    CHECK(look(4096, 8192) == std::pair(one(second), true));
    CHECK(look(4096, 8192) == std::pair(one(second), false));
    map(third, 1);
    CHECK(look(4096, 8192) == std::pair(one(second), true));
    on.set_generation(1, 1);
    CHECK(look(4096, 8192) == std::pair(one(third), true));
    rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
}

TEST_CASE("nobody who saw a change finds an extent from before it") {
    const place here;
    auto opened = store::open(here.options("db"));
    REQUIRE(opened.has_value());
    auto& on = **opened;
    std::atomic<std::uint64_t> written{0};
    std::atomic<bool> stop{false};
    std::atomic<int> stale{0}, looks{0};
    std::vector<std::thread> readers;
    for (int i = 0; i < 3; ++i)
        readers.emplace_back([&] {
            while (!stop) {
                const auto least = written.load();
                const auto found = on.extents(1, 4096, 8192);
                ++looks;
                if (!found || (least != 0 && (found->size() != 1 || found->front().segment.value < least))) ++stale;
            }
        });
    for (std::uint64_t round = 1; round <= 20'000 || looks < 20'000; ++round) {
        rocksdb::WriteBatch batch;
        batch.Put(slice(row::extent_key(1, 0, 64 * KiB)), slice(row::extent_value({0, 64 * KiB, 0, {round}, 0})));
        REQUIRE(on.write(batch).has_value());
        written = round;
        if (round % 8 == 0) std::this_thread::yield();
    }
    stop = true;
    for (auto& each : readers) each.join();
    CHECK(stale == 0);
}
