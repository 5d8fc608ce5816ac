// Copies of a key-value store, in RocksDB and in memory alike.
#include <core/base/random.hpp>
#include <core/kv/store.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>

using namespace cess;

namespace {

struct scratch {
    std::string path = "/tmp/cess-kv-XXXXXX";
    scratch() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
    ~scratch() { std::filesystem::remove_all(path); }
};

kv::batch putting(const std::string& key, const std::string& value) { return {{to_bytes(key), to_bytes(value)}}; }

std::string value_of(kv::store& of, const std::string& key) {
    const auto got = of.get(to_bytes(key));
    REQUIRE(got.has_value());
    return *got ? std::string(as_text(**got)) : "none";
}

void copies_stay_as_they_were(kv::store& of) {
    REQUIRE(of.commit(putting("a", "1")).has_value());
    REQUIRE(of.commit(putting("b", "1")).has_value());
    REQUIRE(of.keep_copy("first").has_value());
    REQUIRE(of.commit(putting("a", "2")).has_value());
    REQUIRE(of.keep_copy("first").has_value());  // is there
    auto first = of.open_copy("first");
    REQUIRE(first.has_value());
    CHECK(value_of(**first, "a") == "1");
    CHECK((*first)->scan({}, {}, 10)->size() == 2);
    CHECK(of.open_copy("second").error() == errc::not_found);
    REQUIRE(of.keep_copy("second").has_value());
    REQUIRE(of.commit({{to_bytes("b"), std::nullopt}}).has_value());
    REQUIRE(of.drop_copies("second").has_value());
    CHECK(value_of(**first, "b") == "1");  // open: as long as it is
    CHECK(of.open_copy("first").error() == errc::not_found);
    auto second = of.open_copy("second");
    REQUIRE(second.has_value());
    CHECK(value_of(**second, "a") == "2");
    CHECK(value_of(**second, "b") == "1");
    CHECK(value_of(of, "b") == "none");
}

}  // namespace

TEST_CASE("a copy of a store in memory stays as it was") {
    kv::memory_store store;
    copies_stay_as_they_were(store);
}

TEST_CASE("a copy of a RocksDB store stays as it was, over restarts, and shares its files") {
    const scratch dir;
    {
        auto store = kv::open_rocks_store(dir.path + "/state", {});
        REQUIRE(store.has_value());
        copies_stay_as_they_were(**store);
        kv::batch much;
        seeded_random random(1);
        for (int i = 0; i < 4000; ++i) {
            bytes value(1000);
            random.fill(value);
            much.emplace(to_bytes("k" + std::to_string(i)), std::move(value));
        }
        REQUIRE((*store)->commit(much).has_value());
        REQUIRE((*store)->keep_copy("third").has_value());
        std::uintmax_t own = 0;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(dir.path + "/state-copies/third"))
            if (entry.is_regular_file() && entry.hard_link_count() == 1) own += entry.file_size();
        CHECK(own < 100'000);
    }
    std::filesystem::create_directories(dir.path + "/state-copies/fourth.tmp");  // a crash while it was made
    auto store = kv::open_rocks_store(dir.path + "/state", {});
    REQUIRE(store.has_value());
    REQUIRE((*store)->keep_copy("fourth").has_value());
    REQUIRE((*store)->drop_copies("fourth").has_value());
    auto copy = (*store)->open_copy("fourth");
    REQUIRE(copy.has_value());
    CHECK(value_of(**copy, "a") == "2");
}
